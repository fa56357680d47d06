"""The ase oracle: real labels, and none that should not be believed."""

import json
import sys

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_fw.engines.oracle.ase_job import AseRun
from mlip_fw.engines.oracle.ase_oracle import label_with_ase, require_calculator
from mlip_fw.engines.oracle.label import make_label
from mlip_fw.errors import CampaignError, LabelError, WorkerError
from mlip_fw.io.structures import canonical
from mlip_fw.models.oracle import AseOracle
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.fork_server import fork_server

CALCULATORS = """
import os, signal, time
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

class Base(Calculator):
    implemented_properties = ["energy", "forces"]
    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 1.0, "forces": 0 * atoms.positions}
        self.spoil(atoms)

class NaN(Base):
    def spoil(self, atoms): self.results["energy"] = float("nan")
class Infinite(Base):
    def spoil(self, atoms): self.results["forces"][0, 0] = float("inf")
class Short(Base):
    def spoil(self, atoms): self.results["forces"] = self.results["forces"][:-1]
class Wild(Base):
    def spoil(self, atoms): self.results["forces"][0, 0] = 1e4
class Unconverged(Base):
    converged = False
    def spoil(self, atoms): pass
class Raising(Base):
    def spoil(self, atoms):
        print("the last words")
        raise RuntimeError("SCF did not converge")
class Hanging(Base):
    def spoil(self, atoms): time.sleep(1000)
class Killed(Base):
    def spoil(self, atoms): os.kill(os.getpid(), signal.SIGKILL)
class Crashing(Base):
    def spoil(self, atoms): os.kill(os.getpid(), signal.SIGSEGV)
class NoStress(Base):
    def spoil(self, atoms): pass
class NoMemory(Base):
    def spoil(self, atoms): raise MemoryError
"""


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calculators")
    (folder / "strange.py").write_text(CALCULATORS)
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(folder))
    patch.syspath_prepend(str(folder))
    fork_server().close()
    yield lambda name, **settings: AseOracle(kind="ase", calculator=f"strange:{name}", **settings)
    patch.undo()
    sys.modules.pop("strange", None)
    fork_server().close()


def oracle(calculator, **parameters):
    return AseOracle(kind="ase", calculator=calculator, parameters=parameters)


def test_label_is_what_the_calculator_says():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms = canonical(atoms)
    answer = label_with_ase(atoms, oracle("emt"))
    labelled, facts = answer.atoms, answer.facts
    atoms.calc = EMT()
    assert labelled.get_potential_energy() == atoms.get_potential_energy()
    assert np.array_equal(labelled.get_forces(), atoms.get_forces())
    assert np.allclose(labelled.get_stress(), atoms.get_stress())
    assert facts["code"].endswith("emt")


def test_parameters_reach_the_calculator():
    atoms = bulk("Ar", a=5.3, cubic=True)
    deep, shallow = (
        label_with_ase(atoms, oracle("lj", sigma=3.4, epsilon=e, rc=9.0)).atoms.get_potential_energy()
        for e in (0.02, 0.01)
    )
    assert deep == pytest.approx(2 * shallow)


def test_calculator_without_stress(strange):
    labelled = label_with_ase(bulk("Cu"), strange("NoStress")).atoms
    assert "stress" not in labelled.calc.results


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NaN", "energy is not a finite number"),
        ("Infinite", "a force is not a finite number"),
        ("Short", r"forces have shape \(3, 3\), expected \(4, 3\)"),
        ("Wild", "largest force is 1e\\+04"),
        ("Unconverged", "did not converge"),
        ("Raising", "RuntimeError: SCF did not converge"),
        ("Crashing", "killed by SIGSEGV"),
        ("Killed", "killed by SIGKILL"),
    ],
)
def test_no_trustworthy_label(strange, name, said, tmp_path):
    with pytest.raises(LabelError, match=said):
        make_label(bulk("Cu", cubic=True), strange(name), Worker(), ["Cu"], tmp_path)


def test_what_a_failing_calculator_printed_is_kept(strange, tmp_path):
    with pytest.raises(LabelError) as caught:
        make_label(bulk("Cu"), strange("Raising"), Worker(), ["Cu"], tmp_path / "label")
    [log] = caught.value.files
    assert log == tmp_path / "label" / "oracle.out"
    assert "the last words" in log.read_text()


def test_hanging_calculation_is_ended(strange):
    with pytest.raises(LabelError, match="took longer than 1 s"):
        label_with_ase(bulk("Cu"), strange("Hanging", timeout_s=1.0))


def test_fault_of_the_machine_is_no_label_error(strange):
    with pytest.raises(WorkerError, match="this machine can't label: MemoryError"):
        label_with_ase(bulk("Cu"), strange("NoMemory"))


def test_missing_or_torn_result_is_not_believed(tmp_path):
    run = AseRun(folder=tmp_path, oracle=oracle("emt"), n_atoms=4, probe=False)
    assert run.complaint() == "the calculator wrote no result"
    (tmp_path / "label.json").write_text('{"energy_ev": 1.0')
    assert run.complaint() == "the calculator wrote no result"
    whole = {"energy_ev": 1.0, "forces_ev_a": np.zeros((4, 3)).tolist(), "converged": True}
    (tmp_path / "label.json").write_text(json.dumps(whole))
    assert run.complaint() is None


@pytest.mark.parametrize(
    ("made", "kind", "said"),
    [
        (oracle("emtt"), CampaignError, "'emtt' is not a calculator; known are"),
        (oracle("ase:NoSuchThing"), CampaignError, "has no NoSuchThing"),
        (oracle("no_such_package:X"), WorkerError, "not installed"),
        (oracle("lj", sigmaa=3.4), CampaignError, "has no sigmaa; did you mean sigma"),
    ],
)
def test_calculator_is_checked_beforehand(made, kind, said):
    with pytest.raises(kind, match=said):
        require_calculator(made, Worker())


@pytest.mark.parametrize("name", ["emt", "EMT", "lj", "ase.calculators.emt:EMT"])
def test_names_of_calculators(name):
    require_calculator(oracle(name), Worker())
    with pytest.raises((CampaignError, WorkerError), match=f"{name}x"):
        require_calculator(oracle(f"{name}x"), Worker())
