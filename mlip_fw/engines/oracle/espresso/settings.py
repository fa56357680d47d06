"""From the oracle's settings to pw.x's namelists, and to the level of theory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ase import Atoms, units

from mlip_fw.engines.oracle.espresso.pseudo import Pseudopotential
from mlip_fw.errors import CampaignError
from mlip_fw.io.espresso import Namelists, Value
from mlip_fw.models.oracle import EspressoOracle

PREFIX, OUTDIR, PSEUDO_DIR = "label", "tmp", "pseudo"
_OURS = {
    "control": "calculation restart_mode prefix outdir wfcdir pseudo_dir tprnfor tstress max_seconds nstep disk_io "
    "verbosity",
    "system": "ibrav nat ntyp celldm a b c cosab cosac cosbc ecutwfc ecutrho occupations smearing degauss nspin "
    "starting_magnetization",
    "electrons": "conv_thr electron_maxstep mixing_beta scf_must_converge startingpot",
}
_INDIFFERENT = {
    "control": {"title", "iprint", "wf_collect", "lkpoint_dir"},
    "electrons": {"mixing_mode", "mixing_ndim", "diagonalization", "startingwfc", "diago_thr_init"},
}
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
            if key.lower().partition("(")[0].strip() in _OURS[namelist].split():
                raise CampaignError(
                    f"oracle.namelists.{namelist}.{key} is written by mlip_fw; use the oracle's own keys instead"
                )
    spin_polarised = any(oracle.starting_moments_mub.values())
    if oracle.smearing == "none" and spin_polarised and "tot_magnetization" not in oracle.namelists.get("system", {}):
        raise CampaignError(
            "oracle: starting_moments_mub with smearing none needs a smearing, or namelists.system.tot_magnetization "
            "where all labels have the same atoms"
        )


def level_of_theory(oracle: EspressoOracle, pseudopotentials: Mapping[str, Pseudopotential]) -> dict[str, Any]:
    """Return what decides a label's value, as plain JSON values that name no place of this machine."""
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
        namelist: {key: value for key, value in sorted(given.items()) if not _is_indifferent(namelist, key)}
        for namelist, given in sorted(oracle.namelists.items())
    }
    values["namelists"] = {namelist: given for namelist, given in kept.items() if given}
    values["pseudopotentials"] = {e: {"file": p.path.name, "sha256": p.sha256} for e, p in pseudopotentials.items()}
    return values


def _is_indifferent(namelist: str, key: str) -> bool:
    name = key.lower()
    return name in _INDIFFERENT.get(namelist, set()) or (namelist == "electrons" and name.startswith("diago_"))


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
    return {name: {**values, **oracle.namelists.get(name, {})} for name, values in ours.items()}  # type: ignore[call-overload]


def _occupations(
    atoms: Atoms, oracle: EspressoOracle, pseudopotentials: Mapping[str, Pseudopotential]
) -> dict[str, Value]:
    if oracle.smearing != "none":
        width = oracle.smearing_width_ev / units.Ry
        return {"occupations": "smearing", "smearing": oracle.smearing, "degauss": width}
    given = oracle.namelists.get("system", {})
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
