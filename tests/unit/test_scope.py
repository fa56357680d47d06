"""What labels can't follow is said before the first of them: sizes, moments, charges, exploded starts."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from mlip_fw.engines.oracle.scope import label_notes
from mlip_fw.engines.structures.start import start_structures
from mlip_fw.errors import CampaignError
from tests.helpers.campaigns import make_small

PW = {"kind": "espresso", "ecutwfc_ry": 30}
VASP = {"kind": "vasp"}


@pytest.fixture
def notes(tmp_path):
    """Return a function that asks about a campaign whose starts are given as structures."""

    def ask(starts, oracle, **changes):
        files = []
        for number, atoms in enumerate(starts):
            files.append(tmp_path / f"{number}{changes.get('ending', '.extxyz')}")
            write(files[-1], atoms, **changes.get("writing", {}))
        elements = sorted({symbol for atoms in starts for symbol in atoms.get_chemical_symbols()})
        more = {key: value for key, value in changes.items() if key not in ("ending", "writing")}
        campaign = make_small(
            elements=elements,
            structure={"bulk": None, "files": list(map(str, files))},
            md={"walkers": len(files)},
            oracle=oracle,
            **more,
        )
        return label_notes(campaign, start_structures(campaign))

    return ask


def copper(n):
    return bulk("Cu", a=3.61, cubic=True) * (n, n, n)


CHARGED = [
    ({**PW, "namelists": {"system": {"tot_charge": 2.0}}}, "oracle.namelists.system.tot_charge = 2.0 is per cell"),
    ({**PW, "namelists": {"system": {"TOT_MAGNETIZATION": 2.0}}}, "TOT_MAGNETIZATION = 2.0 is per cell"),
    ({**PW, "namelists": {"system": {"tot_magnetization": -1}}}, "tot_magnetization = -1 is per cell"),
    ({**PW, "namelists": {"system": {"nbnd": 200}}}, "nbnd = 200 is per cell"),
    ({**PW, "namelists": {"system": {"nr1": 60}}}, "nr1 = 60 is per cell"),
    ({**PW, "namelists": {"system": {"fixed_magnetization(3)": 1.0}}}, r"fixed_magnetization\(3\) = 1.0 is per cell"),
    ({**PW, "namelists": {"system": {"tot_charge": 1, "nbnd": 9}}}, "tot_charge = 1, .*nbnd = 9 are per cell"),
    ({**VASP, "incar": {"NELECT": 350}}, "oracle.incar.NELECT = 350 is per cell"),
    ({**VASP, "incar": {"nupdown": 2}}, "nupdown = 2 is per cell"),
    ({**VASP, "incar": {"NBANDS": 300}}, "NBANDS = 300 is per cell"),
    ({**VASP, "incar": {"M_CONSTR": [1.0, 2.0]}}, "M_CONSTR = .* is per cell"),
    ({"kind": "ase", "calculator": "emt", "parameters": {"charge": 1}}, "oracle.parameters.charge = 1 is per cell"),
    ({"kind": "ase", "calculator": "emt", "parameters": {"multiplicity": 3}}, "multiplicity = 3 is per cell"),
    ({"kind": "ase", "calculator": "emt", "parameters": {"magmoms": [1.0, 0.0]}}, "magmoms = .* is per cell"),
    (
        {"kind": "ase", "calculator": "emt", "parameters": {"input_data": {"system": {"tot_charge": -1}}}},
        "oracle.parameters.input_data.system.tot_charge = -1 is per cell",
    ),
    ({"kind": "ase", "calculator": "emt", "parameters": {"kpts": [4, 4, 4]}}, r"kpts = \[4, 4, 4\] is per cell"),
]
ALIKE = [
    {**PW, "namelists": {"system": {"tot_charge": 0.0, "tot_magnetization": -10000, "nosym": True}}},
    {**PW, "namelists": {"system": {"tot_magnetization": 0}}},
    {**VASP, "incar": {"NUPDOWN": -1, "NELM": 80}},
    {"kind": "ase", "calculator": "emt", "parameters": {"charge": 0, "multiplicity": 1, "nbands": -4}},
    {"kind": "ase", "calculator": "emt", "parameters": {"kpts": {"density": 3.5}}},
    {"kind": "ase", "calculator": "emt", "parameters": {"kpts": [1, 1, 1]}},
]


@pytest.mark.parametrize(("oracle", "said"), CHARGED)
def test_quantities_per_cell_want_cells_of_one_size(notes, oracle, said):
    with pytest.raises(CampaignError, match=f"{said}, but the starts, and so the labels, are Cu32 and Cu108"):
        notes([copper(2), copper(3)], oracle)
    cut = {"cutout": {"max_atoms": 60}}
    with pytest.raises(CampaignError, match=f"{said}, but a start has 108 atoms, .* of up to 60 atoms"):
        notes([copper(3)], oracle, candidates=cut)
    gold = copper(2)
    gold.symbols[:3] = "Au"
    with pytest.raises(CampaignError, match="are Cu32 and Au3Cu29"):
        notes([copper(2), gold], oracle)
    assert notes([copper(2)], oracle) == []
    assert notes([copper(2), copper(2)], oracle) == []
    assert notes([copper(3)], oracle, candidates={"cutout": {"max_atoms": 60, "mode": "never"}}) == []


def test_cells_of_a_validation_are_of_other_sizes(notes):
    oracle = CHARGED[0][0]
    with pytest.raises(CampaignError, match=r"but validation.properties \(vacancy\) labels other cells"):
        notes([copper(2)], oracle, validation={"properties": ["rdf", "vacancy"]})
    assert notes([copper(2)], oracle, validation={"properties": ["rdf"]}) == []


@pytest.mark.parametrize("oracle", ALIKE)
def test_what_every_cell_has_is_accepted(notes, oracle):
    assert notes([copper(2), copper(3)], oracle) == []


def iron(moments, name="initial_magmoms", symbols=None):
    atoms = bulk("Fe", a=2.87, cubic=True) * (2, 2, 2)
    atoms.arrays.pop("initial_magmoms", None)
    if symbols:
        atoms.symbols[:] = symbols
    if moments is not None:
        atoms.set_array(name, np.resize(np.array(moments, dtype=float), 16))
    return atoms


def pw(**moments):
    return {**PW, "starting_moments_mub": moments} if moments else PW


@pytest.mark.parametrize("name", ["initial_magmoms", "magmom", "magmoms", "spin", "REF_magmoms", "magnetic_moments"])
@pytest.mark.parametrize("oracle", [pw(Fe=2.2), {**VASP, "starting_moments_mub": {"Fe": 2.2}}])
def test_antiferromagnet_is_refused(notes, name, oracle):
    atoms = iron([-2.2, 2.2], name)
    with pytest.raises(
        CampaignError, match=r"both signs for Fe \(-2.2 to 2.2 μB\), but labels will start ferromagnetic"
    ):
        notes([atoms], oracle)
    [note] = notes([atoms], {**oracle, "ignore_file_moments": True})
    assert "both signs for Fe" in note
    assert "ignored" in note


@pytest.mark.parametrize(
    ("atoms", "oracle", "said"),
    [
        (iron([-2.2, 2.2]), pw(), "both signs for Fe .* start without moments of Fe"),
        (iron([2.2]), pw(), "without spin: set oracle.starting_moments_mub: {Fe: 2.2}"),
        (iron([2.2, 2.3]), pw(), "set oracle.starting_moments_mub: {Fe: 2.25}"),
        (iron([3.0, -1.0], symbols=["Fe", "Co"] * 8), pw(Fe=3.0, Co=1.0), "3 for Fe and|-1 for Co and 3 for Fe"),
        (iron([2.2], symbols=["Fe", "O"] * 8), pw(Fe=0.0), "without spin"),
    ],
)
def test_other_magnetic_orders_are_refused(notes, atoms, oracle, said):
    with pytest.raises(CampaignError, match=said):
        notes([atoms], oracle)


@pytest.mark.parametrize(
    ("atoms", "oracle", "said"),
    [
        (iron([2.2]), pw(Fe=3.0), "moments of 2.2 μB for Fe; labels start from 3 μB for all Fe"),
        (iron([4.0, 1.0]), pw(Fe=4.0), "moments of 1 to 4 μB for Fe; labels start from 4 μB"),
        (iron([3.0, 1.5], symbols=["Fe", "Co"] * 8), pw(Fe=3.0), "1.5 μB for Co; labels start from 0 μB for all Co"),
        (iron([2.2]), {"kind": "ase", "calculator": "emt"}, "magnetic moments, which are not passed to calculator emt"),
    ],
)
def test_other_sizes_are_said(notes, atoms, oracle, said):
    [note] = notes([atoms], oracle)
    assert said in note


@pytest.mark.parametrize(
    ("atoms", "oracle"),
    [
        (iron([2.2]), pw(Fe=2.2)),
        (iron([-2.2]), pw(Fe=2.2)),
        (iron([3.0, -1.0], symbols=["Fe", "Co"] * 8), pw(Fe=-3.0, Co=1.0)),
        (iron([2.2, 0.2], symbols=["Fe", "O"] * 8), pw(Fe=2.2)),
        (iron([2.2, 0.2, 2.2, -0.2], symbols=["Fe", "O"] * 8), pw(Fe=2.2)),
        (iron([0.0]), pw()),
        (iron([0.01, -0.01]), pw()),
        (iron(None), pw(Fe=2.2)),
    ],
)
def test_moments_that_labels_follow(notes, atoms, oracle):
    assert notes([atoms], oracle) == []


def test_moments_across_the_axis_are_refused(notes):
    atoms = iron(None)
    atoms.set_array("magmoms", np.resize([[0.0, 0.0, 2.2]], (16, 3)))
    assert notes([atoms], pw(Fe=2.2)) == []
    atoms.arrays["magmoms"][3] = [2.2, 0.0, 0.0]
    with pytest.raises(CampaignError, match="not collinear"):
        notes([atoms], pw(Fe=2.2))


def test_moments_that_are_results(notes):
    atoms = iron(None)
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, magmoms=np.resize([2.2, -2.2], 16))
    for ending in (".traj", ".extxyz"):
        with pytest.raises(CampaignError, match="both signs for Fe"):
            notes([atoms], pw(Fe=2.2), ending=ending)


def test_moments_by_type_of_a_pw_input(notes):
    writing = {"format": "espresso-in", "pseudopotentials": {"Fe": "Fe.upf"}, "input_data": {"system": {"nspin": 2}}}
    with pytest.raises(CampaignError, match=r"both signs for Fe \(-0.2 to 0.2\), but"):
        notes([iron([0.2, -0.2])], pw(Fe=2.2), ending=".pwi", writing=writing)


def test_charges_are_said(notes):
    atoms = copper(2)
    atoms.info["charge"] = 1
    atoms.set_initial_charges(np.resize([0.5, -0.5], 32))
    assert notes([atoms], PW) == [
        f"structure.files.0 states {name}, which no label takes over; charge is a matter of the oracle"
        for name in ("charge", "initial_charges")
    ]


def test_magnetic_crystal_without_spin_is_said():
    campaign = make_small(
        elements=["Fe"], structure={"bulk": {"symbol": "Fe", "cubic": True, "repeat": [2, 2, 2]}}, oracle=PW
    )
    [note] = label_notes(campaign, start_structures(campaign))
    assert note.startswith("Fe: labels are without spin")


def test_exploded_start_is_refused(notes):
    far = Atoms("H4", [[0, 0, 0], [50, 0, 0], [0, 50, 0], [0, 0, 50]], cell=[100] * 3, pbc=True)
    with pytest.raises(CampaignError, match=r"structure.files.0 could not be labelled: 4 of 4 atoms .* flown apart"):
        notes([far], {"kind": "ase", "calculator": "emt"})
    molecule = Atoms("H2", [[7, 7, 7], [7, 7, 7.76]], cell=[15] * 3, pbc=True)
    assert notes([molecule], {"kind": "ase", "calculator": "emt"}) == []


def test_single_atom_is_no_start(notes):
    with pytest.raises(CampaignError, match=r"structure.files.0 is a single atom"):
        notes([Atoms("Cu", cell=[15] * 3, pbc=True)], {"kind": "ase", "calculator": "emt"})
