"""The same labels in every convention and format: what is read is the truth, or the file is refused."""

import string

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlip_fw.errors import CampaignError
from mlip_fw.io.labelled.reading import read_labelled
from mlip_fw.io.structures import known_forces, stress_of
from mlip_fw.models.dataset import DatasetSettings
from tests.helpers.labelled_files import Style, outcar, pw_out, truth, vasprun, with_ase

CUTOFF_A = 5.0
MANY = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
FEW = settings(MANY, max_examples=60)
SEEDS = st.integers(0, 2**32 - 1)
FIXED = st.sampled_from([None, None, "atoms", "components"])
PERIODICITIES = st.sampled_from([(True,) * 3] * 4 + [(False,) * 3, (True, True, False), (False, True, False)])


def read(path, **names):
    return read_labelled(DatasetSettings(file=str(path), **names), "bootstrap.dataset", CUTOFF_A)


def assert_true(frame, true, with_stress):
    """Assert that a structure that was read is the one that was written, to 1e-6."""
    atoms, results = frame.atoms, frame.atoms.calc.results
    assert atoms.pbc.all()
    assert atoms.get_chemical_symbols() == true.atoms.get_chemical_symbols()
    assert np.allclose(atoms.positions, true.atoms.positions, atol=1e-6)
    assert np.allclose(atoms.cell.array[true.atoms.pbc], true.atoms.cell.array[true.atoms.pbc], atol=1e-6)
    assert abs(results["energy"] - true.energy) < 1e-6
    known = known_forces(atoms)
    assert np.abs((results["forces"] - true.forces)[known]).max(initial=0.0) < 1e-6
    assert not (~known & ~(true.fixed & true.is_zeroed)).any(), "a true force is not trained on"
    stress = stress_of(atoms)
    assert (stress is not None) == (with_stress and all(true.atoms.pbc))
    if stress is not None:
        assert np.abs(stress - true.stress).max() < 1e-6
    if not all(true.atoms.pbc):
        assert frame.is_in_vacuum
        assert_no_images(atoms, true.atoms.pbc)


def assert_no_images(atoms, pbc):
    """Assert that no atom sees an image across a direction that is not periodic."""
    from vesin import NeighborList

    shifts = NeighborList(cutoff=CUTOFF_A, full_list=True).compute(
        points=atoms.positions, box=atoms.cell.array, periodic=True, quantities="S"
    )[0]
    assert not shifts[:, ~np.array(pbc)].any()


names = st.text(string.ascii_lowercase, min_size=1, max_size=6).map(lambda text: f"my_{text}")


@st.composite
def styles(draw):
    """Return how a file is written, and what the campaign file says of it."""
    stress = draw(st.sampled_from(["none", "stress6", "stress9", "virial6", "virial9", "both6", "both9"]))
    style = Style(
        prefix=draw(st.sampled_from(["", "", "REF_", "ref_", "dft_", "DFT_", "qm_"])),
        energy=draw(st.sampled_from(["energy", "Energy", "total_energy", "TotEnergy", "potential_energy"])),
        lower=draw(st.booleans()),
        forces=draw(st.sampled_from(["forces", "force", "Forces", "atomic_forces"])),
        stress=stress,
        stress_name=draw(st.sampled_from(["stress", "Stress", "cauchy_stress"])),
        virial_name=draw(st.sampled_from(["virial", "virials", "Virial"])),
        free=draw(st.sampled_from([None, "free_energy", "Free_Energy", "e_fr_energy"])),
        quote=draw(st.sampled_from(['"', "'", "{", "["])),
        pbc=draw(st.sampled_from(["T", "True", "TRUE", "t", "1", "absent"])),
        newline=draw(st.sampled_from(["\n", "\r\n"])),
        upper=draw(st.booleans()),
        numbers=draw(st.booleans()),
        extras=draw(st.booleans()),
        spaces=draw(st.sampled_from(["=", " = "])),
        order=draw(st.integers(0, 99)),
    )
    said = {}
    kind = draw(st.sampled_from(["plain", "mapped", "per atom", "units", "stated units", "suffix", "columns"]))
    if kind == "mapped":
        chosen = draw(st.lists(names, min_size=4, max_size=4, unique=True))
        style.prefix, style.free = "", None
        style.energy, style.forces, style.stress_name, style.virial_name = chosen
        said = {"energy": style.energy, "forces": style.forces}
        said |= {"stress": style.stress_name} if stress.startswith(("stress", "both")) else {}
        said |= {"virial": style.virial_name} if stress.startswith(("virial", "both")) else {}
    elif kind == "per atom":
        style.per_atom, style.free, style.energy = True, None, "energy_per_atom"
    elif kind in ("units", "stated units"):
        style.energy_unit = draw(st.sampled_from(["eV", "meV", "Hartree", "Rydberg", "kcal/mol"]))
        style.length_unit = draw(st.sampled_from(["Å", "Bohr"])) if kind == "units" else "Å"
        style.force_unit = draw(st.sampled_from(["eV/Å", "Hartree/Bohr", "kcal/mol/Å"]))
        style.stress_unit = draw(st.sampled_from(["eV/Å³", "GPa", "kbar", "Hartree/Bohr³"]))
        said = {f"{kind}_unit": getattr(style, f"{kind}_unit") for kind in ("energy", "length", "force", "stress")}
    elif kind == "suffix":
        style.stress_unit, style.stress_name = draw(st.sampled_from([("GPa", "stress_GPa"), ("kbar", "stress_kbar")]))
    elif kind == "columns":
        style.columns, style.prefix = True, ""
    return style, said, kind


def text_of(style, said, kind, frames):
    text = style.text(frames)
    if kind == "stated units":
        stated = f"energy_unit={style.energy_unit} force_unit={style.force_unit} stress_units={style.stress_unit} "
        stated += f"virial_unit={style.energy_unit} "
        lines = text.split(style.newline)
        text = style.newline.join(stated + line if "roperties" in line else line for line in lines)
    return text


@pytest.mark.slow
@MANY
@given(SEEDS, styles(), PERIODICITIES, FIXED, st.booleans())
def test_every_convention_of_extended_xyz(tmp_path, seed, how, pbc, fixed, is_zeroed):
    style, said, kind = how
    rng = np.random.default_rng(seed)
    frames = [truth(rng, pbc, fixed=fixed, is_zeroed=is_zeroed) for _ in range(2)]
    style.mask = {None: "none", "atoms": "atoms", "components": "components"}[fixed]
    path = tmp_path / "labels.xyz"
    path.write_bytes(text_of(style, said, kind, frames).encode())
    found = read(path, **({} if kind == "stated units" else said))
    assert [frame.number for frame in found.frames] == [0, 1]
    for frame, true in zip(found.frames, frames, strict=True):
        assert_true(frame, true, with_stress=style.stress != "none")
        assert (frame.fixed == true.fixed).all()


@FEW
@given(SEEDS, st.sampled_from(["extxyz", "traj"]), PERIODICITIES, FIXED, st.booleans())
def test_files_that_ase_writes(tmp_path, seed, file_format, pbc, fixed, is_zeroed):
    rng = np.random.default_rng(seed)
    frames = [truth(rng, pbc, fixed=fixed, is_zeroed=is_zeroed) for _ in range(2)]
    path = tmp_path / f"labels.{file_format}"
    with_ase(path, frames, file_format)
    for frame, true in zip(read(path).frames, frames, strict=True):
        assert_true(frame, true, with_stress=True)
        assert (frame.fixed == true.fixed).all()


def sequence(rng, n_frames, fixed, is_zeroed):
    """Return structures of the same atoms, as one run makes them."""
    first = truth(rng, n_atoms=int(rng.integers(2, 5)), fixed=fixed, is_zeroed=is_zeroed)
    frames = [first]
    for _ in range(n_frames - 1):
        other = truth(rng, n_atoms=len(first.atoms), is_zeroed=is_zeroed)
        other.atoms.numbers, other.fixed = first.atoms.numbers, first.fixed
        frames.append(other)
    return frames


@FEW
@given(SEEDS, FIXED, st.booleans(), st.lists(st.sampled_from([7, 20, 19, 1, 0]), min_size=3, max_size=3), st.booleans())
def test_steps_of_vasprun(tmp_path, seed, fixed, is_zeroed, steps, cut):
    """Those that took NELM steps, or none, are left out by name, and so is one in whose middle the file ends."""
    rng = np.random.default_rng(seed)
    frames = sequence(rng, 3, fixed if fixed == "atoms" else None, is_zeroed)
    path = tmp_path / "vasprun.xml"
    path.write_text(vasprun(frames, steps, nelm=20, cut=cut, pstress_kb=float(rng.choice([0.0, 50.0]))))
    bad = {k for k, n in enumerate(steps) if n in (0, 20)} | ({2} if cut else set())
    if len(bad) == 3:
        with pytest.raises(CampaignError, match="no structure to train on"):
            read(path)
        return
    found = read(path)
    assert {one.frame for one in found.left_out} == bad
    reasons = {one.frame: one.reason for one in found.left_out}
    assert all("20 of NELM = 20" in reasons[k] for k in bad if steps[k] == 20 and not (cut and k == 2))
    assert [frame.number for frame in found.frames] == [k for k in range(3) if k not in bad]
    for frame in found.frames:
        assert_true(frame, frames[frame.number], with_stress=True)


@FEW
@given(SEEDS, FIXED, st.booleans(), st.lists(st.booleans(), min_size=3, max_size=3))
def test_steps_of_outcar(tmp_path, seed, fixed, is_zeroed, reached):
    rng = np.random.default_rng(seed)
    frames = sequence(rng, 3, None if fixed == "components" else fixed, is_zeroed)
    path = tmp_path / "OUTCAR"
    path.write_text(outcar(frames, reached))
    if not any(reached):
        with pytest.raises(CampaignError, match="SCF not converged"):
            read(path)
        return
    found = read(path)
    assert [one.frame for one in found.left_out] == [k for k in range(3) if not reached[k]]
    for frame in found.frames:
        assert_true(frame, frames[frame.number], with_stress=True)


NOT_CONVERGED = "\n     convergence NOT achieved after 100 iterations: stopping\n"
ENDS = (None, None, NOT_CONVERGED, "\n     Maximum CPU time exceeded\n", "     iteration #  2\n")


@FEW
@given(SEEDS, FIXED, st.booleans(), st.lists(st.sampled_from(ENDS), min_size=3, max_size=3))
def test_structures_of_pw_output(tmp_path, seed, fixed, is_zeroed, ends):
    rng = np.random.default_rng(seed)
    frames = sequence(rng, 3, fixed, is_zeroed)
    path = tmp_path / "pw.out"
    path.write_text(pw_out(frames, ends))
    if all(ends):
        with pytest.raises(CampaignError, match="no structure to train on"):
            read(path)
        return
    found = read(path)
    assert [one.frame for one in found.left_out] == [k for k in range(3) if ends[k]]
    for frame in found.frames:
        assert_true(frame, frames[frame.number], with_stress=True)


def another_energy(lines):
    return [line + " REF_energy=1.5" if "Lattice" in line else line for line in lines]


def another_stress(lines):
    return [line + ' virial="1 2 3 4 5 6"' if "Lattice" in line else line for line in lines]


def replaced(old, new):
    return lambda lines: [line.replace(old, new) for line in lines]


def without(k):
    return lambda lines: lines[:k] + lines[k + 1 :]


def ending(k):
    return lambda lines: lines[:k] + [""]


def doubled(k):
    return lambda lines: [*lines[:k], lines[k], *lines[k:]]


def last_column_gone(lines):
    return [line if "Lattice" in line or len(line) < 2 else line.rsplit(" ", 1)[0] for line in lines]


def in_first(change):
    """Return a change of the first structure alone."""
    return lambda lines: change(lines[:5]) + lines[5:]


CHANGES = {
    "two energies": another_energy,
    "two stresses": another_stress,
    "energy in words": replaced(" energy=", " energy=abc"),
    "energy not a number": replaced("energy=", "energy=nan energy_before="),
    "energy infinite": replaced("energy=", "energy=1e400 energy_before="),
    "energy huge": replaced("energy=", "energy=1e30 energy_before="),
    "energy as list": replaced("energy=", 'energy="1 2" energy_before='),
    "energy is a truth": replaced("energy=", "energy=T energy_before="),
    "energy named otherwise": replaced("energy=", "enrg="),
    "forces named otherwise": replaced("forces:R:3", "frc:R:3"),
    "forces too few": replaced("forces:R:3", "forces:R:2:rest:R:1"),
    "only some have forces": in_first(replaced("forces:R:3", "frc:R:3")),
    "only some have a free energy": in_first(replaced("energy=", "free_energy=1.0 energy=")),
    "lattice gone": replaced("Lattice=", "Lattic="),
    "a line gone": without(3),
    "a line twice": doubled(3),
    "first line gone": without(0),
    "ends in an atom": ending(8),
    "ends after the count": ending(6),
    "a column gone": last_column_gone,
    "count too large": lambda lines: ["4", *lines[1:]],
    "count too small": lambda lines: ["2", *lines[1:]],
    "no element": replaced("Cu", "Xx"),
    "stress not symmetric": replaced('stress="', 'stress="1.0 2.0 3.0 -1.0 5.0 6.0 7.0 8.0 9.0" old="'),
    "stress too short": replaced('stress="', 'stress="1.0 2.0 3.0" old="'),
    "not converged": replaced("energy=", "converged=F energy="),
    "SCF not converged": replaced("energy=", "scf_converged=False energy="),
    "unknown unit": replaced("energy=", "energy_unit=cubits energy="),
    "unknown units": replaced("energy=", "units=atomic energy="),
    "forces of unknown unit": replaced("energy=", "energy_Ha="),
    "forces of unknown unit too": replaced("energy=", "energy_unit=kJ/mol energy="),
    "lattice twice": replaced("Lattice=", 'lattice="5 0 0 0 5 0 0 0 5" Lattice='),
    "open quote": replaced("energy=", 'note="it energy='),
    "energy twice": replaced("energy=", "energy=1.0 energy="),
    "no words": lambda lines: [str(len(lines))],
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("seed", range(3))
def test_files_that_are_wrong_are_refused(tmp_path, what, seed):
    rng = np.random.default_rng(seed)
    frames = [truth(rng, n_atoms=3) for _ in range(2)]
    for true in frames:
        true.atoms.symbols = ["Cu", "Au", "Cu"]
    path = tmp_path / "labels.xyz"
    lines = Style().text(frames).split("\n")
    path.write_text("\n".join(CHANGES[what](lines)))
    assert path.read_text() != "\n".join(lines)
    with pytest.raises(CampaignError) as error:
        read(path)
    assert str(error.value).startswith("bootstrap.dataset: ")


@FEW
@given(SEEDS, st.integers(0, 10**6), st.sampled_from(["cut", "remove", "double", "swap"]))
def test_torn_files_give_the_truth_or_are_refused(tmp_path, seed, where, how):
    """Whole lines lost, doubled or in another order never become another label."""
    rng = np.random.default_rng(seed)
    frames = [truth(rng) for _ in range(3)]
    lines = Style().text(frames).split("\n")[:-1]
    k = where % (len(lines) - 1)
    torn = {
        "cut": lines[:k],
        "remove": lines[:k] + lines[k + 1 :],
        "double": lines[: k + 1] + lines[k:],
        "swap": [*lines[:k], lines[k + 1], lines[k], *lines[k + 2 :]],
    }[how]
    path = tmp_path / "labels.xyz"
    path.write_text("\n".join(torn) + "\n")
    try:
        found = read(path).frames
    except CampaignError:
        return
    by_energy = {round(true.energy, 6): true for true in frames}
    for frame in found:
        true = by_energy[round(frame.label.energy_ev, 6)]
        order = [int(np.argmin(np.linalg.norm(true.atoms.positions - p, axis=1))) for p in frame.atoms.positions]
        assert sorted(order) == list(range(len(true.atoms)))
        assert np.allclose(frame.atoms.positions, true.atoms.positions[order])
        assert np.allclose(frame.label.forces_ev_a, true.forces[order])
