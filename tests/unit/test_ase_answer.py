"""The ase oracle takes the energy that belongs to the forces, and no label that a calculator bent without a word."""

import json
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixCartesian

from mlip_fw.engines.oracle.ase_answer import difference
from mlip_fw.engines.oracle.ase_oracle import label_with_ase
from mlip_fw.engines.oracle.label import make_label
from mlip_fw.errors import LabelError
from mlip_fw.io.structures import canonical
from mlip_fw.models.oracle import AseOracle
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.fork_server import fork_server

CALCULATORS = '''
import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms

class Changed(Calculator):
    """EMT, and something done to what it says."""
    implemented_properties = ["energy", "forces", "stress", "free_energy"]
    free = True
    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        inner = atoms.copy()
        inner.calc = EMT()
        self.results = {name: inner.calc.get_property(name, inner) for name in ("energy", "stress")}
        self.results["forces"] = inner.get_forces()
        self.change(atoms, self.results)
    def change(self, atoms, results): pass

class Smeared(Changed):
    def change(self, atoms, results):
        results["free_energy"] = results["energy"]
        results["energy"] = results["energy"] + 0.75
class Untold(Changed):
    """A free energy that only the results have."""
    implemented_properties = ["energy", "forces", "stress"]
    change = Smeared.change
class Tensor(Changed):
    def change(self, atoms, results):
        xx, yy, zz, yz, xz, xy = results["stress"]
        results["stress"] = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
class Nine(Tensor):
    def change(self, atoms, results):
        super().change(atoms, results)
        results["stress"] = results["stress"].ravel()
class OneElement(Changed):
    def change(self, atoms, results):
        results["energy"] = np.array([results["energy"]])
class Single(Changed):
    def change(self, atoms, results):
        results["forces"] = results["forces"].astype(np.float32)
class Unclear(Changed):
    converged = None
class Constraining(Changed):
    """Leaves a constraint behind, as calculators for parts of a structure do."""
    def change(self, atoms, results):
        atoms.set_constraint(FixAtoms([0, 1]))

class Lopsided(Tensor):
    def change(self, atoms, results):
        super().change(atoms, results)
        results["stress"][0, 1] += 1.0
class Four(Changed):
    def change(self, atoms, results): results["stress"] = np.zeros(4)
class NoStressNumber(Changed):
    def change(self, atoms, results): results["stress"][2] = np.nan
class PerAtom(Changed):
    def change(self, atoms, results): results["energy"] = np.full(len(atoms), results["energy"] / len(atoms))
class Complex(Changed):
    def change(self, atoms, results): results["forces"] = results["forces"] + 1e-9j
class Masked(Changed):
    def change(self, atoms, results): results["forces"] = np.ma.masked_greater(results["forces"], 0.0)
class Flat(Changed):
    def change(self, atoms, results): results["forces"] = results["forces"].ravel()
class Moving(Changed):
    def change(self, atoms, results): atoms.positions[0, 0] += 0.01
class Straining(Changed):
    def change(self, atoms, results): atoms.set_cell(atoms.cell * 1.001)
class Sorting(Changed):
    def change(self, atoms, results): atoms.positions[:] = atoms.positions[::-1]
class Stale(Changed):
    def change(self, atoms, results):
        self.atoms = atoms.copy()
        self.atoms.positions[1] += 0.05
class NotConverged(Changed):
    def change(self, atoms, results): results["converged"] = np.bool_(False)
class Fixing(Changed):
    """Applies a constraint inside."""
    def change(self, atoms, results): results["forces"][:2] = 0.0
class FixingOneAxis(Changed):
    def change(self, atoms, results): results["forces"][:, 2] = 0.0
class Kilocalories(Changed):
    def change(self, atoms, results): results["forces"] = results["forces"] * 23.06
class Gradient(Changed):
    def change(self, atoms, results): results["forces"] = -results["forces"]
class Bohr(Changed):
    def change(self, atoms, results): results["forces"] = results["forces"] * 0.529177
class Shuffled(Changed):
    def change(self, atoms, results): results["forces"] = results["forces"][::-1].copy()
'''


@pytest.fixture(scope="module", autouse=True)
def bent(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calculators")
    (folder / "bent.py").write_text(CALCULATORS)
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(folder))
    patch.syspath_prepend(str(folder))
    fork_server().close()
    yield
    patch.undo()
    sys.modules.pop("bent", None)
    fork_server().close()


def oracle(name):
    return AseOracle(kind="ase", calculator=f"bent:{name}")


@pytest.fixture(scope="module")
def truth():
    """Return a structure without symmetry, with EMT's energy, forces and stress."""
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms = canonical(atoms)
    atoms.calc = EMT()
    atoms.get_stress()
    return atoms


@pytest.mark.parametrize(
    "name", ["Smeared", "Untold", "Tensor", "Nine", "OneElement", "Single", "Unclear", "Constraining"]
)
def test_answer_is_taken_as_it_is_meant(name, truth):
    fixed = truth.copy()
    fixed.set_constraint(FixAtoms([2, 3]))
    labelled = label_with_ase(fixed, oracle(name)).atoms
    assert labelled.get_potential_energy() == pytest.approx(truth.get_potential_energy(), abs=1e-9)
    forces = labelled.get_forces(apply_constraint=False)
    assert forces == pytest.approx(truth.get_forces(), abs=1e-6)
    assert np.abs(forces).min() > 1e-3
    assert labelled.calc.results["stress"] == pytest.approx(truth.get_stress(), abs=1e-9)


def test_label_has_no_constraints(truth, tmp_path):
    fixed = truth.copy()
    fixed.set_constraint([FixAtoms([2, 3]), FixCartesian(0, (True, False, False))])
    labelled = make_label(fixed, oracle("Changed"), Worker(), ["Cu"], tmp_path).atoms
    assert labelled.get_forces() == pytest.approx(truth.get_forces(), abs=1e-9)
    assert not labelled.constraints
    assert len(fixed.constraints) == 2


def test_label_says_which_energy_was_taken(truth):
    told = json.loads(label_with_ase(truth, oracle("Smeared")).facts["convergence"])
    energy = truth.get_potential_energy()
    assert told["energy_taken"] == "free_energy"
    assert told["free_energy_ev"] == pytest.approx(energy)
    assert told["energy_ev"] == pytest.approx(energy + 0.75)
    assert json.loads(label_with_ase(truth, oracle("Changed")).facts["convergence"]) == {"converged": True}
    told = json.loads(label_with_ase(truth, AseOracle(kind="ase", calculator="emt")).facts["convergence"])
    assert told == {"converged": True, "energy_taken": "free_energy"}


def test_labels_of_an_earlier_version_are_told_from_new_ones(truth, caplog):
    old = truth.copy()
    old.info = {"code": "ase bent:Smeared", "convergence": '{"converged": true}'}
    label_with_ase(truth, oracle("Smeared"), [old])
    assert "labels of an earlier version" in caplog.text
    assert "0.75 eV less" in caplog.text
    caplog.clear()
    old.info["convergence"] = label_with_ase(truth, oracle("Smeared")).facts["convergence"]
    label_with_ase(truth, oracle("Smeared"), [old])
    assert not caplog.text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Lopsided", "stress tensor that is not symmetric"),
        ("Four", r"stress of shape \(4,\), expected \(6,\) or \(3, 3\)"),
        ("NoStressNumber", "stress component is not a finite number"),
        ("PerAtom", r"energy of shape \(4,\), expected one number"),
        ("Complex", "forces of type complex128, expected real numbers"),
        ("Masked", "forces with masked values"),
        ("Flat", r"forces have shape \(12,\), expected \(4, 3\)"),
        ("Moving", r"changed the structure that it was given \(positions"),
        ("Straining", r"changed the structure that it was given \(cell"),
        ("Sorting", r"changed the structure that it was given \(positions, or the order"),
        ("Stale", "results are of another structure"),
        ("NotConverged", "did not converge"),
        ("Fixing", "forces on 2 of 4 atoms have components of exactly zero.*holds atoms fixed"),
        ("FixingOneAxis", "forces on 4 of 4 atoms have components of exactly zero.*holds atoms fixed"),
        ("Kilocalories", "not the derivative of the energy"),
        ("Gradient", "not the derivative of the energy"),
        ("Bohr", "not the derivative of the energy"),
        ("Shuffled", "not the derivative of the energy"),
    ],
)
def test_bent_answer_is_refused(name, said, truth, tmp_path):
    with pytest.raises(LabelError, match=f"^(?!LabelError).*{said}"):
        make_label(truth, oracle(name), Worker(), ["Cu"], tmp_path)


def test_forces_are_asked_about_once_a_campaign(truth):
    known = truth.copy()
    known.info["code"] = "ase bent:Bohr"
    label_with_ase(truth, oracle("Bohr"), [known])
    known.info["code"] = "ase emt"
    with pytest.raises(LabelError, match="derivative"):
        label_with_ase(truth, oracle("Bohr"), [known])


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("Cu", cubic=True),
        bulk("Cu", "hcp", a=2.55) * (4, 4, 3),
        Atoms("H2", [[7, 7, 7], [7, 7, 7.76]], cell=[15] * 3, pbc=True),
    ],
)
def test_forces_that_symmetry_makes_zero_are_believed(atoms):
    atoms = canonical(atoms)
    labelled = label_with_ase(atoms, AseOracle(kind="ase", calculator="emt")).atoms
    atoms.calc = EMT()
    assert labelled.get_forces() == pytest.approx(atoms.get_forces(), abs=1e-9)


def test_lattice_vectors_make_no_difference():
    atoms = bulk("Cu", cubic=True)
    moved = atoms.copy()
    moved.positions += atoms.cell[1]
    assert not difference(atoms, moved, 1e-6)
    moved.positions[2, 0] += 1e-3
    assert "positions" in difference(atoms, moved, 1e-6)
    moved = atoms.copy()
    moved.numbers[0] = 47
    assert "order" in difference(atoms, moved, 1e-6)
