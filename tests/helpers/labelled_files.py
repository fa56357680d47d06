"""Labelled structures of known truth, and the files that codes write them to."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixCartesian
from ase.io import write

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
QE = units.create_units("2006")
"""As ASE reads outputs of pw.x."""
KBAR = 0.1 * units.GPa
ENERGY = {"eV": 1.0, "meV": 1e-3, "Hartree": units.Hartree, "Rydberg": units.Ry, "kcal/mol": units.kcal / units.mol}
LENGTH = {"Å": 1.0, "Bohr": units.Bohr}
FORCE = {"eV/Å": 1.0, "Hartree/Bohr": units.Hartree / units.Bohr, "kcal/mol/Å": units.kcal / units.mol}
STRESS = {"eV/Å³": 1.0, "GPa": units.GPa, "kbar": 0.1 * units.GPa, "Hartree/Bohr³": units.Hartree / units.Bohr**3}


@dataclass
class Truth:
    atoms: Atoms
    energy: float
    entropy: float
    """What the energy that is not the free one is above it, eV."""
    forces: np.ndarray
    stress: np.ndarray
    fixed: np.ndarray
    is_zeroed: bool
    """Whether forces of fixed components are written as zero."""

    @property
    def written_forces(self):
        return np.where(self.fixed & self.is_zeroed, 0.0, self.forces)

    @property
    def tensor(self):
        full = np.zeros((3, 3))
        for value, (i, j) in zip(self.stress, VOIGT, strict=True):
            full[i, j] = full[j, i] = value
        return full


def truth(rng, pbc=(True, True, True), n_atoms=None, fixed=None, is_zeroed=False):
    n_atoms = n_atoms or int(rng.integers(1, 5))
    cell = np.diag(rng.uniform(4.0, 7.0, 3)) + rng.uniform(-0.5, 0.5, (3, 3))
    atoms = Atoms(
        rng.choice(["Cu", "Au"], n_atoms), cell=cell, pbc=pbc, scaled_positions=rng.uniform(0, 1, (n_atoms, 3))
    )
    held = np.zeros((n_atoms, 3), dtype=bool)
    if fixed == "atoms":
        held[rng.integers(0, 2, n_atoms).astype(bool)] = True
    elif fixed == "components":
        held = rng.integers(0, 2, (n_atoms, 3)).astype(bool)
    return Truth(
        atoms=atoms,
        energy=float(rng.normal(0, 30)),
        entropy=float(rng.uniform(0.05, 0.5)),
        forces=rng.normal(0, 1, (n_atoms, 3)) + 0.01,
        stress=rng.normal(0, 0.02, 6),
        fixed=held,
        is_zeroed=is_zeroed,
    )


def quoted(values, quote):
    text = " ".join(f"{value:.12f}" if isinstance(value, float) else str(value) for value in values)
    return {"{": f"{{{text}}}", "[": f"[{text}]"}.get(quote, f"{quote}{text}{quote}")


@dataclass
class Style:
    """How an extended XYZ file is written."""

    prefix: str = ""
    energy: str = "energy"
    forces: str = "forces"
    stress: str = "stress9"
    """stress or virial with 6 or 9 numbers, both, none."""
    stress_name: str = "stress"
    virial_name: str = "virial"
    free: str | None = None
    """Name of the free energy; the other one is then another number."""
    per_atom: bool = False
    quote: str = '"'
    pbc: str = "T"
    mask: str = "none"
    energy_unit: str = "eV"
    length_unit: str = "Å"
    force_unit: str = "eV/Å"
    stress_unit: str = "eV/Å³"
    newline: str = "\n"
    upper: bool = False
    lower: bool = False
    """Keys of the format in lower case, as GPUMD takes them."""
    numbers: bool = False
    columns: bool = False
    """Forces as fx, fy and fz."""
    extras: bool = False
    spaces: str = "="
    order: int = 0

    def text(self, frames):
        return "".join(self.frame(frame) for frame in frames).replace("\n", self.newline)

    def frame(self, true):
        columns, facts = self.table(true), self.facts(true)
        np.random.default_rng(self.order).shuffle(columns)
        np.random.default_rng(self.order).shuffle(facts)
        properties = ":".join(f"{name}:{kind}:{values.shape[1]}" for name, kind, values in columns)
        rows = [
            " ".join(cell(value) for _, _, values in columns for value in values[k]) for k in range(len(true.atoms))
        ]
        facts.insert(int(self.order) % (len(facts) + 1), ("properties" if self.lower else "Properties", properties))
        comment = " ".join(f"{name}{self.spaces}{value}" for name, value in facts)
        return "\n".join([str(len(true.atoms)), comment, *rows]) + "\n"

    def table(self, true):
        symbols = np.array(true.atoms.get_chemical_symbols())[:, None]
        species = ("Z", "I", true.atoms.numbers[:, None]) if self.numbers else ("species", "S", symbols)
        if self.upper and not self.numbers:
            species = ("species", "S", np.char.upper(symbols))
        forces = true.written_forces / FORCE[self.force_unit]
        columns = [species, ("pos", "R", true.atoms.positions / LENGTH[self.length_unit])]
        if self.columns:
            columns += [(f"f{axis}", "R", forces[:, k : k + 1]) for k, axis in enumerate("xyz")]
        else:
            columns.append((self.prefix + self.forces, "R", forces))
        if self.mask == "atoms":
            columns.append(("move_mask", "L", ~true.fixed.all(axis=1)[:, None]))
        elif self.mask == "components":
            columns.append(("move_mask", "L", ~true.fixed))
        if self.extras:
            columns += [
                ("tags", "I", np.arange(len(true.atoms))[:, None]),
                ("local_q", "R", np.ones((len(true.atoms), 2))),
            ]
        return columns

    @property
    def energy_factor(self):
        return ENERGY[self.energy_unit]

    def facts(self, true):
        number = (true.energy + (true.entropy if self.free else 0.0)) / self.energy_factor
        shown = number / len(true.atoms) if self.per_atom else number
        facts = [(self.prefix + self.energy, f"{shown:.12f}")]
        if self.free:
            facts.append((self.prefix + self.free, f"{true.energy / self.energy_factor:.12f}"))
        if self.pbc and (self.pbc != "absent" or not true.atoms.pbc.all()):
            flag = {"T": "TF", "True": ("True", "False"), "TRUE": ("TRUE", "FALSE"), "t": ("true", "false"), "1": "10"}
            yes, no = flag.get(self.pbc, "TF")
            facts.append(("pbc", quoted([yes if p else no for p in true.atoms.pbc], self.quote)))
        if true.atoms.cell.rank == 3:
            facts.append(
                (
                    "lattice" if self.lower else "Lattice",
                    quoted((true.atoms.cell.array / LENGTH[self.length_unit]).ravel().tolist(), self.quote),
                )
            )
        facts += self.stresses(true)
        if self.extras:
            facts += [("config_type", "bulk"), ("comment", '"a b = c"'), ("weight", "1.0"), ("done", "T")]
        return facts

    def stresses(self, true):
        if self.stress == "none":
            return []
        factor = STRESS[self.stress_unit]
        six = self.stress.endswith("6")
        stress = (true.stress if six else true.tensor.ravel()) / factor
        virial = -(true.stress if six else true.tensor.ravel()) * volume(true) / self.energy_factor
        facts = []
        if self.stress.startswith(("stress", "both")):
            facts.append((self.prefix + self.stress_name, quoted(stress.tolist(), self.quote)))
        if self.stress.startswith(("virial", "both")):
            facts.append((self.prefix + self.virial_name, quoted(virial.tolist(), self.quote)))
        return facts


def volume(true):
    return abs(np.linalg.det(true.atoms.cell.array)) if true.atoms.cell.rank == 3 else 1.0


def cell(value):
    if isinstance(value, np.bool_ | bool):
        return "T" if value else "F"
    return f"{value:.12f}" if isinstance(value, float) else str(value)


def with_ase(path, frames, file_format):
    """Write files as ASE does, with constraints and both energies."""
    written = []
    for true in frames:
        atoms = true.atoms.copy()
        if true.fixed.any():
            whole = true.fixed.all(axis=1)
            if (whole == true.fixed.any(axis=1)).all():
                atoms.set_constraint(FixAtoms(mask=whole))
            elif file_format == "traj":
                atoms.set_constraint([FixCartesian(k, true.fixed[k]) for k in range(len(atoms)) if true.fixed[k].any()])
            else:
                atoms.set_constraint([FixCartesian(k, true.fixed[k]) for k in range(len(atoms))])
        energies = {"energy": true.energy + true.entropy, "free_energy": true.energy}
        atoms.calc = SinglePointCalculator(atoms, **energies, forces=true.written_forces, stress=true.stress)
        written.append(atoms)
    write(path, written, format=file_format)


def vasprun(frames, steps=(), nelm=60, cut=False, pstress_kb=0.0):
    """Return a vasprun.xml; ``steps`` are the electronic steps of each structure, else 7."""
    first = frames[0]
    kinds = "".join(f"<rc><c>{symbol}</c><c>1</c></rc>" for symbol in first.atoms.get_chemical_symbols())
    selective = rows("selective", np.where(first.fixed, "F", "T")) if first.fixed.any() else ""
    text = (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n<generator><i name="version" type="string">6.4.2</i>'
        f'</generator>\n<parameters><separator name="electronic"><i type="int" name="NELM">{nelm:6d}</i></separator>'
        f'<i name="PSTRESS">{pstress_kb:14.8f}</i></parameters>\n'
        f'<atominfo><array name="atoms"><set>{kinds}</set></array>'
        f'</atominfo>\n<structure name="initialpos">{crystal(first)}{selective}</structure>\n'
    )
    for k, true in enumerate(frames):
        free = true.energy + pstress_kb * KBAR * volume(true)
        energies = energy_xml(free, true.energy + true.entropy)
        scf = "".join(f"<scstep>{energies}</scstep>\n" for _ in range(steps[k] if k < len(steps) else 7))
        text += f"<calculation>\n{scf}<structure>{crystal(true)}</structure>\n{rows('forces', true.written_forces)}"
        text += f"{rows('stress', -true.tensor / KBAR)}{energies}</calculation>\n"
    text += "</modeling>\n"
    return text[: text.rindex('<varray name="stress"') + 40] if cut else text


def energy_xml(free, zero):
    names = {"e_fr_energy": free, "e_wo_entrp": zero, "e_0_energy": (free + zero) / 2}
    return "<energy>" + "".join(f'<i name="{name}">{value:18.10f} </i>' for name, value in names.items()) + "</energy>"


def crystal(true):
    scaled = np.linalg.solve(true.atoms.cell.array.T, true.atoms.positions.T).T
    return f"<crystal>{rows('basis', true.atoms.cell.array)}</crystal>{rows('positions', scaled)}"


def rows(name, values):
    lines = "".join(f"<v> {' '.join(cell(value) for value in row)} </v>\n" for row in values.tolist())
    return f'<varray name="{name}">\n{lines}</varray>\n'


def outcar(frames, reached=(), nelm=60, closing=True):
    """Return an OUTCAR; ``reached`` says of each structure whether EDIFF was."""
    symbols = frames[0].atoms.get_chemical_symbols()
    kinds = [[symbols[0], 0]]
    for symbol in symbols:
        if symbol != kinds[-1][0]:
            kinds.append([symbol, 0])
        kinds[-1][1] += 1
    potcars = "".join(f" POTCAR:    PAW_PBE {symbol} 22Jun2005\n" for symbol, _ in kinds)
    counts = " ".join(str(number) for _, number in kinds)
    text = f"{potcars}{potcars}   ISPIN  =      1    spin polarized calculation?\n   NELM   = {nelm:6d};   NELMIN=  2\n"
    text += f"   ions per type =          {counts}\n"
    for k, true in enumerate(frames):
        good = k >= len(reached) or reached[k]
        stress = -np.array([true.stress[i] for i in (0, 1, 2, 5, 3, 4)]) / KBAR
        for step in range(1, 8 if good else nelm + 1):
            text += f"--------------------------------------- Iteration {k + 1:6d}({step:4d})  -------------\n"
        text += " aborting loop because EDIFF is reached\n" if good else ""
        text += f"  in kB   {' '.join(f'{value:14.8f}' for value in stress)}\n"
        text += "      direct lattice vectors                 reciprocal lattice vectors\n"
        text += "".join(f" {' '.join(f'{x:16.10f}' for x in row)} 0.0 0.0 0.0\n" for row in true.atoms.cell.array)
        text += f" POSITION                                       TOTAL-FORCE (eV/Angst)\n {'-' * 60}\n"
        table = np.hstack([true.atoms.positions, true.written_forces])
        text += "".join(f" {' '.join(f'{x:16.10f}' for x in row)}\n" for row in table)
        text += f" {'-' * 60}\n  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n  {'-' * 50}\n"
        text += f"  free  energy   TOTEN  = {true.energy:18.8f} eV\n\n"
        text += f"  energy  without entropy= {true.energy + true.entropy:18.8f}  energy(sigma->0) = "
        text += f"{true.energy + true.entropy / 2:18.8f}\n"
    return text + (" General timing and accounting informations for this job:\n" if closing else "")


def pw_out(frames, ends=()):
    """Return an output of pw.x, structure after structure; ``ends`` are texts that stand where one should converge."""
    first, alat = frames[0], 10.0
    text = "     Program PWSCF v.7.2 starts on  1Jan2026 at  1: 1: 1\n"
    text += f"     number of atoms/cell      = {len(first.atoms):12d}\n     number of atomic types    =            2\n"
    text += f"     celldm(1)=  {alat:.8f}  celldm(2)=   0.000000\n     crystal axes: (cart. coord. in units of alat)\n"
    for k, row in enumerate(first.atoms.cell.array / QE.Bohr / alat):
        text += f"               a({k + 1}) = ( {' '.join(f'{x:13.9f}' for x in row)} )\n"
    text += "     site n.     atom                  positions (alat units)\n"
    for k, atom in enumerate(first.atoms):
        place = " ".join(f"{x:13.9f}" for x in atom.position / QE.Bohr / alat)
        text += f"         {k + 1}           {atom.symbol}  tau({k + 1:4d}) = ( {place}  )\n"
    for k, true in enumerate(frames):
        if k:
            text += "CELL_PARAMETERS (angstrom)\n"
            text += "".join(f" {' '.join(f'{x:14.9f}' for x in row)}\n" for row in true.atoms.cell.array)
            text += "\nATOMIC_POSITIONS (angstrom)\n"
            for symbol, place, held in zip(
                true.atoms.get_chemical_symbols(), true.atoms.positions, true.fixed, strict=True
            ):
                flags = "".join(f" {int(not h):3d}" for h in held) if true.fixed.any() else ""
                text += f"{symbol} {' '.join(f'{x:14.10f}' for x in place)}{flags}\n"
        text += "\n     Self-consistent Calculation\n\n     iteration #  1     ecut=    30.00 Ry\n"
        if k < len(ends) and ends[k]:
            text += ends[k]
            continue
        text += f"!    total energy              = {true.energy / QE.Ry:17.10f} Ry\n"
        text += "\n     convergence has been achieved in   9 iterations\n"
        text += "\n     Forces acting on atoms (cartesian axes, Ry/au):\n\n"
        for n, force in enumerate(true.written_forces * QE.Bohr / QE.Ry):
            text += f"     atom {n + 1:4d} type  1   force = {' '.join(f'{x:14.9f}' for x in force)}\n"
        text += "\n     total   stress  (Ry/bohr**3)                   (kbar)     P=        1.00\n"
        for row in -true.tensor * QE.Bohr**3 / QE.Ry:
            text += f" {' '.join(f'{x:14.10f}' for x in row)}  0.0 0.0 0.0\n"
    return text + "\n   JOB DONE.\n"
