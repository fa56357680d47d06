"""The calculator of ASE says what pyace's does, of crystals, slabs and molecules."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.calculator import PropertyNotImplementedError
from pyace import PyACECalculator

import mlip_fw
from mlip_fw.engines.ace.basis import linear_basis
from mlip_fw.io.pace import write_active_set, write_basis


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Return a potential of two elements with random coefficients and active sets."""
    path = tmp_path_factory.mktemp("potential") / "gen_000.yaml"
    basis, rng = linear_basis(["Au", "Cu"], 5.0, 40), np.random.default_rng(1)
    basis.basis_coeffs = rng.normal(size=len(basis.basis_coeffs)) / 10
    write_basis(path, basis)
    write_active_set(path.with_suffix(".asi"), {name: rng.normal(size=(40, 40)) for name in ("Au", "Cu")})
    return path


def crystal():
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.symbols[2] = "Au"
    return atoms


SHAPES = {
    "crystal": crystal,
    "slab": lambda: fcc111("Au", (2, 2, 3), vacuum=3.0),
    "slab without a third vector": lambda: fcc111("Cu", (1, 2, 2)),
    "molecule": lambda: Atoms("AuCu2", [[0, 0, 0], [2.5, 0, 0], [1, 2.2, 0.3]]),
    "molecule in a box that is too small": lambda: Atoms("Cu2", [[0, 0, 0], [2.5, 0, 0]], cell=[4, 4, 4]),
    "wire": lambda: Atoms("CuAu", [[0, 0, 0], [0.3, 0.2, 2.4]], cell=[0, 0, 5], pbc=[False, False, True]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_says_what_pyace_says(path, shape):
    ours, theirs = SHAPES[shape](), SHAPES[shape]()
    ours.rattle(0.1, seed=1)
    theirs.rattle(0.1, seed=1)
    ours.calc, theirs.calc = mlip_fw.AceCalculator(path), PyACECalculator(str(path))
    theirs.calc.set_active_set(str(path.with_suffix(".asi")))
    if not theirs.pbc.all():
        theirs.center(vacuum=20.0, axis=np.flatnonzero(~theirs.pbc))
        theirs.pbc = True
    assert ours.get_potential_energy() == pytest.approx(theirs.get_potential_energy(), abs=1e-8)
    assert ours.get_forces() == pytest.approx(theirs.get_forces(), abs=1e-8)
    assert ours.calc.gamma == pytest.approx(theirs.calc.results["gamma"], rel=1e-8)
    if ours.pbc.all():
        assert ours.get_stress() == pytest.approx(theirs.get_stress(), abs=1e-8)
    else:
        with pytest.raises(PropertyNotImplementedError, match="periodic in all directions"):
            ours.get_stress()


def test_one_calculator_serves_other_atoms(path):
    calculator = mlip_fw.AceCalculator(path, gamma=False)
    energies = []
    for atoms in (crystal(), crystal()[[2, 1, 0, 3]], bulk("Au", cubic=True), crystal()):
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
        assert energies[-1] == pytest.approx(mlip_fw.AceCalculator(path).get_potential_energy(atoms), abs=1e-9)
    assert energies[0] == energies[3] != energies[2]
    assert len(calculator.gamma) == 0


def test_the_package_has_no_other_names():
    with pytest.raises(AttributeError, match="module 'mlip_fw' has no attribute 'Calculator'"):
        mlip_fw.Calculator  # noqa: B018
