"""Errors over audited frames, their intervals, and whether a target is met."""

import numpy as np
import pytest

from mlip_fw.campaign.accuracy import is_met, is_undecided, worst
from mlip_fw.models.accuracy import AccuracySettings, AuditedFrame, ErrorSummary, error_in_words
from mlip_fw.validation.audit_errors import (
    audit_record,
    by_temperature,
    errors_of,
    failing_stage,
    interval_of_rms,
    interval_of_spread,
)


def frame(error, force=1.0, weight=1.0, stage=0, kelvin=300.0, energy=None, stress=None):
    return AuditedFrame(
        hash="a" * 16,
        walker=0,
        stage=stage,
        temperature_k=kelvin,
        weight=weight,
        force_rmse_ev_a=error,
        force_rms_ev_a=force,
        energy_error_ev_atom=energy,
        stress_rmse_gpa=stress,
    )


def test_each_frame_counts_as_much_as_its_part_of_the_md():
    found = errors_of([frame(0.1, weight=3.0), frame(0.2, force=2.0, weight=1.0)])
    assert found.force_rmse_ev_a == pytest.approx(np.sqrt((3 * 0.01 + 0.04) / 4))
    assert found.force_share == pytest.approx(found.force_rmse_ev_a / np.sqrt((3 * 1 + 4) / 4))


def test_errors_that_grow_with_the_forces_are_certain():
    # cold, warm, hot: four times the error at four times the force
    found = errors_of([frame(0.01, 0.5), frame(0.02, 1.0), frame(0.04, 2.0)])
    assert found.force_rmse_interval_ev_a == pytest.approx([found.force_rmse_ev_a] * 2)


def test_three_frames_that_differ_by_a_factor_of_two_have_a_wide_interval():
    low, high = interval_of_rms(1.0, np.array([0.5, 1.0, 2.0]) ** 2)
    # the t-quantile of two degrees of freedom is 4.3
    assert high == pytest.approx(np.exp(4.3027 * np.log(2) / np.sqrt(3)), rel=1e-4)
    assert low == pytest.approx(1 / high)
    assert interval_of_rms(1.0, np.array([1.0])) is None


@pytest.mark.parametrize("n", [3, 12])
def test_intervals_hold_as_often_as_they_say(n):
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(2000):
        # mean squares of frames scatter by factors around a true one of 1
        squares = np.exp(rng.normal(-0.08, 0.4, n))
        low, high = interval_of_rms(float(np.sqrt(squares.mean())), squares)
        inside += low <= 1.0 <= high
    assert 0.93 <= inside / 2000 <= 0.97


def test_energies_are_compared_less_their_mean_offset():
    found = errors_of([frame(0.1, energy=5.0 + e) for e in (-0.01, 0.0, 0.01)])
    assert found.energy_rmse_ev_atom == pytest.approx(0.01)
    assert found.energy_rmse_interval_ev_atom == pytest.approx(interval_of_spread(0.01, 3))
    # chi-square with two degrees of freedom: 0.0506 and 7.378
    assert interval_of_spread(1.0, 3) == pytest.approx([np.sqrt(2 / 7.3778), np.sqrt(2 / 0.05064)], rel=1e-3)
    assert errors_of([frame(0.1, energy=5.0)]).energy_rmse_ev_atom is None


def test_the_upper_end_decides():
    certain = errors_of([frame(0.09, weight=1.0)] * 3)
    scattered = errors_of([frame(0.06), frame(0.09), frame(0.11)])
    target = {"force_relative": 0.1}
    assert is_met(certain, target, 3) and not is_undecided(certain, target)
    assert not is_met(certain, target, 4)
    assert scattered.force_share < 0.1 and not is_met(scattered, target, 3) and is_undecided(scattered, target)
    assert not is_undecided(errors_of([frame(0.12)] * 3), target)


def test_all_criteria_must_be_met_and_unknown_ones_are_not():
    errors = errors_of([frame(0.05)] * 3)
    assert is_met(errors, {"force_relative": 0.1, "force_rmse_ev_a": 0.06}, 3)
    assert not is_met(errors, {"force_relative": 0.1, "force_rmse_ev_a": 0.04}, 3)
    assert not is_met(errors, {"force_relative": 0.1, "energy_rmse_ev_atom": 1.0}, 3)
    assert worst(errors, {"force_rmse_ev_a": 0.025}).estimate == pytest.approx(2.0)
    assert worst(errors, {}).upper == 0.0


def test_the_failing_stage_is_the_worst_against_the_target():
    frames = [frame(0.05, stage=0), frame(0.3, stage=1), frame(0.2, stage=2)]
    record = audit_record(frames, {}, {"force_relative": 0.1}, 3, generation=2, round_number=0, labels=9)
    assert (failing_stage(record), record.met, record.generation, record.labels) == (1, False, 2, 9)


def test_ranges_of_temperature():
    found = by_temperature([frame(0.1 * k, kelvin=100.0 * k) for k in (5, 1, 4, 2, 3)])
    assert [(r.from_k, r.to_k, r.n_frames) for r in found] == [
        (100, 200, 2),
        (300, 300, 1),
        (400, 400, 1),
        (500, 500, 1),
    ]


def test_one_line():
    assert error_in_words(ErrorSummary()) == "not audited"
    assert error_in_words(ErrorSummary(cv_force_rmse_ev_a=0.0123)) == "not audited; cross-validation 12.3 meV/Å"
    known = ErrorSummary(
        audit_force_rmse_ev_a=0.0042,
        audit_force_rmse_interval_ev_a=[0.003, 0.006],
        audit_force_share=0.012,
        audit_frames=3,
        target={"force_relative": 0.1, "stress_rmse_gpa": 0.5},
        met=True,
    )
    said = "4.2 meV/Å (3 to 6), 1.2 % of the forces, on 3 audited frames; target 10 %, 0.5 GPa: met"
    assert error_in_words(known) == said


def test_target():
    assert AccuracySettings().target == {"force_relative": 0.1}
    assert AccuracySettings(force_relative=None).target == {}
