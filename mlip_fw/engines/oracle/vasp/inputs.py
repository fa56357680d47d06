"""INCAR and POTCARs of VASP: one level of theory for every label of a campaign.

pymatgen's input sets choose some tags by the structure at hand: U by the most electronegative element,
LMAXMIX by the shells, EDIFF by the number of atoms, ISMEAR by the number of k-points, SIGMA by the gap.
Two labels of one campaign would then be of two levels of theory, so each of these tags is pinned here.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
from typing import Any, cast

from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure
from pymatgen.io.vasp.inputs import Incar, PmgVaspPspDirError, PotcarSingle
from pymatgen.io.vasp.sets import MatPESStaticSet, MPScanStaticSet, MPStaticSet, VaspInputSet

from mlip_fw.errors import CampaignError, WorkerError
from mlip_fw.io.vasp import without_warnings
from mlip_fw.models.oracle import VaspOracle

_SETS: dict[str, type[VaspInputSet]] = {
    "MPStaticSet": MPStaticSet,
    "MPScanStaticSet": MPScanStaticSet,
    "MatPESStaticSet": MatPESStaticSet,
}
_PINNED: dict[str, Any] = {
    "EDIFF": 1e-6,
    "IBRION": -1,
    "ISIF": 2,
    "ISMEAR": 0,
    "ISPIN": 1,
    "ISYM": 0,
    "LDAU": False,
    "LMAXMIX": 6,
    "LREAL": False,
    "LWAVE": False,
    "LCHARG": False,
    "NSW": 0,
    "SIGMA": 0.05,
}
_DROPPED = ("KSPACING", "LAECHG", "LELF", "LORBIT", "LVHAR", "LVTOT", "MAGMOM")
# fmt: off
HOW_NOT_WHAT = frozenset((
    "ALGO", "AMIN", "AMIX", "AMIX_MAG", "BMIX", "BMIX_MAG", "IALGO", "ICHARG", "IMIX", "INIWAV", "ISEARCH",
    "ISTART", "KPAR", "LCHARG", "LPLANE", "LSCALAPACK", "LSCALU", "LWAVE", "MAXMIX", "MIXPRE", "NBANDS", "NCORE",
    "NELM", "NELMDL", "NELMIN", "NPAR", "NSIM", "NWRITE", "SYMPREC", "SYSTEM", "TIME", "WC",
))
# fmt: on
"""Tags that decide how a result is reached, not which one; SYMPREC among them because symmetry is off."""
_ELSEWHERE = {
    "ENCUT": "use oracle.encut_ev",
    "SIGMA": "use oracle.smearing_width_ev",
    "ISPIN": "use oracle.starting_moments_mub",
    "MAGMOM": "use oracle.starting_moments_mub",
    **dict.fromkeys(("KSPACING", "KGAMMA"), "use oracle.kpoint_spacing_1_a"),
    **dict.fromkeys(("LDAU", "LDAUU", "LDAUJ", "LDAUL", "LDAUTYPE"), "use oracle.hubbard_u_ev"),
    **dict.fromkeys(("NSW", "IBRION", "ISIF", "POTIM"), "a label is one static calculation"),
    **dict.fromkeys(("ISTART", "ICHARG", "LWAVE", "LCHARG"), "mlip_fw sets it, to continue what a walltime cut"),
    **dict.fromkeys(("LSORBIT", "LNONCOLLINEAR"), "only collinear spins are supported"),
    "ISYM": "labels are computed without symmetry, so that distorted and perfect cells agree",
    "ML_LMLFF": "labels come from DFT, not from another potential",
}
_NOT_ITS_DERIVATIVE = {
    "PSTRESS": "it adds a pressure to the stress and an enthalpy to the energy",
    "EFIELD": "a field acts on an atom by its place in the cell, which no potential of its neighbours can learn",
    "EFIELD_PEAD": "a field acts on an atom by its place in the cell, which no potential of its neighbours can learn",
    "IMAGES": "a label is one structure, not a path of several",
    "I_CONSTRAINED_M": "its penalty is part of the energy, and of one structure only",
}
"""Tags that make energy or forces something else than a potential can learn, unless they are 0."""
_FIXED_OCCUPATIONS = -2
_TETRAHEDRA = (-4, -5, -14, -15)
_ALSO_TAGS = ("LIBXC1", "LIBXC2", "STOP_ON", "KERNEL_TRUNCATION")
_SHELLS = {"p": 1, "d": 2, "f": 3}


def incar_template(oracle: VaspOracle) -> dict[str, Any]:
    """Return the INCAR tags that are the same for every structure, as plain values."""
    tags = dict(_PINNED)
    if oracle.encut_ev is not None:
        tags["ENCUT"] = oracle.encut_ev
    if oracle.smearing_width_ev is not None:
        tags["SIGMA"] = oracle.smearing_width_ev
    if oracle.starting_moments_mub:
        tags["ISPIN"] = 2
    if oracle.hubbard_u_ev:
        tags |= {"LDAUTYPE": 2, "LASPH": True}
    tags |= {key.upper(): value for key, value in oracle.incar.items()}
    with without_warnings():
        chosen = _input_set(oracle, ["H"], {**tags, **dict.fromkeys(_DROPPED)}).incar
        template = dict(Incar(chosen))
    template["LDAU"] = bool(oracle.hubbard_u_ev)
    return {key: template[key] for key in sorted(template) if key not in _DROPPED}


def incar_for(oracle: VaspOracle, structure: Structure, *, keep_orbitals: bool) -> dict[str, Any]:
    """Return the INCAR of one structure whose atoms are sorted by species.

    Parameters
    ----------
    keep_orbitals
        Write WAVECAR, with which a run that was cut can be continued.
    """
    incar = {**incar_template(oracle), "LWAVE": keep_orbitals}
    if oracle.starting_moments_mub:
        incar["MAGMOM"] = [oracle.starting_moments_mub.get(site.specie.symbol, 0.0) for site in structure]
    if oracle.hubbard_u_ev:
        present = list(dict.fromkeys(site.specie.symbol for site in structure))
        values = [oracle.hubbard_u_ev.get(symbol, 0.0) for symbol in present]
        shells = [_SHELLS[Element(e).block] if e in oracle.hubbard_u_ev else -1 for e in present]
        incar |= {"LDAUU": values, "LDAUJ": [0.0] * len(values), "LDAUL": shells}
    return incar


def deciding_tags(incar: dict[str, Any]) -> dict[str, Any]:
    """Return the tags of an INCAR that decide the value of a label."""
    return {key: value for key, value in incar.items() if key not in HOW_NOT_WHAT}


def potcars_of(oracle: VaspOracle, elements: list[str]) -> dict[str, PotcarSingle]:
    """Return the POTCAR of each element, from pymatgen's POTCAR directory.

    Raises
    ------
    CampaignError
        If the name of the library is wrong, or a symbol is of another element.
    WorkerError
        If pymatgen isn't set up here, or a file is missing or damaged.
    """
    if oracle.potcar_functional not in PotcarSingle.functional_dir:
        raise CampaignError(
            f"oracle.potcar_functional {oracle.potcar_functional!r} is not one of pymatgen's libraries"
            f"{_hint(oracle.potcar_functional, list(PotcarSingle.functional_dir))}"
        )
    with without_warnings():
        symbols = dict(zip(elements, _input_set(oracle, elements, {}).potcar_symbols, strict=True))
    return {element: _potcar(element, symbol, oracle.potcar_functional) for element, symbol in symbols.items()}


def potcar_hash(potcar: PotcarSingle) -> str:
    """Return the sha256 of a POTCAR's text."""
    return hashlib.sha256(potcar.data.encode()).hexdigest()


def require_sound_incar(oracle: VaspOracle) -> None:
    """Check the tags that the campaign sets itself.

    Raises
    ------
    CampaignError
        If a tag is unknown, has a key of its own, or makes labels that can't be learnt from.
    """
    for tag, value in oracle.incar.items():
        where = f"oracle.incar.{tag}"
        if why := _ELSEWHERE.get(tag.upper()):
            raise CampaignError(f"{where} can't be set: {why}")
        if tag.upper() not in Incar.INCAR_PARAMS and tag.upper() not in _ALSO_TAGS:
            raise CampaignError(
                f"{where} is not a tag that pymatgen knows{_hint(tag.upper(), list(Incar.INCAR_PARAMS))}"
            )
        if tag.upper() == "ISMEAR" and value in _TETRAHEDRA:
            raise CampaignError(
                f"{where} = {value} is the tetrahedron method, whose forces are not the derivative of its energy; "
                "take 0 (Gaussian), -1 (Fermi-Dirac) or 1 (Methfessel-Paxton)"
            )
        if tag.upper() == "ISMEAR" and value == _FIXED_OCCUPATIONS:
            raise CampaignError(f"{where} = -2 takes occupations from the file, which are those of one structure")
        why = _NOT_ITS_DERIVATIVE.get(tag.upper())
        if why and value not in (0, [0, 0, 0]):
            raise CampaignError(f"{where} can't be set: {why}")
    for element in oracle.hubbard_u_ev:
        if Element(element).block not in _SHELLS:
            raise CampaignError(f"oracle.hubbard_u_ev: {element} has no p, d or f shell to put U on")


def _input_set(oracle: VaspOracle, elements: list[str], tags: dict[str, Any]) -> VaspInputSet:
    """Return pymatgen's input set for a structure that has these elements and else no meaning."""
    places = [[k / len(elements), 0, 0] for k in range(len(elements))]
    try:
        return _SETS[oracle.input_set](
            structure=Structure(Lattice.orthorhombic(4.0 * len(elements), 4.0, 4.0), elements, places),
            sort_structure=False,
            user_incar_settings=tags,
            user_potcar_functional=cast(Any, oracle.potcar_functional),
            user_potcar_settings=oracle.potcars,
            user_kpoints_settings={"reciprocal_density": 1},
        )
    except ValueError as error:
        raise CampaignError(f"oracle.input_set {oracle.input_set}: {error}") from error


def _potcar(element: str, symbol: str, functional: str) -> PotcarSingle:
    if re.match(r"[A-Z][a-z]?", symbol + " ")[0] != element:  # type: ignore[index]
        raise CampaignError(f"oracle.potcars: {symbol!r} is not a POTCAR of {element}")
    try:
        with without_warnings():
            potcar = PotcarSingle.from_symbol_and_functional(symbol, functional)
            whole = math.isfinite(potcar.zval) and bool(potcar.titel)
    except (PmgVaspPspDirError, FileNotFoundError) as error:
        raise WorkerError(
            f"pymatgen finds no POTCAR {symbol} of {functional} for {element} ({str(error).splitlines()[0]}); unpack "
            "VASP's POTCARs with `pmg config -p EXTRACTED DIRECTORY`, say where they are with "
            "`pmg config --add PMG_VASP_PSP_DIR DIRECTORY`, or name "
            f"another one in oracle.potcars, such as {{{element}: {element}}}"
        ) from error
    except Exception as error:
        raise WorkerError(f"POTCAR {symbol} of {functional} can't be read ({error}); restore VASP's file") from error
    if not whole:
        raise WorkerError(f"POTCAR {symbol} of {functional} has no sound header; restore VASP's file")
    return potcar


def _hint(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
