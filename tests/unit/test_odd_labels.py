"""Free atoms, dimers, another energy zero, wrong units: none of them ruins the forces, and each is said."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train.consistency import contradictions
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.engines.train.references import free_atoms
from mlip_fw.errors import TrainingError
from mlip_fw.io.files import read_arrays, write_arrays
from mlip_fw.io.structures import with_labels

ATOM_EV = {"Cu": -0.19, "Au": 0.25}
"""Of free atoms, made up: bulk is some 3.5 eV lower."""
ZERO_EV = {"Cu": -3.7, "Au": -3.55}
"""What EMT's energies, zero in the bulk, are moved by."""
IMPORTED = {"code": "imported from data.xyz", "label_seconds": 0.0}


def labelled(atoms, shift=None):
    """Return ``atoms`` with EMT's energy relative to ``ZERO_EV``, moved by a ``shift`` of each element."""
    atoms.calc = EMT()
    moved = sum(ZERO_EV[s] + (shift or {}).get(s, 0.0) for s in atoms.get_chemical_symbols())
    return with_labels(atoms, atoms.get_potential_energy() + moved, atoms.get_forces(), atoms.get_stress())


def cell(seed, elements=("Cu",), shift=None, rattle=0.08):
    rng = np.random.default_rng(seed)
    atoms = bulk("Cu", cubic=True, a=3.61 if len(elements) == 1 else 3.75) * (2, 2, 2)
    if len(elements) > 1:
        atoms.symbols[rng.permutation(32)[: rng.integers(6, 20)]] = "Au"
    strain = rng.normal(scale=0.02, size=(3, 3))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain + strain.T), scale_atoms=True)
    atoms.rattle(rattle, seed=seed)
    return labelled(atoms, shift)


def free(symbol):
    atoms = Atoms(symbol, [[8, 8, 8]], cell=[16] * 3, pbc=True)
    return with_labels(atoms, ATOM_EV[symbol], np.zeros((1, 3)), None)


def dimers(elements):
    pairs = [(a, b) for a in elements for b in elements]
    found = []
    for k, distance in enumerate(np.linspace(2.0, 4.3, 9)):
        atoms = Atoms(pairs[k % len(pairs)], [[8, 8, 8], [8 + distance, 8, 8]], cell=[16] * 3, pbc=True)
        found.append(labelled(atoms))
    return found


def teach(root, campaign, imported, *own):
    """Train on imported labels, then on each list of own ones; return all records."""
    dataset, records = Dataset(root), []
    for k, frames in enumerate((imported, *own)):
        for atoms in frames:
            name = f"{len(dataset.hashes()):04d}"
            if not k:
                dataset.mark_imported(name)
            dataset.add(name, atoms, IMPORTED if not k else {"level_of_theory": "level-000000000000"})
        records.append(train_generation(Generations(root), dataset, campaign))
    return records


def force_error(root, frames):
    generations = Generations(root)
    potential = AcePotential.from_files(generations.potential(generations.newest()))
    off = [potential.evaluate(atoms, gamma=False).forces_ev_a - atoms.get_forces() for atoms in frames]
    return float(np.sqrt(np.mean(np.square(off))))


@pytest.fixture(scope="module")
def make(small_campaign):
    """Return a function that makes the campaign of some elements."""

    def made(elements, **potential):
        settings = {"functions_per_element": 40, "cutoff_a": 4.5, **potential}
        return small_campaign(elements=sorted(elements), potential=settings, bootstrap={"dataset": "data.xyz"})

    return made


@pytest.fixture(scope="module")
def copper(make, tmp_path_factory):
    """Return 16 cells of copper, others held out, and the error of forces that the first give."""
    root = tmp_path_factory.mktemp("copper")
    teach(root, make(["Cu"]), [cell(k) for k in range(16)])
    held_out = [cell(k) for k in range(100, 104)]
    return [cell(k) for k in range(16)], held_out, force_error(root, held_out)


@pytest.fixture(scope="module")
def alloy(make, tmp_path_factory):
    both, root = ("Au", "Cu"), tmp_path_factory.mktemp("alloy")
    frames, held_out = [cell(k, both) for k in range(26)], [cell(k, both) for k in range(100, 104)]
    teach(root, make(both), frames)
    return frames, held_out, force_error(root, held_out)


@pytest.fixture(params=["copper", pytest.param("alloy", marks=pytest.mark.slow)])
def material(request):
    """Return elements, labels, labels held out, and the error of the plain fit."""
    return ["Cu"] if request.param == "copper" else ["Au", "Cu"], *request.getfixturevalue(request.param)


def test_free_atoms_are_reference_energies_and_nothing_else(material, make, tmp_path, caplog):
    elements, frames, held_out, plain = material
    [record] = teach(tmp_path, make(elements), [free(name) for name in elements] + frames)
    assert record.reference_energy_ev == {name: pytest.approx(ATOM_EV[name]) for name in elements}
    assert record.free_atoms == [f"{k:04d}" for k in range(len(elements))]
    assert record.dataset.energy_rmse_ev_atom < 0.005
    assert force_error(tmp_path, held_out) < 1.5 * plain
    assert "free atom of Cu: its -0.1900 eV is the reference energy of Cu" in caplog.text


def test_dimers_do_not_ruin_the_forces(material, make, tmp_path):
    elements, frames, held_out, plain = material
    odd = dimers(elements)
    [record] = teach(tmp_path, make(elements), frames[:4] + odd + frames[4:])
    assert force_error(tmp_path, held_out) < 1.5 * plain
    names = {f"{k:04d}" for k in range(4, 4 + len(odd))}
    lowered = {name for name, weight in record.weights.items() if weight.energy < 0.1}
    assert len(lowered & names) > len(names) / 2
    assert any("count less" in warning for warning in record.warnings)


def test_one_wrong_energy_is_named_and_its_forces_stay(material, make, tmp_path):
    elements, frames, held_out, plain = material
    wrong = with_labels(
        frames[3], frames[3].get_potential_energy() + 300, frames[3].get_forces(), frames[3].get_stress()
    )
    [record] = teach(tmp_path, make(elements), [*frames[:3], wrong, *frames[4:]])
    assert force_error(tmp_path, held_out) < 1.2 * plain
    assert record.weights["0003"].energy < 0.01
    assert record.weights["0003"].forces == 1.0
    assert any("0003" in warning for warning in record.warnings)


def test_without_odd_labels_all_count(material, make, tmp_path):
    elements, frames, _, _ = material
    [record] = teach(tmp_path, make(elements), frames)
    assert (record.weights, record.free_atoms, record.warnings, record.imported_offset_ev) == ({}, [], [], None)


def test_imported_labels_of_another_energy_zero(material, make, tmp_path):
    elements, frames, held_out, plain = material
    shift = {"Cu": -0.3} if elements == ["Cu"] else {"Cu": -3.7, "Au": -140.0}
    moved = []
    for atoms in frames:
        more = sum(shift[symbol] for symbol in atoms.get_chemical_symbols())
        moved.append(with_labels(atoms, atoms.get_potential_energy() + more, atoms.get_forces(), atoms.get_stress()))
    own = [[cell(k, tuple(elements), rattle=0.12)] for k in (50, 51)] + [[cell(k, tuple(elements)) for k in (52, 53)]]
    records = teach(tmp_path, make(elements), moved, *own)
    assert force_error(tmp_path, held_out) < 1.2 * plain
    last = records[-1]
    assert last.imported_offset_ev == {name: pytest.approx(shift[name], abs=0.05) for name in elements}
    assert [any("another level of theory?" in w for w in record.warnings) for record in records] == [False, *3 * [True]]
    if elements == ["Cu"]:
        assert f"own labels lie {-shift['Cu']:.2f} eV per atom above those of bootstrap.dataset" in last.warnings[0]
    potential = AcePotential.from_files(Generations(tmp_path).potential(3))
    off = [potential.evaluate(a, gamma=False).energy_ev - a.get_potential_energy() for a in held_out]
    off = [e + sum(last.reference_energy_ev[s] for s in a.symbols) for e, a in zip(off, held_out, strict=True)]
    assert max(abs(e) / 32 for e in off) < 0.02


def test_the_same_zero_is_left_alone(copper, make, tmp_path):
    frames, held_out, _ = copper
    records = teach(tmp_path, make(["Cu"]), frames, [cell(50, rattle=0.14)], [cell(51, rattle=0.14), cell(52)])
    assert [record.imported_offset_ev for record in records] == [None] * 3
    assert [record.warnings for record in records] == [[]] * 3
    assert len({tuple(record.reference_energy_ev.items()) for record in records}) == 1


def test_free_atom_that_comes_late_is_left_out(copper, make, tmp_path, caplog):
    frames, _, _ = copper
    first, second = teach(tmp_path, make(["Cu"]), frames[:6], [free("Cu")])
    assert second.reference_energy_ev == first.reference_energy_ev
    assert second.free_atoms == ["0006"]
    assert second.dataset.force_rmse_ev_a == pytest.approx(first.dataset.force_rmse_ev_a, rel=1e-6)
    assert "left out of the fit" in caplog.text


@pytest.mark.slow
def test_learnt_once_more_to_the_bit(copper, make, tmp_path):
    """A fit that lacks what is kept today is made anew from the labels, their weights and who they came from."""
    frames, _, _ = copper
    odd, campaign = [*frames[:7], free("Cu"), *dimers(["Cu"])[::3]], make(["Cu"])
    records = [teach(tmp_path / name, campaign, odd)[0] for name in "ab"]
    assert records[0].weights == records[1].weights != {}
    path = Generations(tmp_path / "b").folder(0) / "fit.npz"
    kept = {name: rows for name, rows in read_arrays(path).items() if "zeros" not in name}
    write_arrays(path, kept)
    found = []
    for name in "ab":
        Dataset(tmp_path / name).add("9999", cell(60), {})
        train_generation(Generations(tmp_path / name), Dataset(tmp_path / name), campaign)
        found.append(Generations(tmp_path / name).potential(1).read_bytes())
    assert found[0] == found[1]


def test_several_free_atoms():
    def of(symbols, energy):
        positions = 9.0 * np.arange(len(symbols))[:, None] * [1, 0, 0]
        return with_labels(Atoms(symbols, positions, cell=[40, 9, 9], pbc=True), energy, 0 * positions, None)

    frames = [of(["Cu"], -0.2), of(["Cu", "Cu"], -0.6), of(["Au", "Cu", "Cu"], -1.1), of(["Au"] * 2, -1.2)]
    found = free_atoms(list("abcd"), frames, {}, 5.0)
    assert found.names == list("abcd")
    assert found.energies_ev == {"Cu": pytest.approx(-0.3), "Au": pytest.approx(-0.6)}
    assert any("2 free atoms of Cu differ by 0.1 eV: the lowest is taken" in remark for remark in found.remarks)
    untold = free_atoms(["c"], frames[2:3], {}, 5.0)
    assert untold.energies_ev == {}
    assert "the energy of each of Au, Cu can't be told" in untold.remarks[0]
    assert free_atoms(["c"], frames[2:3], {"Cu": -0.3}, 5.0).energies_ev == {"Au": pytest.approx(-0.5)}
    assert free_atoms(["x"], [of(["Cu"], -0.2)], {}, 9.5).names == []


def test_free_atoms_alone_teach_nothing(make, tmp_path):
    with pytest.raises(TrainingError, match="all labels are free atoms"):
        teach(tmp_path, make(["Cu"]), [free("Cu")])


class TestContradictions:
    def changed(self, frames, energy=1.0, force=1.0, stress=1.0, pressure=0.0, per_atom=False):
        made = []
        for atoms in frames:
            found = atoms.get_potential_energy() / (len(atoms) if per_atom else 1)
            told = stress * atoms.get_stress() + pressure * np.array([1, 1, 1, 0, 0, 0])
            made.append(with_labels(atoms, energy * found, force * atoms.get_forces(), told))
        return made

    @pytest.mark.parametrize(
        ("factor", "told"),
        [
            (-1.0, "have the other sign"),
            (160.21766, "be in GPa"),
            (-1602.1766, "be in kbar and to have the other sign"),
        ],
    )
    def test_stresses(self, material, make, factor, told):
        elements, frames, _, _ = material
        [found] = contradictions(self.changed(frames[:12], stress=factor), make(elements))
        assert found.of == "stress"
        assert found.factor == pytest.approx(1 / factor)
        assert told in found.sentence

    @pytest.mark.parametrize(
        ("change", "factor", "told"),
        [
            ({"energy": 1 / 13.605693}, 13.605693, "energies seem to be in Ry"),
            ({"energy": 1 / 27.211386}, 27.211386, "energies seem to be in hartree"),
            ({"force": 1 / 25.71104}, 1 / 25.71104, "forces seem to be in Ry/bohr"),
            ({"force": 1 / 51.42207}, 1 / 51.42207, "forces seem to be in hartree/bohr"),
            ({"force": -1.0}, -1.0, "forces seem to have the other sign"),
            ({"energy": 23.0605}, 0.0433641, "energies seem to be in kcal/mol"),
            ({"energy": 1 / 27.211386, "force": 1 / 51.42207}, 0.529177, "both seem to be in atomic units"),
        ],
    )
    def test_energies(self, material, make, change, factor, told):
        elements, frames, _, _ = material
        [found] = contradictions(self.changed(frames[:13], **change), make(elements))
        assert (found.of, found.is_known) == ("energy", True)
        assert found.factor == pytest.approx(factor, rel=1e-5)
        assert told in found.sentence

    def test_energies_per_atom(self, material, make):
        elements, frames, _, _ = material
        [found] = contradictions(self.changed(frames[:13], per_atom=True), make(elements))
        assert (found.of, found.factor, found.is_known) == ("energy", 32.0, True)
        assert "energies seem to be per atom" in found.sentence

    @pytest.mark.parametrize("pressure", [0.0, 0.009])
    @pytest.mark.parametrize("number", [2, 3, 5, 12])
    def test_right_labels_are_not_accused(self, material, make, number, pressure):
        elements, frames, _, _ = material
        assert contradictions(self.changed(frames[:number], pressure=pressure), make(elements)) == []

    @pytest.mark.slow
    def test_contrary_stresses_are_not_trained_on(self, copper, make, tmp_path):
        frames, held_out, plain = copper
        [record] = teach(tmp_path / "a", make(["Cu"]), self.changed(frames, stress=-1.0))
        assert record.leaves_out_imported_stresses
        assert record.stress_weight is None
        assert "stress_factor: -1" in record.warnings[0]
        assert force_error(tmp_path / "a", held_out) < 1.5 * plain
        decided = make(["Cu"], stress_weight=20.0)
        [record] = teach(tmp_path / "b", decided, self.changed(frames, stress=-1.0))
        assert (record.leaves_out_imported_stresses, record.stress_weight) == (False, 20.0)

    @pytest.mark.slow
    def test_energies_of_another_unit_are_refused(self, copper, make, tmp_path):
        with pytest.raises(TrainingError, match=r"bootstrap.dataset: .* multiply them by 13.6057"):
            teach(tmp_path, make(["Cu"]), self.changed(copper[0], energy=1 / 13.605693))
