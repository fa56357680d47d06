"""Nonsense is refused before it costs anything, and after whatever a code says of it."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule

from mlip_fw.engines.oracle.sanity import refuse_implausible, refuse_unphysical
from mlip_fw.errors import LabelError
from mlip_fw.io.structures import with_labels
from mlip_fw.models.oracle import AseOracle

LIMITS = AseOracle(kind="ase", calculator="emt", max_force_ev_a=50.0, max_stress_gpa=100.0)


def changed(**how):
    atoms = bulk("Cu", cubic=True)
    for name, value in how.items():
        if name == "cell":
            atoms.set_cell(value, scale_atoms=False)
        else:
            atoms.positions[0] = value
    return atoms


@pytest.mark.parametrize(
    ("atoms", "said"),
    [
        (changed(position=[np.nan, 0, 0]), "not a finite number"),
        (changed(cell=np.diag([np.inf, 4, 4])), "not a finite number"),
        (changed(cell=[[3.6, 0, 0], [0, 3.6, 0], [3.6, 3.6, 0]]), "cell is 0 Å thick"),
        (Atoms("Cu", cell=[5, 5, 0.3], pbc=True), "0.3 Å thick"),
        (changed(position=[1.8, 1.8, 0.3]), r"atoms 0 \(Cu\) and 3 \(Cu\) are 0.30 Å apart"),
        (bulk("Cu", a=1.9), "apart"),
        (
            Atoms("H4", [[0, 0, 0], [50, 0, 0], [0, 50, 0], [0, 0, 50]], cell=[100, 100, 100], pbc=True),
            "4 of 4 atoms have no neighbour .* have flown apart",
        ),
        (
            Atoms("H5", [[0, 0, 0], [0, 0, 0.75], [50, 0, 0], [0, 50, 0], [0, 0, 50]], cell=[100] * 3, pbc=True),
            "3 of 5 atoms have no neighbour",
        ),
    ],
)
def test_nonsense_is_refused_beforehand(atoms, said):
    with pytest.raises(LabelError, match=said):
        refuse_unphysical(atoms)


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("Cu"),
        bulk("C"),
        bulk("Cs"),
        bulk("W"),
        bulk("NaCl", "rocksalt", a=5.64),
        fcc111("Cu", (2, 2, 4), vacuum=10.0, periodic=True),
        bulk("Al", a=3.3),
        Atoms("H2", [[7, 7, 7], [7, 7, 7.76]], cell=[15, 15, 15], pbc=True),
        Atoms("H2", [[0, 0, 0], [0, 0, 39.3]], cell=[40, 40, 40], pbc=True),
        Atoms("H2", [[0, 0, 0], [0, 0, 2.5]], cell=[40, 40, 40], pbc=True),
        Atoms("H", cell=[15, 15, 15], pbc=True),
        Atoms("Cu", cell=[60, 60, 60], pbc=True),
        Atoms("Ar2", [[0, 0, 0], [0, 0, 3.8]], cell=[60, 60, 60], pbc=True),
        molecule("CH3CH2OH", cell=[60, 60, 60], pbc=True),
        Atoms("H", cell=[1.5, 1.5, 1.5], pbc=True),
    ],
    ids=str,
)
def test_matter_is_not_refused(atoms):
    before = atoms.copy()
    refuse_unphysical(atoms)
    assert atoms == before


def label(energy_per_atom=-3.0, force=0.1, stress_gpa=1.0, atoms=None):
    atoms = bulk("Cu", cubic=True) if atoms is None else atoms
    forces = np.zeros((len(atoms), 3))
    forces[0, 1] = force
    return with_labels(atoms, energy_per_atom * len(atoms), forces, np.full(6, stress_gpa / 160.21766208))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"force": 60.0}, "the largest force is 60 eV/Å, more than oracle.max_force_ev_a = 50"),
        ({"stress_gpa": -150.0}, "stress component is 150 GPa, more than oracle.max_stress_gpa = 100"),
        ({"stress_gpa": np.nan}, "stress component is nan"),
        ({"energy_per_atom": np.inf}, "not a finite number"),
        ({"force": np.nan}, "not a finite number"),
        ({"energy_per_atom": -12.0}, "-12 eV per atom is 9 eV from the nearest of 2 labels"),
    ],
)
def test_implausible_label_is_refused(values, said):
    with pytest.raises(LabelError, match=said):
        refuse_implausible(label(**values), LIMITS, [label(), label(-2.9)])


def test_plausible_label_is_kept():
    refuse_implausible(label(-1.0), LIMITS, [label(), label()])
    with pytest.raises(LabelError, match="12 eV from the nearest of 2"):
        refuse_implausible(label(9.0), LIMITS, [label(), label()])


def test_energies_are_compared_only_with_their_like():
    alloy = bulk("Cu", cubic=True)
    alloy.symbols[:2] = "Au"
    refuse_implausible(label(-12.0), LIMITS, [label()])
    refuse_implausible(label(-12.0, atoms=alloy), LIMITS, [label(), label()])
    with pytest.raises(LabelError, match="nearest of 2"):
        refuse_implausible(label(-12.0, atoms=alloy), LIMITS, [label(atoms=alloy * (2, 1, 1))] * 2)


def test_label_without_stress_is_kept():
    refuse_implausible(with_labels(bulk("Cu"), -3.0, np.zeros((1, 3)), None), LIMITS)
    with pytest.raises(LabelError, match="the largest force"):
        refuse_implausible(with_labels(bulk("Cu"), -3.0, np.full((1, 3), 60.0), None), LIMITS)


def test_energies_of_nearly_the_same_composition_say_nothing():
    """One atom more of an element shifts the energy by its own, which may be hundreds of eV."""
    other = bulk("Cu", cubic=True) * (4, 4, 2)
    other.symbols[:63] = "Au"
    own = bulk("Cu", cubic=True) * (4, 4, 2)
    own.symbols[:64] = "Au"
    refuse_implausible(label(-15.0, atoms=own), LIMITS, [label(atoms=other)] * 3)
    with pytest.raises(LabelError, match="nearest of 3"):
        refuse_implausible(label(-15.0, atoms=own), LIMITS, [label(atoms=own)] * 3)
