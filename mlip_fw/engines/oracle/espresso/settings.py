"""pw.x's namelists, and the level of theory, from the settings of the oracle."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ase import Atoms, units

from mlip_fw.engines.oracle.espresso.pseudo import Pseudopotential
from mlip_fw.errors import CampaignError
from mlip_fw.io.espresso import Namelists, Value
from mlip_fw.models.oracle import EspressoOracle

INPUT, OUTPUT, ERRORS, CRASH = "pw.in", "pw.out", "pw.err", "CRASH"
"""Files in the folder of a calculation; pw.x itself writes CRASH."""
PREFIX, OUTDIR, PSEUDO_DIR = "label", "tmp", "pseudo"
_OWN_KEYS = {
    "control": "calculation restart_mode prefix outdir wfcdir pseudo_dir tprnfor tstress max_seconds nstep disk_io "
    "verbosity",
    "system": "ibrav nat ntyp celldm a b c cosab cosac cosbc ecutwfc ecutrho occupations smearing degauss nspin "
    "starting_magnetization",
    "electrons": "conv_thr electron_maxstep mixing_beta scf_must_converge startingpot",
}
_NO_INFLUENCE = {
    "control": {"title", "iprint", "wf_collect", "lkpoint_dir"},
    "electrons": {"mixing_mode", "mixing_ndim", "diagonalization", "startingwfc", "diago_thr_init"},
}
"""Keys that do not change the value of a label."""
_FIELD = "an external field acts on an atom by its place in the cell, which no potential of its neighbours can learn"
_FORBIDDEN = {
    "control": dict.fromkeys(("lelfield", "lberry", "gate", "lfcp", "lfcpopt", "lfcpdyn"), _FIELD),
    "system": {"lgcscf": _FIELD, "hubbard_v": "it names atoms by number, and those differ from label to label"},
    "electrons": {},
}
_SPECIES_LAST = {"hubbard_j": 1, "starting_ns_eigenvalue": 2}
"""Keys whose species index is not the first one, and its position."""
_BY_SPECIES = re.compile(
    r"hubbard_\w+|starting_charge|starting_ns_eigenvalue|angle[12]|london_(?:c6|rvdw)", re.IGNORECASE
)
_EMPTY_BANDS = 4
"""Bands above the filled ones with fixed occupations, so that a metal is noticed."""


def require_own_keys_untouched(oracle: EspressoOracle) -> None:
    """Refuse keys in oracle.namelists that mlip_fw writes itself.

    Raises
    ------
    CampaignError
        Names the key, and the key of the campaign to use instead if there is one.
    """
    for namelist, values in oracle.namelists.items():
        for key in values:
            if _name(key) in _OWN_KEYS[namelist].split():
                raise CampaignError(
                    f"oracle.namelists.{namelist}.{key} is written by mlip_fw; use the oracle's own keys instead"
                )
            if values[key] and (why := _FORBIDDEN[namelist].get(_name(key))):
                raise CampaignError(f"oracle.namelists.{namelist}.{key} can't be set: {why}")
    _require_no_field(oracle)
    spin_polarised = any(oracle.starting_moments_mub.values())
    if oracle.smearing == "none" and spin_polarised and "tot_magnetization" not in _given(oracle, "system"):
        raise CampaignError(
            "oracle: starting_moments_mub with smearing none needs a smearing, or namelists.system.tot_magnetization "
            "where all labels have the same atoms"
        )


def _name(key: str) -> str:
    return key.lower().partition("(")[0].strip()


def _require_no_field(oracle: EspressoOracle) -> None:
    """Refuse an external field; allow ``tefield`` for the dipole correction of a slab, if its own field is zero."""
    given = {_name(key): value for values in oracle.namelists.values() for key, value in values.items()}
    if given.get("tefield") and given.get("eamp") != 0:
        raise CampaignError(
            f"oracle.namelists.control.tefield can't be set: {_FIELD}; for a dipole correction set system.eamp: 0.0 as "
            "well (pw.x's default is not 0)"
        )


def for_species(oracle: EspressoOracle, elements: Sequence[str], present: Sequence[str]) -> EspressoOracle:
    """Return the oracle for a structure without all elements of the campaign.

    The species index in a key such as ``Hubbard_U(2)`` counts the campaign's elements in alphabetical order. For a
    structure that lacks some of them it is translated to the index there; keys of elements that it lacks are removed.

    Raises
    ------
    CampaignError
        If there is no such element.
    """
    ordered = sorted(elements)
    system: dict[str, Value] = {}
    for key, value in oracle.namelists.get("system", {}).items():
        name, _, indices = key.rstrip(")").partition("(")
        if not indices or not _BY_SPECIES.fullmatch(name):
            system[key] = value
            continue
        numbers = [int(number) for number in indices.split(",")]
        place = _SPECIES_LAST.get(name.lower(), 0)
        if place >= len(numbers) or not 1 <= numbers[place] <= len(ordered):
            raise CampaignError(
                f"oracle.namelists.system.{key} names no species: they are "
                f"{', '.join(f'{k} = {element}' for k, element in enumerate(ordered, 1))}"
            )
        element = ordered[numbers[place] - 1]
        if element in present:
            numbers[place] = 1 + sorted(present).index(element)
            system[f"{name}({','.join(map(str, numbers))})"] = value
    return oracle.model_copy(update={"namelists": {**oracle.namelists, "system": system}})


def level_of_theory(oracle: EspressoOracle, pseudopotentials: Mapping[str, Pseudopotential]) -> dict[str, Any]:
    """Return what decides the value of a label, as plain JSON values without any path of this machine."""
    values = oracle.model_dump(
        mode="json",
        include={
            "kind",
            "ecutwfc_ry",
            "smearing",
            "kpoint_spacing_1_a",
            "starting_moments_mub",
            "scf_accuracy_ev_atom",
        },
    )
    values["ecutrho_ry"] = _ecutrho_ry(oracle)
    if oracle.smearing != "none":
        values["smearing_width_ev"] = oracle.smearing_width_ev
    kept = {
        namelist: {key: value for key, value in sorted(given.items()) if not _has_no_influence(namelist, key)}
        for namelist, given in sorted(oracle.namelists.items())
    }
    values["namelists"] = {namelist: given for namelist, given in kept.items() if given}
    values["pseudopotentials"] = {e: {"file": p.path.name, "sha256": p.sha256} for e, p in pseudopotentials.items()}
    return values


def _has_no_influence(namelist: str, key: str) -> bool:
    name = key.lower()
    return name in _NO_INFLUENCE.get(namelist, set()) or (namelist == "electrons" and name.startswith("diago_"))


def _ecutrho_ry(oracle: EspressoOracle) -> float:
    return oracle.ecutrho_ry if oracle.ecutrho_ry is not None else 4 * oracle.ecutwfc_ry


def first_namelists(atoms: Atoms, oracle: EspressoOracle, pseudopotentials: Mapping[str, Pseudopotential]) -> Namelists:
    """Return the namelists of the first attempt at a structure.

    Symmetry is left on: with symmetric structures pw.x symmetrises forces and stress, which is no loss.
    """
    control: dict[str, Value] = {
        "calculation": "scf",
        "restart_mode": "from_scratch",
        "prefix": PREFIX,
        "outdir": f"./{OUTDIR}",
        "pseudo_dir": f"./{PSEUDO_DIR}",
        "tprnfor": True,
        "tstress": True,
        "disk_io": "low",
        "verbosity": "high",
    }
    electrons: dict[str, Value] = {
        "conv_thr": oracle.scf_accuracy_ev_atom * len(atoms) / units.Ry,
        "electron_maxstep": oracle.max_scf_steps,
        "mixing_beta": oracle.mixing_beta,
    }
    system: dict[str, Value] = {"ecutwfc": oracle.ecutwfc_ry, "ecutrho": _ecutrho_ry(oracle)}
    system |= _occupations(atoms, oracle, pseudopotentials) | _spin(oracle, pseudopotentials)
    ours: Namelists = {"control": control, "system": system, "electrons": electrons}
    return {name: {**values, **_given(oracle, name)} for name, values in ours.items()}


def _given(oracle: EspressoOracle, namelist: str) -> dict[str, Value]:
    """Return the campaign's keys of a namelist, in small letters as ours: to Fortran they are the same."""
    found: Mapping[str, Value] = {str(name): values for name, values in oracle.namelists.items()}.get(namelist, {})
    return {key.lower(): value for key, value in found.items()}


def _occupations(
    atoms: Atoms, oracle: EspressoOracle, pseudopotentials: Mapping[str, Pseudopotential]
) -> dict[str, Value]:
    if oracle.smearing != "none":
        width = oracle.smearing_width_ev / units.Ry
        return {"occupations": "smearing", "smearing": oracle.smearing, "degauss": width}
    given = _given(oracle, "system")
    electrons = sum(pseudopotentials[symbol].z_valence for symbol in atoms.get_chemical_symbols())
    electrons += abs(float(given.get("tot_magnetization", 0.0))) - float(given.get("tot_charge", 0.0))
    bands = math.ceil(electrons / 2 - 1e-6) * (2 if given.get("noncolin") else 1) + _EMPTY_BANDS
    return {"occupations": "fixed", "nbnd": bands}


def _spin(oracle: EspressoOracle, pseudopotentials: Mapping[str, Pseudopotential]) -> dict[str, Value]:
    """Return the keys of collinear spin; a structure without magnetic elements needs none."""
    moments = {e: oracle.starting_moments_mub.get(e, 0.0) / p.z_valence for e, p in pseudopotentials.items()}
    if not any(moments.values()):
        return {}
    started = {f"starting_magnetization({k})": min(1.0, max(-1.0, m)) for k, m in enumerate(moments.values(), 1)}
    return {"nspin": 2, **started}
