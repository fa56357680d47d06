"""A cut-out is a small cell in which its centre can't tell the difference."""

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100
from ase.calculators.emt import EMT

from mlip_fw.engines.ace.basis import linear_basis
from mlip_fw.engines.ace.potential import AcePotential, rows_within
from mlip_fw.engines.sampling.cutout import cut as cutout_module
from mlip_fw.engines.sampling.cutout.box import filled_boxes
from mlip_fw.engines.sampling.cutout.cloud import cloud_around, frame_to_cut, uncut
from mlip_fw.engines.sampling.cutout.cut import cut_out, mask_of_cutout
from mlip_fw.engines.sampling.maxvol import ActiveSet, exchange
from mlip_fw.engines.structures.geometry import closest_pair, distances_from
from mlip_fw.errors import CampaignError
from mlip_fw.io.campaign_file import parse_campaign
from mlip_fw.io.structures import canonical, read_frame, write_frames
from mlip_fw.models.campaign import CutoutSettings
from tests.helpers.campaigns import SMALL
from tests.helpers.potentials import taught
from tests.helpers.structures import liquid

CUTOFF_A = 5.0
EMT_REACH_A = 2 * 5.88
"""A force needs the neighbours of the neighbours: twice the range of ASE's EMT for copper."""


def hot(atoms, amplitude=0.15, seed=3):
    atoms = atoms.copy()
    atoms.rattle(amplitude, seed=seed)
    return atoms


def copper(n=5):
    return hot(bulk("Cu", cubic=True, a=3.61) * (n, n, n))


def alloy():
    atoms = bulk("Cu", cubic=True, a=3.85) * (5, 5, 5)
    atoms.symbols[np.random.default_rng(2).permutation(len(atoms))[:200]] = "Au"
    return hot(atoms)


def slab():
    atoms = fcc100("Cu", (9, 9, 5), a=3.61, vacuum=9.0)
    atoms.pbc = True
    return hot(atoms, 0.1)


def triclinic():
    return hot(bulk("Cu", a=3.61) * (9, 8, 8))


def thin():
    return hot(bulk("Cu", cubic=True, a=3.61) * (7, 7, 2))


def turned():
    """A crystal whose axes are not those of the cell: its boundary in the MD cell is already rough."""
    atoms = bulk("Cu", cubic=True, a=3.61) * (9, 9, 9)
    atoms.rotate(33, (1, 2, 3), center="COP")
    inside = (np.abs(atoms.positions - atoms.positions.mean(axis=0)) < 10).all(axis=1)
    return hot(Atoms("Cu" * inside.sum(), atoms.positions[inside], cell=[21.5] * 3, pbc=True))


SYSTEMS = {f.__name__: f for f in (copper, alloy, liquid, slab, triclinic, thin, turned)}


@pytest.fixture(scope="module")
def potential(tmp_path_factory):
    generations, _, _ = taught(tmp_path_factory.mktemp("p"), 4, parse_campaign(SMALL, "test"))
    return AcePotential.from_files(generations.potential(0))


@pytest.fixture(scope="module")
def potentials(potential, tmp_path_factory):
    campaign = parse_campaign({**SMALL, "elements": ["Cu", "Au"]}, "test")
    generations, _, _ = taught(tmp_path_factory.mktemp("a"), 4, campaign, substitute="Au")
    return {"Cu": potential, "AuCu": AcePotential.from_files(generations.potential(0))}


def halted(name, potentials):
    atoms = SYSTEMS[name]()
    potential = potentials["".join(sorted(set(atoms.get_chemical_symbols())))]
    center = int(potential.evaluate(atoms).gamma.argmax()) if name != "slab" else len(atoms) - 30
    return atoms, center, potential


def cut(atoms, center, potential, halt=10.0, **settings):
    return cut_out(atoms, center, potential, CutoutSettings(**settings), dict.fromkeys(potential.elements, halt))


def surroundings(atoms, center, radius_a):
    """Vectors and elements of all that is near an atom, images included, in an order that doesn't depend on it."""
    near = cloud_around(uncut(atoms), center, radius_a)
    order = np.lexsort(near.vectors.round(5).T)
    return near.vectors[order], near.numbers[order]


@pytest.mark.slow
@pytest.mark.parametrize("relax", [False, True])
@pytest.mark.parametrize("name", SYSTEMS)
def test_centre_cannot_tell_the_difference(name, relax, potentials):
    atoms, center, potential = halted(name, potentials)
    found = cut(atoms, center, potential, relax_shell=relax)
    assert len(found.atoms) <= 200 < len(atoms)
    assert found.atoms.pbc.all()
    assert found.atoms.cell.volume > 0
    for mine, theirs in zip(
        surroundings(atoms, center, CUTOFF_A - 1e-4),
        surroundings(found.atoms, found.center, CUTOFF_A - 1e-4),
        strict=True,
    ):
        assert mine == pytest.approx(theirs, abs=1e-6)
    in_md = potential.evaluate(atoms).gamma[center]
    in_cell = potential.evaluate(found.atoms).gamma[found.center]
    assert found.gamma_before == pytest.approx(in_md, rel=1e-6)
    assert found.gamma[found.center] == in_cell == pytest.approx(in_md, rel=1e-6)


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_overlaps_and_nothing_foreign(name, potentials):
    atoms, center, potential = halted(name, potentials)
    found = cut(atoms, center, potential, relax_shell=False)
    assert closest_pair(found.atoms)[0] >= closest_pair(atoms)[0] - 1e-6
    assert found.atoms.get_chemical_symbols() == [atoms.symbols[k] for k in found.origin]
    assert found.origin[found.center] == center
    density = len(atoms) / atoms.get_volume()
    if name not in {"slab", "turned"}:
        assert len(found.atoms) / found.atoms.get_volume() == pytest.approx(
            density, rel=0.15 if name == "liquid" else 0.08
        )


def test_no_box_lets_the_sphere_meet_its_own_image():
    atoms = liquid()
    for box in filled_boxes(frame_to_cut(atoms, CUTOFF_A, keep_vacuum=True), 40, CUTOFF_A, 2 * CUTOFF_A, 300):
        assert closest_pair(box.atoms)[0] >= closest_pair(atoms)[0] - 1e-6


def test_the_box_whose_atoms_are_known_best_is_taken(potential):
    atoms = copper()
    found = cut(atoms, 7, potential, halt=2.0, relax_shell=False)
    frame = frame_to_cut(atoms, CUTOFF_A, keep_vacuum=True)
    others = [potential.evaluate(b.atoms).gamma for b in filled_boxes(frame, 7, CUTOFF_A, 2 * CUTOFF_A, 200)]
    unknown = [int((gamma > 2.0).sum()) for gamma in others]
    assert found.n_tried == len(others) > 5
    assert (found.gamma > 2.0).sum() == min(unknown) < max(unknown)


@pytest.mark.slow
def test_force_of_the_centre_is_that_in_the_full_cell():
    """EMT sees no farther than this: then the oracle can't tell the difference either."""
    atoms, center = copper(7), 1234
    atoms.calc = EMT()
    frame = frame_to_cut(atoms, EMT_REACH_A, keep_vacuum=True)
    small = filled_boxes(frame, center, EMT_REACH_A, 2 * EMT_REACH_A, len(atoms) - 1)[0].atoms
    assert len(small) < 0.7 * len(atoms)
    small.calc = EMT()
    assert small.get_forces()[0] == pytest.approx(atoms.get_forces()[center], abs=1e-5)
    nearer = filled_boxes(frame_to_cut(atoms, 5.0, keep_vacuum=True), center, 5.0, 10.0, 500)[0].atoms
    nearer.calc = EMT()
    assert nearer.get_forces()[0] != pytest.approx(atoms.get_forces()[center], abs=1e-5)


def test_learning_the_cut_out_settles_the_halted_frame(potential):
    atoms = hot(bulk("Cu", cubic=True, a=3.61) * (5, 5, 5), 0.25)
    center = int(potential.evaluate(atoms).gamma.argmax())
    found = cut(atoms, center, potential)
    assert found.gamma_before > 10
    rows = rows_within(found.mask, potential.evaluate_with_projections(found.atoms)[1], found.atoms)
    active = exchange(ActiveSet.from_inverse(potential.inverses["Cu"]), rows["Cu"]).active
    after = AcePotential(potential.basis, {"Cu": active.inverse}).evaluate(atoms).gamma
    assert after[center] <= 1.01


def test_a_crystal_is_cut_at_its_own_period(potential):
    found = cut(bulk("Cu", cubic=True, a=3.61) * (5, 5, 5), 9, potential, relax_shell=False)
    primitive = bulk("Cu", a=3.61).cell.array
    in_units = found.atoms.cell.array @ np.linalg.inv(primitive)
    assert in_units == pytest.approx(in_units.round(), abs=1e-6)
    assert found.mismatch == 0
    assert found.n_removed == 0
    assert len(found.atoms) == abs(round(np.linalg.det(in_units)))
    assert np.ptp(found.gamma) < 1e-5


def test_only_core_and_known_atoms_are_trained_on(potential):
    atoms, center = hot(bulk("Cu", cubic=True, a=3.61) * (5, 5, 5), 0.25), 17
    found = cut(atoms, center, potential, halt=3.0, core_a=3.0)
    near = distances_from(found.atoms, found.center) <= 3.0
    assert found.mask.tolist() == (near | (found.gamma <= 3.0)).tolist()
    assert near.sum() > 5
    assert not found.mask.all()
    assert (found.gamma[near] > 3.0).any()


def test_thresholds_are_those_of_the_elements():
    atoms = Atoms("CuAu", [[0, 0, 0], [8, 0, 0]], cell=[20] * 3, pbc=True)
    mask = mask_of_cutout(atoms, 0, np.array([50.0, 5.0]), 3.0, {"Cu": 1.0, "Au": 4.0})
    assert mask.tolist() == [True, False]
    assert mask_of_cutout(atoms, 0, np.array([50.0, 5.0]), 3.0, {"Cu": 1.0, "Au": 6.0}).all()


def test_a_boundary_that_changes_gamma_is_rejected_and_a_wider_box_tried(potential, monkeypatch):
    atoms, honest, widths = copper(), cutout_module.filled_boxes, []

    def careless(frame, center, sphere_a, shortest_a, most, formula):
        widths.append(shortest_a)
        made = honest(frame, center, sphere_a, shortest_a, most, formula)
        if len(widths) == 1:
            for box in made:
                box.atoms.positions[1] += 0.01
        return made

    monkeypatch.setattr(cutout_module, "filled_boxes", careless)
    found = cut(atoms, 7, potential)
    assert widths == [2 * CUTOFF_A, 2 * CUTOFF_A * 1.1]
    assert found.gamma[0] == pytest.approx(found.gamma_before, rel=1e-6)


def test_too_small_a_limit_says_what_would_do(potential):
    with pytest.raises(
        CampaignError, match=r"max_atoms is 40, .* within 5 Å of atom 7 has about (\d+) atoms"
    ) as caught:
        cut(copper(), 7, potential, max_atoms=40)
    wanted = int(str(caught.value).split("about ")[1].split()[0])
    assert len(cut(copper(), 7, potential, max_atoms=wanted).atoms) <= wanted


def test_a_slab_keeps_its_thickness_and_less_vacuum(potentials):
    atoms, center, potential = halted("slab", potentials)
    found = cut(atoms, center, potential, relax_shell=False)
    assert np.ptp(found.atoms.positions[:, 2]) == pytest.approx(np.ptp(atoms.positions[:, 2]), abs=0.4)
    gap = found.atoms.cell[2, 2] - np.ptp(found.atoms.positions[:, 2])
    assert 9.5 < gap < 10.5 < atoms.cell[2, 2] - np.ptp(atoms.positions[:, 2])
    assert np.abs(found.atoms.cell.array[:2, 2]).max() < 1e-9


def test_a_slab_too_thick_to_keep_is_cut_in_depth(potential):
    atoms = fcc100("Cu", (8, 8, 30), a=3.61, vacuum=9.0)
    atoms.pbc = True
    found = cut(hot(atoms, 0.05), len(atoms) - 30, potential, max_atoms=150)
    assert len(found.atoms) <= 150
    assert found.gamma[0] == pytest.approx(found.gamma_before, rel=1e-6)


def test_a_short_direction_keeps_the_vector_of_the_md(potentials):
    atoms, center, potential = halted("thin", potentials)
    found = cut(atoms, center, potential)
    assert found.atoms.cell.array[2] == pytest.approx(atoms.cell.array[2])


def test_stoichiometry_is_kept_if_asked(potentials):
    atoms = bulk("NaCl", "rocksalt", a=5.7, cubic=True) * (4, 4, 4)
    atoms.symbols = ["Cu" if s == "Na" else "Au" for s in atoms.get_chemical_symbols()]
    atoms = hot(atoms, 0.3)
    found = cut(atoms, 21, potentials["AuCu"], neutral=True)
    counts = Counter(found.atoms.get_chemical_symbols())
    assert counts["Cu"] == counts["Au"] > 15
    assert found.facts()["md_composition"] == "Au256Cu256"


@pytest.mark.slow
def test_removed_atoms_are_never_those_of_the_sphere(potentials):
    atoms = alloy()
    atoms.symbols[:] = "Cu"
    atoms.symbols[cloud_around(uncut(atoms), 30, CUTOFF_A).origin] = "Au"
    atoms.symbols[[0, 1]] = "Cu"
    with pytest.raises(CampaignError, match="in whole formula units"):
        cut(atoms, 30, potentials["AuCu"], neutral=True)


def test_relaxation_moves_only_the_shell_and_not_far(potential):
    atoms = copper()
    before, after = (cut(atoms, 17, potential, relax_shell=relax) for relax in (False, True))
    assert not before.relaxed
    assert after.relaxed
    assert (after.atoms.cell.array == before.atoms.cell.array).all()
    moved = after.atoms.positions - before.atoms.positions
    moved -= np.round(moved @ np.linalg.inv(after.atoms.cell.array)) @ after.atoms.cell.array
    lengths = np.linalg.norm(moved, axis=1)
    assert lengths[distances_from(before.atoms, 0) <= CUTOFF_A].max() < 1e-7
    assert 0.01 < lengths.max() <= 0.5 + 1e-6
    assert after.gamma.mean() < before.gamma.mean()


def test_it_is_the_same_every_time_and_in_a_file(potential, tmp_path):
    first, second = (cut(copper(), 7, potential) for _ in range(2))
    assert (first.atoms.positions == second.atoms.positions).all()
    assert (first.mask == second.mask).all()
    write_frames(tmp_path / "cut.extxyz", [first.atoms])
    read = read_frame(tmp_path / "cut.extxyz")
    assert (canonical(read).positions == first.atoms.positions).all()
    facts = first.facts()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["n_atoms"] == len(first.atoms) >= facts["n_trained"] == first.mask.sum()
    assert facts["gamma_after"] == pytest.approx(facts["gamma_before"], rel=1e-6)


LARGE = """
import re, time
from pathlib import Path
import numpy as np
from ase.build import bulk
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.sampling.cutout.cut import cut_out
from mlip_fw.engines.ace.basis import linear_basis
from mlip_fw.models.campaign import CutoutSettings

basis = linear_basis(["Cu"], 6.0, 200)
potential = AcePotential(basis, {"Cu": np.eye(len(basis.basis_coeffs))})
atoms = bulk("Cu", cubic=True, a=3.61) * (30, 30, 28)
atoms.rattle(0.15, seed=1)
started = time.process_time()
found = cut_out(atoms, 50_000, potential, CutoutSettings(), {"Cu": 10.0})
seconds = time.process_time() - started
# ru_maxrss would be that of the process that started this one, if that was larger
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(len(atoms), len(found.atoms), seconds, peak)
"""


@pytest.mark.slow
def test_a_hundred_thousand_atoms_in_seconds_and_little_memory():
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    n_atoms, n_cut, seconds, kilobytes = map(float, done.stdout.split())
    assert n_atoms > 100_000
    assert n_cut <= 200
    assert seconds < 60
    assert kilobytes < 1e6


def test_a_potential_of_one_function_is_enough(potential):
    """Nothing in a cut depends on how many functions there are."""
    basis = linear_basis(["Cu"], CUTOFF_A, 10)
    bare = AcePotential(basis, {"Cu": np.eye(len(basis.basis_coeffs))})
    assert len(cut(copper(), 3, bare, relax_shell=False).atoms) < 120
