"""The end of the batch job, and what it means for calculations."""

import time

import pytest

from mlip_fw.firetasks.base import read_worker
from mlip_fw.runtime.walltime import seconds_left, working_seconds_left


@pytest.fixture(autouse=True)
def no_job(monkeypatch):
    for name in ("MLIP_FW_JOB_END", "SLURM_JOB_END_TIME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("said", [None, "", "soon", "UNLIMITED"])
def test_nobody_says_when_the_job_ends(monkeypatch, said):
    if said is not None:
        monkeypatch.setenv("MLIP_FW_JOB_END", said)
    assert seconds_left() is None
    assert read_worker({}).md_walltime_s is None


@pytest.mark.parametrize("name", ["MLIP_FW_JOB_END", "SLURM_JOB_END_TIME"])
def test_time_left(monkeypatch, name):
    monkeypatch.setenv(name, str(int(time.time()) + 3600))
    assert seconds_left() == pytest.approx(3600, abs=2)
    assert working_seconds_left() == pytest.approx(3600 - 180, abs=2)


def test_of_a_short_job_half_is_left(monkeypatch):
    monkeypatch.setenv("MLIP_FW_JOB_END", str(int(time.time()) + 200))
    assert working_seconds_left() == pytest.approx(100, abs=2)


def test_the_job_limits_what_the_worker_file_allows(monkeypatch):
    monkeypatch.setenv("MLIP_FW_JOB_END", str(int(time.time()) + 7200))
    worker = read_worker({"md_walltime_s": 80000.0, "label_walltime_s": 600.0})
    assert worker.md_walltime_s == pytest.approx(7020, abs=2)
    assert worker.label_walltime_s == 600.0


def test_a_job_that_should_be_over_leaves_the_least(monkeypatch):
    monkeypatch.setenv("MLIP_FW_JOB_END", str(int(time.time()) - 50))
    worker = read_worker({})
    assert (worker.md_walltime_s, worker.label_walltime_s) == (2.0, 30.0)
