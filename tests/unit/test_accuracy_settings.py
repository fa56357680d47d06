"""Absurd values of ``accuracy`` are refused by name, and reasonable ones taken."""

import pytest
from pydantic import ValidationError

from mlip_fw.models.accuracy import AccuracySettings


@pytest.mark.parametrize("key", ["force_relative", "force_rmse_ev_a", "energy_rmse_ev_atom", "stress_rmse_gpa"])
@pytest.mark.parametrize("value", [-0.1, 0.0, float("nan"), float("inf"), "10 %", [0.1]])
def test_a_criterion_is_a_positive_number(key, value):
    with pytest.raises(ValidationError) as refused:
        AccuracySettings(**{key: value})
    assert [error["loc"] for error in refused.value.errors()] == [(key,)]


@pytest.mark.parametrize(
    ("key", "value"),
    [("audit_share", -0.1), ("audit_share", 1.1), ("min_audit_frames", 1), ("min_audit_frames", 10**9)],
)
def test_shares_and_counts_have_limits(key, value):
    with pytest.raises(ValidationError) as refused:
        AccuracySettings(**{key: value})
    assert [error["loc"] for error in refused.value.errors()] == [(key,)]


def test_no_criterion_is_no_target():
    assert AccuracySettings(force_relative=None).target == {}
    assert AccuracySettings(force_relative=1e9, audit_share=1).target == {"force_relative": 1e9}
