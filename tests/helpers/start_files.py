"""Start files in several formats, and what is read of them."""

import numpy as np
import pytest
from ase.build import bulk, fcc100
from ase.constraints import FixAtoms
from ase.io import write

from mlip_fw.engines.structures.start import start_structures
from mlip_fw.errors import CampaignError
from tests.helpers.campaigns import make_small

SLAB = fcc100("Cu", (3, 3, 4), a=3.61, vacuum=6.0, orthogonal=True, periodic=True)
CELL = bulk("Cu", cubic=True, a=3.7) * (2, 2, 2)
CIF = """data_x
_cell_length_a 8.16
_cell_length_b 8.16
_cell_length_c 8.16
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
{rows}
"""


def slab_in(path, kind):
    """Write the slab, its two lower layers fixed."""
    slab = SLAB.copy()
    slab.set_constraint(FixAtoms(indices=range(18)))
    save(slab, path, kind)


def save(atoms, path, kind):
    options = {
        "extxyz": {"columns": ["symbols", "positions", *(["move_mask"] if atoms.constraints else [])]},
        "espresso-in": {"pseudopotentials": {"Cu": "Cu.upf"}},
        "vasp": {"direct": True},
    }
    if kind == "extxyz" and atoms.has("momenta"):
        options["extxyz"]["columns"].append("momenta")
    write(path, atoms, format=kind, **options.get(kind, {}))


def campaign_of(path, **changes):
    return make_small(structure={"bulk": None, "file": str(path)}, **changes)


def start_of(path, **changes):
    [atoms] = start_structures(campaign_of(path, **changes))
    return atoms


def refusal(path, **changes):
    with pytest.raises(CampaignError) as caught:
        start_of(path, **changes)
    return str(caught.value)


def columns(path, names, *arrays, atoms=CELL, facts=""):
    """Write extended XYZ with columns of any name."""
    lattice = " ".join(f"{value:.17g}" for value in atoms.cell.array.ravel())
    lines = [str(len(atoms)), f'Lattice="{lattice}" Properties=species:S:1:pos:R:3:{names} pbc="T T T" {facts}']
    table = np.column_stack([atoms.positions, *arrays])
    rows = zip(atoms.get_chemical_symbols(), table.tolist(), strict=True)
    lines += [f"{symbol} {' '.join(f'{value:.17g}' for value in row)}" for symbol, row in rows]
    path.write_text("\n".join(lines) + "\n")
