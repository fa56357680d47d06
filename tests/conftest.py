"""Fixtures of all tests, and the order in which test files run."""

import os
import shutil
from pathlib import Path

import pytest
from fireworks import FWorker
from pymongo.errors import OperationFailure

from mlip_fw.launchpad.server.command_error import CommandError
from mlip_fw.launchpad.server.mongomock_engine import translate_engine_errors
from mlip_fw.launchpad.server.predicates import predicate
from tests.helpers.campaigns import make_small
from tests.helpers.programs import ROOT, require, run_pacemaker_here

# also for commands that run with another home: compiling the kernel takes half a minute
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path.home() / ".cache" / "mlip-fw"))
LONG = (
    *("real/test_slurm_faults", "real/test_qe_campaigns", "real/test_slurm_ends", "cli/test_docs", "real/test_slurm"),
    *("real/test_pacemaker_campaign", "faults/test_worker_pool", "real/test_install", "real/test_fireworks_suite"),
    *("faults/test_kill", "workflow/test_hundred_labels", "real/test_slurm_offline", "real/test_validation"),
)
"""Files that begin first, so that the last minutes are shared: those that wait beside those that compute."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first."""
    items.sort(key=_place_of)


def _place_of(item: pytest.Item) -> int:
    name = str(item.path.relative_to(ROOT / "tests").with_suffix(""))
    return LONG.index(name) if name in LONG else len(LONG)


@pytest.fixture(autouse=True, scope="session")
def strict_queries():
    """Have databases in memory refuse and compare as a MongoDB does: a wrong query of ours fails in any test."""

    def filter_applies(query, document):
        try:
            with translate_engine_errors():
                return predicate(query)(document)
        except CommandError as refusal:
            raise OperationFailure(str(refusal), refusal.code) from refusal

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mongomock.collection.filter_applies", filter_applies)
        yield


@pytest.fixture
def small():
    """Return a function that makes a small campaign with changes."""
    return make_small


@pytest.fixture(scope="session")
def small_campaign():
    """Return the same function, for fixtures that live longer."""
    return make_small


@pytest.fixture(scope="session")
def lent_lmp(tmp_path_factory):
    """Return the command of a stand-in for LAMMPS that starts at once: its imports cost more than its work."""
    from tests.helpers.farm_worker import lend_lmp

    command, server = lend_lmp(tmp_path_factory.mktemp("lmp"))
    yield command
    server.kill()


@pytest.fixture(scope="session")
def lent_pw(tmp_path_factory):
    """Return the command of a stand-in for pw.x that starts at once."""
    from tests.helpers.farm_worker import lend

    command, server = lend("pw", tmp_path_factory.mktemp("pw"))
    yield command
    server.kill()


@pytest.fixture(scope="session")
def lent_vasp(tmp_path_factory):
    """Return the command of a stand-in for VASP that starts at once."""
    from tests.helpers.farm_worker import lend

    command, server = lend("vasp", tmp_path_factory.mktemp("vasp"))
    yield command
    server.kill()


@pytest.fixture
def stand_in(lent_lmp):
    """Return a function that makes a worker whose LAMMPS is the stand-in."""

    def make(options: str = "", **env) -> FWorker:
        return FWorker(name="stand-in", env={"lmp_cmd": f"{lent_lmp} {options}", **env})

    return make


@pytest.fixture
def pacemaker_here(monkeypatch):
    """Have the stand-in for pacemaker run in this process: to start another costs more than the test."""
    run_pacemaker_here(monkeypatch)


@pytest.fixture
def native_lmp():
    """Return the command of a LAMMPS with ML-PACE."""
    command = os.environ.get("MLIP_FW_LMP", "")
    require("native", command and shutil.which(command.split()[-1]))
    return command
