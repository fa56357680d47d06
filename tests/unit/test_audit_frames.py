"""Which frames may be audited, how the MD is divided, and what is drawn."""

import numpy as np
import pytest

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.models.accuracy import AuditFrame
from mlip_fw.models.md import MDOutcome, MDResult
from mlip_fw.validation.audit_frames import draw_place, frames_by_stratum, last_pass, places_in, strata_of
from mlip_fw.validation.expected_error import choose_informative

STAGES = [
    {"ensemble": "nvt", "temperature_k": [300, 600], "n_steps": 200},
    {"ensemble": "nvt", "temperature_k": 600, "n_steps": 100},
]


def result(cycle, first, last, outcome="halted", stage=0, walker=0):
    return MDResult(
        outcome=MDOutcome(outcome),
        engine="embedded",
        walker=walker,
        cycle=cycle,
        stage=stage,
        generation=cycle,
        first_step=first,
        step=last,
        start="s",
    )


def dump(directory, one, every=10):
    path = directory.cycle(one.walker, one.cycle) / "dump.lammpstrj"
    path.parent.mkdir(parents=True)
    steps = range(one.first_step, one.step + 1, every)
    path.write_text("".join(f"ITEM: TIMESTEP\n{step}\n" for step in steps))


def test_the_last_pass_begins_where_a_stage_was_begun_last(small):
    campaign = small(md={"stages": STAGES})
    first = [result(0, 0, 50), result(1, 50, 200, "finished"), result(2, 200, 300, "finished", stage=1)]
    again = [result(3, 0, 90, "crashed"), result(4, 0, 120), result(5, 120, 200, "finished")]
    prerun = [result(0, 0, 200, "finished", walker=1)]
    assert [r.cycle for r in last_pass([*first, *prerun], campaign)] == [0, 1, 2]
    assert [r.cycle for r in last_pass([*again, *first], campaign)] == [4, 5, 2]


def test_frames_of_labels_are_left_out_and_near_ones_are_said(small, tmp_path):
    campaign, directory = small(md={"stages": STAGES}), CampaignDirectory(tmp_path)
    one = result(1, 50, 190)
    dump(directory, one)
    places = places_in(one, directory, campaign)
    assert [place.step for place in places] == list(range(60, 190, 10))
    # 100 fs are 50 steps
    assert [place.step for place in places if place.is_apart] == [100, 110, 120, 130, 140]
    assert places[0].temperature_k == pytest.approx(300 + 300 * 60 / 200)
    last = result(2, 190, 200, "finished")
    dump(directory, last)
    assert [place.step for place in places_in(last, directory, campaign)] == [200]


def test_strata_cover_stages_and_temperatures(small, tmp_path):
    campaign, directory = small(md={"stages": STAGES}), CampaignDirectory(tmp_path)
    runs = [result(0, 0, 200, "finished"), result(1, 200, 300, "finished", stage=1)]
    for one in runs:
        dump(directory, one)
    places = [place for one in runs for place in places_in(one, directory, campaign)]
    strata = strata_of(places, campaign, 3)
    assert [(s.weight, s.places[0].stage, len(s.places)) for s in strata] == [
        (pytest.approx(1 / 3), 0, 10),
        (pytest.approx(1 / 3), 0, 10),
        (pytest.approx(1 / 3), 1, 10),
    ]
    assert max(p.temperature_k for p in strata[0].places) < min(p.temperature_k for p in strata[1].places)
    assert len(strata_of(places, campaign, 1)) == 2


def drawn(place, name="a" * 16):
    return AuditFrame(
        hash=name,
        walker=place.walker,
        cycle=place.cycle,
        stage=place.stage,
        step=place.step,
        temperature_k=place.temperature_k,
        generation=0,
        seed=1,
    )


def test_a_draw_is_seeded_new_apart_and_fair_to_walkers(small, tmp_path):
    campaign, directory = small(md={"walkers": 2}), CampaignDirectory(tmp_path)
    runs = [result(0, 0, 100, walker=walker) for walker in (0, 1)]
    for one in runs:
        dump(directory, one)
    places = [place for one in runs for place in places_in(one, directory, campaign)]
    first = draw_place(places, [], 5)
    assert first == draw_place(places, [], 5) and first.is_apart
    second = draw_place(places, [drawn(first)], 5)
    assert second.walker != first.walker
    assert draw_place([first], [drawn(first)], 5) is None
    # what is trained on audits no more
    [stratum] = strata_of([first], campaign, 1)
    assert frames_by_stratum([stratum], [drawn(first)], [])[0] == [drawn(first)]
    assert frames_by_stratum([stratum], [drawn(first)], ["a" * 16]) == [[]]


def test_uncertain_structures_that_tell_different_things():
    large, like_it, other = np.eye(3)[:1] * 3.0, np.eye(3)[:1] * 2.9, np.eye(3)[1:2] * 1.0
    assert choose_informative([other, like_it, large], 2, noise=0.1) == [2, 0]
    assert choose_informative([other, like_it, large], 9, noise=0.1) == [2, 0, 1]


def test_runs_whose_chemistry_changed_come_first_and_count_by_their_share(small, tmp_path):
    campaign, directory = small(md={"stages": STAGES[:1]}), CampaignDirectory(tmp_path)
    runs = [result(0, 0, 50), result(1, 50, 200, "finished").model_copy(update={"chemistry": ["2 of 9 molecules"]})]
    for one in runs:
        dump(directory, one)
    places = [place for one in runs for place in places_in(one, directory, campaign)]
    n_changed = sum(place.is_changed for place in places)
    assert n_changed == sum(place.cycle == 1 for place in places) == 15
    strata = strata_of(places, campaign, 3)
    assert [{place.cycle for place in stratum.places} for stratum in strata] == [{1}, {1}, {0}]
    share = 15 / len(places)
    assert [stratum.weight for stratum in strata] == pytest.approx([share / 2, share / 2, 1 - share])
