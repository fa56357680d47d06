"""Validation as the last but one Firework of a campaign: its place, its labels, and what it leaves alone."""

import json
from collections import Counter

import pytest
from fireworks import Workflow

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.errors import MlipError
from mlip_fw.launcher import runner
from mlip_fw.launcher.rockets import launch_one, raise_if_fizzled
from mlip_fw.launcher.runner import run_campaign
from mlip_fw.launcher.validate import (
    release_failed_labels,
    validate_locally,
    validation_handoff,
    validation_workflow,
)
from mlip_fw.models.handoff import Handoff
from mlip_fw.models.validation import ValidationReport
from mlip_fw.models.worker import Worker
from mlip_fw.validation.diagnosis import last_report
from mlip_fw.workflows.build import summary_firework, validate_firework
from mlip_fw.workflows.campaign import campaign_workflow
from tests.helpers.campaigns import fireworks

CRYSTAL = {"properties": ["equation_of_state", "vacancy"]}


def by_name(report):
    return {q.name: q for q in report.quantities}


@pytest.fixture(scope="module")
def validated(tmp_path_factory, small_campaign, lent_lmp):
    """Return (directory, summary, LaunchPad) of a campaign that asks for a validation."""
    from fireworks import FWorker

    pads, plain = [], runner.embedded_launchpad
    directory = CampaignDirectory(tmp_path_factory.mktemp("validated") / "c")
    worker = FWorker(name="stand-in", env={"lmp_cmd": f"{lent_lmp} --halt-at 50"})
    runner.embedded_launchpad = lambda: pads.append(plain()) or pads[-1]
    try:
        summary = run_campaign(small_campaign(validation=CRYSTAL), directory, worker)
    finally:
        runner.embedded_launchpad = plain
    return directory, summary, pads[-1], worker


def names(links, kind):
    return {name for name in links if name.split()[0] == kind}


def test_labels_come_between_the_md_and_the_summary_which_runs_once(validated):
    directory, summary, pad, _ = validated
    states, links = fireworks(pad)
    assert summary.outcome == "CONVERGED"
    assert set(states.values()) == {"COMPLETED"}
    apart = {f"label {name}" for name in Dataset(directory.validation).hashes()}
    assert len(apart) == 9
    assert {parent for parent, children in links.items() if "summary" in children} == {"validate"}
    assert all(links[label] == ["validate"] for label in apart)
    assert [e["event"] for e in directory.events()].count("finished") == 1
    kinds = Counter(event["event"] for event in directory.events())
    assert kinds["validated"] == 1


def test_labels_are_kept_apart_and_are_in_no_count(validated):
    directory, summary, _, _ = validated
    training = Dataset(directory.root)
    assert not set(training.hashes()) & set(Dataset(directory.validation).hashes())
    assert summary.labels == len(training.hashes()) == len(Generations(directory.root).record(1).labels)
    events = [e for e in directory.events() if e["event"] == "labelled"]
    assert [bool(e.get("apart")) for e in events].count(False) == summary.labels


def test_report_compares_with_the_oracle(validated):
    directory = validated[0]
    report = last_report(directory)
    assert report.generation == 1
    found = by_name(report)
    assert found["lattice constant a"].oracle == pytest.approx(3.590, abs=0.002)
    assert found["bulk modulus"].oracle == pytest.approx(134.4, abs=1.0)
    assert abs(found["lattice constant a"].difference_percent) < 0.5
    assert found["vacancy formation energy"].oracle == pytest.approx(1.2, abs=0.2)
    assert set(report.gamma_max) == {"equation_of_state", "vacancy"}
    assert report.calibration.bins
    for kind in ("png", "svg"):
        assert (directory.validation / f"equation-of-state.{kind}").stat().st_size > 5000


def test_second_run_computes_nothing(validated, small_campaign):
    directory, _, _, worker = validated

    def written():
        files = [path for path in directory.validation.rglob("*") if path.is_file() and path.name != "FW.json"]
        return {path: path.stat().st_mtime_ns for path in files}

    before = written()
    run_campaign(small_campaign(validation=CRYSTAL), directory, worker)
    assert written() == before


def test_another_validation_may_be_asked_of_a_directory_in_use(validated, small_campaign):
    """Only what is new is labelled: the equation of state is there."""
    directory, _, _, _ = validated
    directory.claim(small_campaign(validation={"properties": ["elastic"]}))
    handoff = validation_handoff(directory, properties=["elastic", "equation_of_state"])
    before = len(Dataset(directory.validation).hashes())
    assert list(validate_locally(handoff, Worker()))[-1] == (4, 4)
    assert len(Dataset(directory.validation).hashes()) == before + 4
    found = by_name(last_report(directory))
    assert found["C11"].oracle == pytest.approx(172.6, abs=1.0)
    assert found["C44"].oracle == pytest.approx(90.1, abs=1.0)
    directory.claim(small_campaign(validation=CRYSTAL))


def test_failed_label_is_a_reason_and_can_be_tried_again(small, stand_in, tmp_path):
    directory = CampaignDirectory(tmp_path / "c")
    limits = {"kind": "ase", "calculator": "emt", "max_stress_gpa": 1.0}
    campaign = small(validation={"properties": ["equation_of_state"]}, oracle={**limits, "max_stress_gpa": 500.0})
    run_campaign(campaign.model_copy(update={"validation": small().validation}), directory, stand_in())
    directory.claim(campaign.model_copy(update={"oracle": small(oracle=limits).oracle}))
    list(validate_locally(validation_handoff(directory), Worker()))
    report = last_report(directory)
    assert "failed; see validation/quarantine" in report.unmeasured["equation_of_state"]
    assert report.labels_failed > 0
    assert not report.quantities
    directory.claim(campaign)
    assert release_failed_labels(directory) == report.labels_failed
    list(validate_locally(validation_handoff(directory), Worker()))
    assert by_name(last_report(directory))["bulk modulus"].oracle > 100


def test_campaign_that_stops_is_not_validated(small, stand_in, tmp_path):
    directory = CampaignDirectory(tmp_path / "c")
    summary = run_campaign(small(validation=CRYSTAL, budget={"max_cycles": 0}), directory, stand_in("--halt-at 20"))
    assert (summary.outcome, summary.reason) == ("STOPPED", "max_cycles")
    assert not directory.validation.joinpath("labels").exists()


def test_by_default_no_firework_is_added(small, tmp_path):
    kinds = [fw.name.split(": ")[1] for fw in campaign_workflow(small(), tmp_path).fws]
    assert kinds == ["bootstrap", "md w00 s0 c0000", "summary"]


def test_without_a_potential_there_is_nothing_to_validate(small, tmp_path):
    directory = CampaignDirectory(tmp_path / "c")
    directory.claim(small())
    with pytest.raises(MlipError, match="has no potential to validate yet"):
        list(validate_locally(validation_handoff(directory), Worker()))


def test_what_is_asked_here_comes_before_what_the_campaign_asks(small, tmp_path):
    directory = CampaignDirectory(tmp_path / "c")
    directory.claim(small(validation={"n_frames": 3, "properties": ["rdf"]}))
    asked = validation_handoff(directory, frames=7).campaign.validation
    assert (asked.n_frames, asked.properties) == (7, ["rdf"])
    directory.claim(small())
    modest = validation_handoff(directory).campaign.validation
    assert modest.n_frames == 10
    assert "elastic" in modest.properties
    assert json.loads(modest.model_dump_json())["crystal"] is None


def test_report_is_plain_json(validated):
    text = (validated[0].validation / "validation.json").read_text()
    assert ValidationReport.model_validate_json(text) == last_report(validated[0])


def test_validation_can_be_a_workflow_of_its_own(validated):
    directory, _, _, worker = validated
    pad = runner.embedded_launchpad()
    pad.add_wf(validation_workflow(validation_handoff(directory, properties=["surface"])))
    while launch_one(pad, worker):
        raise_if_fizzled(pad)
    (surface,) = last_report(directory).quantities
    # figures of what an earlier validation compared would be taken for this one's
    assert {path.stem for path in directory.validation.glob("*.png")} == {"calibration"}
    assert (surface.name, surface.unit) == ("surface energy (1 1 1)", "J/m²")
    assert surface.oracle == pytest.approx(1.04, abs=0.05)
    # the perfect cell has a label by now: only the slab needs one, between two looks
    assert len(pad.get_fw_ids({"state": "COMPLETED"})) == len(pad.get_fw_ids({})) == 3


def test_label_that_is_removed_again_and_again_is_given_up_and_the_campaign_ends(validated):
    """As by somebody who tidies up: each time the label is made it is gone when the validation looks."""
    directory, _, _, worker = validated
    handoff = validation_handoff(directory, properties=["phonons", "equation_of_state"])
    before, pad = set(Dataset(directory.validation).hashes()), runner.embedded_launchpad()
    validation = validate_firework(handoff)
    end = Handoff(campaign=handoff.campaign, directory=handoff.directory)
    pad.add_wf(Workflow([validation, summary_firework(end, [validation])]))
    gone = []
    while launch_one(pad, worker):
        raise_if_fizzled(pad)
        for name in set(Dataset(directory.validation).hashes()) - before:
            Dataset(directory.validation).path(name).unlink()
            gone.append(name)
        assert len(gone) < 10
    assert len(gone) == 3
    assert set(gone) == {gone[0]}
    report = last_report(directory)
    assert f"label {gone[0]} was made several times" in report.unmeasured["phonons"]
    assert by_name(report)["bulk modulus"].oracle == pytest.approx(134.4, abs=1.0)
    assert [fw.state for fw in map(pad.get_fw_by_id, pad.get_fw_ids({}))].count("COMPLETED") == 3 + 4 + 1
    list(validate_locally(handoff, Worker()))
    assert "phonons" not in last_report(directory).unmeasured
