"""What all tests share: a small campaign, and a rule about missing programs."""

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fireworks import FWorker
from pymongo.errors import OperationFailure

from mlip_fw.database.matching import engine_speaks
from mlip_fw.database.predicates import predicate
from mlip_fw.database.refusal import RefusedError
from mlip_fw.io.campaign_file import parse_campaign

# also for commands that run with another home: compiling the kernel takes half a minute
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path.home() / ".cache" / "mlip-fw"))
REQUIRED = set(filter(None, os.environ.get("MLIP_FW_REQUIRE", "").split(",")))
ROOT = Path(__file__).parent.parent
LONG = (
    *("real/test_slurm_faults", "real/test_qe_campaigns", "real/test_slurm_ends", "cli/test_docs", "real/test_slurm"),
    *("real/test_pacemaker_campaign", "faults/test_crew", "real/test_install", "real/test_fireworks_suite"),
    *("faults/test_kill", "workflow/test_hundred_labels", "real/test_slurm_offline", "real/test_validation"),
)
"""Files that begin first, so that the last minutes are shared: those that wait beside those that compute."""

SMALL = {
    "campaign": "small",
    "seed": 5,
    "elements": ["Cu"],
    "structure": {"bulk": {"symbol": "Cu", "crystal": "fcc", "a": 3.61, "cubic": True, "repeat": [2, 2, 2]}},
    "md": {
        "engine": "lammps",
        "timestep_fs": 2.0,
        "stages": [{"ensemble": "nvt", "temperature_k": [300, 600], "n_steps": 100}],
    },
    "uncertainty": {"gamma_select": 2.0, "gamma_halt": 10.0, "check_interval": 10},
    "oracle": {"kind": "ase", "calculator": "emt"},
    "potential": {"kind": "linear", "cutoff_a": 5.0, "functions_per_element": 20},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first."""
    items.sort(key=_place_of)


def _place_of(item: pytest.Item) -> int:
    name = str(item.path.relative_to(ROOT / "tests").with_suffix(""))
    return LONG.index(name) if name in LONG else len(LONG)


def require(name: str, present: object) -> None:
    """Skip a test whose program is missing, or fail it where ``MLIP_FW_REQUIRE`` names the program."""
    if not present:
        message = f"{name} is not here"
        pytest.fail(f"{message}, and MLIP_FW_REQUIRE asks for it") if name in REQUIRED else pytest.skip(message)


def check_contract(folder, summary, tmp_path):
    """Run the checker of campaign directories that ``MLIP_FW_CONTRACT`` names."""
    checker = os.environ.get("MLIP_FW_CONTRACT", "")
    require("contract", checker and Path(checker).is_file())
    (tmp_path / "summary-of-run.json").write_text(summary)
    done = subprocess.run(
        [sys.executable, checker, str(folder), str(tmp_path / "summary-of-run.json")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def merged(data: dict, changes: dict) -> dict:
    """Return ``data`` with ``changes`` taken over, section by section."""
    result = copy.deepcopy(data)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict) and "bulk" not in value
        result[key] = merged(result[key], value) if both else copy.deepcopy(value)
    return result


def make_small(**changes):
    """Return a small campaign with changes; an oracle of another kind replaces the whole section."""
    data = merged(SMALL, changes)
    if "oracle" in changes:
        data["oracle"] = changes["oracle"]
    return parse_campaign(data, "test")


@pytest.fixture(autouse=True, scope="session")
def strict_queries():
    """Have databases in memory refuse and compare as a MongoDB does: a wrong query of ours fails in any test."""

    def filter_applies(query, document):
        try:
            with engine_speaks():
                return predicate(query)(document)
        except RefusedError as refusal:
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
    from tests.faults.farm_worker import lend_lmp

    command, server = lend_lmp(tmp_path_factory.mktemp("lmp"))
    yield command
    server.kill()


@pytest.fixture(scope="session")
def lent_pw(tmp_path_factory):
    """Return the command of a stand-in for pw.x that starts at once."""
    from tests.faults.farm_worker import lend

    command, server = lend("pw", tmp_path_factory.mktemp("pw"))
    yield command
    server.kill()


@pytest.fixture(scope="session")
def lent_vasp(tmp_path_factory):
    """Return the command of a stand-in for VASP that starts at once."""
    from tests.faults.farm_worker import lend

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


def run_pacemaker_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do so as long as ``monkeypatch`` lives."""
    from mlip_fw.engines.process import Ended
    from mlip_fw.engines.train.pacemaker import job
    from mlip_fw.testing import pacemaker

    def run(key, command, folder, *, arguments, stdout, **others):
        given = command.partition("mlip_fw.testing.pacemaker")[2].split()
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["pacemaker", *given, *arguments])
            try:
                pacemaker.main()
            except SystemExit as error:
                stdout.write_text(f"{error}\n")
                return Ended(1, False, 0.1)
        return Ended(0, False, 0.1)

    monkeypatch.setattr(job, "run_command", run)


@pytest.fixture
def native_lmp():
    """Return the command of a LAMMPS with ML-PACE."""
    command = os.environ.get("MLIP_FW_LMP", "")
    require("native", command and shutil.which(command.split()[-1]))
    return command
