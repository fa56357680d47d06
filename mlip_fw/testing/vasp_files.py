"""Outputs in VASP's documented layout, as small as pymatgen and custodian read them.

Everything here is ours: no file of a real VASP was at hand. Energy, forces and stress are those of
:class:`ase.calculators.emt.EMT`, which no density functional would give.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from ase import Atoms, units

VERSION = "stand-in"
CLOSING = f" General timing and accounting informations for this job:\n {'=' * 56}\n"
ENDS = {
    "reached": "because EDIFF is reached",
    "not reached": "EDIFF was not reached (unconverged)",
    "stopped": "because hard stop was set",
}
_TRUE = re.compile(r"^\.?T", re.IGNORECASE)
_INTEGERS = ("NELM", "NSW", "IBRION", "ISIF", "ISMEAR", "ISPIN", "ISYM", "LMAXMIX", "NBANDS", "NCORE", "KPAR", "IMIX")
_STRINGS = ("ALGO", "PREC", "METAGGA", "GGA", "SYSTEM")


@dataclass(frozen=True)
class Inputs:
    """What a VASP would read."""

    incar: dict[str, str]
    atoms: Atoms
    grid: tuple[int, ...]
    titels: list[str]
    electrons: float

    @classmethod
    def read(cls, folder: Path) -> Inputs:
        """Read INCAR, KPOINTS, POSCAR and POTCAR."""
        potcar = (folder / "POTCAR").read_text()
        atoms = read_poscar(folder / "POSCAR")
        valences = [float(v) for v in re.findall(r"ZVAL\s*=\s*([\d.]+)", potcar)]
        counts = [len(list(group)) for _, group in groupby(atoms.numbers)]
        return cls(
            incar=incar_of((folder / "INCAR").read_text()),
            atoms=atoms,
            grid=tuple(int(n) for n in (folder / "KPOINTS").read_text().splitlines()[3].split()),
            titels=[t.strip() for t in re.findall(r"TITEL\s*=\s*(.*)", potcar)],
            electrons=float(np.dot(valences, counts)),
        )

    @property
    def bands(self) -> int:
        """Number of bands: that of INCAR, or VASP's own choice."""
        return int(self.incar.get("NBANDS", max(self.electrons / 2 + len(self.atoms) / 2, 0.6 * self.electrons)))


@dataclass(frozen=True)
class Answer:
    """What the stand-in makes up for a structure."""

    energy_ev: float
    forces_ev_a: np.ndarray
    stress_kb: np.ndarray
    """(3, 3), positive under compression."""

    @classmethod
    def none(cls, atoms: Atoms) -> Answer:
        """Return zeros, for outputs that nobody shall believe."""
        return cls(0.0, np.zeros((len(atoms), 3)), np.zeros((3, 3)))

    @classmethod
    def of(cls, atoms: Atoms) -> Answer:
        """Ask EMT."""
        from ase.calculators.emt import EMT  # half of the stand-in's time, and no failure needs it

        copy = atoms.copy()
        copy.calc = EMT()
        stress = -copy.get_stress(voigt=False) / (0.1 * units.GPa)
        return cls(float(copy.get_potential_energy()), copy.get_forces(), stress)


def read_poscar(path: Path) -> Atoms:
    """Read a POSCAR with names of species, scale 1 and fractional positions, as pymatgen writes it."""
    lines = path.read_text().splitlines()
    rows = [[float(number) for number in line.split()[:3]] for line in lines[2:5] + lines[8:]]
    counts = [int(n) for n in lines[6].split()]
    symbols = [s for s, n in zip(lines[5].split(), counts, strict=True) for _ in range(n)]
    assert lines[7].strip().lower() == "direct"
    return Atoms(symbols, scaled_positions=rows[3 : 3 + len(symbols)], cell=rows[:3], pbc=True)


def incar_of(text: str) -> dict[str, str]:
    """Return tag and value of each line of an INCAR."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key.strip().upper(): " ".join(value.split()) for key, value in pairs}


def vasprun(inputs: Inputs, answer: Answer, steps: int) -> str:
    """Return ``vasprun.xml`` of a static calculation with ``steps`` electronic steps."""
    cell, places = inputs.atoms.cell.array, inputs.atoms.get_scaled_positions(wrap=False)
    structure = f"<crystal>{_rows('basis', cell)}</crystal>{_rows('positions', places)}"
    defaults = {"NELM": "60", "NSW": "0", "IBRION": "-1", "EDIFF": "1E-4", "ISMEAR": "1", "ISPIN": "1"}
    parameters = {**defaults, **inputs.incar, "NELECT": f"{inputs.electrons:.8f}", "NBANDS": str(inputs.bands)}
    energies = [answer.energy_ev + 10.0 * 0.1**k for k in range(1, steps)] + [answer.energy_ev]
    parts = [
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n',
        f'<generator><i name="program" type="string">vasp</i><i name="version" type="string">{VERSION}</i></generator>',
        f"<incar>{_tags(inputs.incar)}</incar>",
        '<kpoints><generation param="Gamma">'
        f'<v type="int" name="divisions">{" ".join(map(str, inputs.grid))}</v></generation>'
        f"{_rows('kpointlist', [[0.0, 0.0, 0.0]])}{_rows('weights', [[1.0]])}</kpoints>",
        f'<parameters><separator name="general">{_tags(parameters)}</separator></parameters>',
        _atominfo(inputs),
        f'<structure name="initialpos">{structure}</structure>',
        "<calculation>",
        *(f"<scstep>{_energy(e)}</scstep>" for e in energies),
        f"<structure>{structure}</structure>",
        _rows("forces", answer.forces_ev_a),
        _rows("stress", answer.stress_kb),
        _energy(answer.energy_ev),
        "</calculation>",
        f'<structure name="finalpos">{structure}</structure>\n</modeling>\n',
    ]
    return "\n".join(parts)


def outcar(inputs: Inputs, answer: Answer, steps: int, ended: str) -> str:
    """Return OUTCAR whose loop ended as ``ended`` of :data:`ENDS` says."""
    lines = [
        f" vasp.{VERSION}",
        " running on    1 total cores",
        f"   number of dos      NEDOS =    301   number of bands    NBANDS=  {inputs.bands:5d}",
        "   total plane-waves  NPLWV =   1000",
        f"   NELECT =   {inputs.electrons:12.4f}    total number of electrons",
    ]
    for k in range(1, steps + 1):
        lines += [
            f"----------------------------------------- Iteration    1({k:4d})  ----------------------------------",
            "      LOOP:  cpu time    0.0100: real time    0.0100",
            f" number of electron  {inputs.electrons:12.7f} magnetization",
        ]
    lines += [
        f"\n------------------------ aborting loop {ENDS[ended]} ----------------------------------------\n",
        "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)",
        f"  free  energy   TOTEN  = {answer.energy_ev:18.8f} eV\n",
        f"  energy  without entropy={answer.energy_ev:18.8f}  energy(sigma->0) ={answer.energy_ev:18.8f}\n",
    ]
    return "\n".join(lines) + "\n" + CLOSING


def oszicar(energy_ev: float, steps: int) -> str:
    """Return OSZICAR of a calculation that went through ``steps`` electronic steps."""
    head = "       N       E                     dE             d eps       ncg     rms          rms(c)\n"
    return head + "".join(scf_line(k, energy_ev) for k in range(1, steps + 1)) + last_line(energy_ev)


def scf_line(k: int, energy_ev: float) -> str:
    """Return the line of one electronic step."""
    return f"DAV: {k:3d}    {energy_ev:18.12E}   -0.10000E-01   -0.10000E-01   100   0.100E+00\n"


def last_line(energy_ev: float) -> str:
    """Return the line of a finished loop."""
    return f"   1 F= {energy_ev:.8E} E0= {energy_ev:.8E}  d E =0.000000E+00\n"


def write_fake_potcars(directory: Path, symbols: dict[str, float], library: str = "POT_GGA_PAW_PBE_54") -> None:
    """Write POTCARs with a header that pymatgen reads and no potential, to be named by PMG_VASP_PSP_DIR.

    Parameters
    ----------
    symbols
        Number of valence electrons of each POTCAR symbol, such as ``{"Cu_pv": 17}``.
    """
    for symbol, valence in symbols.items():
        place = directory / library / f"POTCAR.{symbol}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(fake_potcar(symbol, valence))


def fake_potcar(symbol: str, valence: float) -> str:
    """Return a POTCAR that holds no potential."""
    element = symbol.partition("_")[0]
    return (
        f"  PAW_PBE {symbol} fake\n {valence:.8f}\n parameters from PSCTR are:\n"
        f"   VRHFIN ={element}: fake\n   LEXCH  = PE\n   EATOM  =   100.0000 eV,    7.3500 Ry\n\n"
        f"   TITEL  = PAW_PBE {symbol} fake\n   LULTRA =        F    use ultrasoft PP ?\n"
        f"   LPAW   =        T    paw PP\n   POMASS =   10.000; ZVAL   = {valence:8.3f}    mass and valenz\n"
        "   ENMAX  =  300.000; ENMIN  =  225.000 eV\n END of PSCTR-controll parameters\n local part\n"
        "   1.0000000\n  .1000E+01 .2000E+01\n End of Dataset\n"
    )


def _energy(value: float) -> str:
    names = ("e_fr_energy", "e_wo_entrp", "e_0_energy")
    return "<energy>" + "".join(f'<i name="{name}">{value:20.10f}</i>' for name in names) + "</energy>"


def _rows(name: str, rows: Iterable[Iterable[float]]) -> str:
    lines = "".join(f"<v>{' '.join(f'{value:.10f}' for value in row)}</v>\n" for row in rows)
    return f'<varray name="{name}">\n{lines}</varray>'


def _tags(tags: dict[str, str]) -> str:
    return "".join(_tag(key, value) for key, value in tags.items())


def _tag(key: str, value: str) -> str:
    if key in _STRINGS:
        return f'<i type="string" name="{key}">{escape(value)}</i>'
    if key in _INTEGERS:
        return f'<i type="int" name="{key}">{value}</i>'
    if re.fullmatch(r"\.?(T|F|TRUE|FALSE)\.?", value, re.IGNORECASE):
        return f'<i type="logical" name="{key}">{"T" if _TRUE.match(value) else "F"}</i>'
    if re.fullmatch(r"[-+.\dEe]+", value):
        return f'<i name="{key}">{value}</i>'
    return f'<i type="string" name="{key}">{escape(value)}</i>'


def _atominfo(inputs: Inputs) -> str:
    symbols = inputs.atoms.get_chemical_symbols()
    kinds = [(symbol, len(list(group))) for symbol, group in groupby(symbols)]
    types = {symbol: k + 1 for k, (symbol, _) in enumerate(kinds)}
    atoms = "".join(f"<rc><c>{s}</c><c>{types[s]}</c></rc>" for s in symbols)
    rows = "".join(
        f"<rc><c>{n}</c><c>{s}</c><c>1.0</c><c>1.0</c><c>{titel}</c></rc>"
        for (s, n), titel in zip(kinds, inputs.titels, strict=True)
    )
    return (
        f"<atominfo><atoms>{len(symbols)}</atoms><types>{len(kinds)}</types>"
        f'<array name="atoms"><set>{atoms}</set></array><array name="atomtypes"><set>{rows}</set></array></atominfo>'
    )
