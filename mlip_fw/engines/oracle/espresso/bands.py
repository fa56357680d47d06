"""What the eigenvalues say against a label that pw.x is content with."""

from __future__ import annotations

import re

from mlip_fw.engines.oracle.espresso.trouble import Found, Trouble

_WIDTHS_ABOVE = {"fermi-dirac": 5.0}
_DEFAULT_WIDTHS_ABOVE = 1.0
"""The highest band must lie this many smearing widths above the Fermi energy (Si8 at 1.7: 4e-6 eV from the limit)."""
_BLOCK = re.compile(r"bands \(ev\):\s*\n\s*\n((?:\s*-?\d+\.\d+.*\n)+)")


def wrong_bands(out: str, smearing: str | None, width_ev: float) -> Found | None:
    """Return what is wrong with the bands of a converged calculation, or None.

    Parameters
    ----------
    out
        Standard output of pw.x.
    smearing
        Its ``smearing``; None with fixed occupations.
    width_ev
        Width of the smearing, eV.
    """
    last = out[out.rfind("End of self-consistent calculation") :]
    last_step = out[out.rfind("iteration #") :]
    if match := re.search(r"c_bands:\s+(\d+) eigenvalues not converged", last_step):
        return Found(Trouble.DIAGONALISATION, f"{match.group(1)} eigenvalues not converged in the last SCF step")
    if smearing is None:
        return _overlap(last)
    return _cut_off(last, _WIDTHS_ABOVE.get(smearing, _DEFAULT_WIDTHS_ABOVE) * width_ev)


def _overlap(out: str) -> Found | None:
    levels = re.search(r"highest occupied, lowest unoccupied level \(ev\):\s+(-?\d+\.\d+)\s*(-?\d+\.\d+)", out)
    if levels and float(levels.group(2)) < float(levels.group(1)):
        said = f"occupied up to {levels.group(1)} eV, empty from {levels.group(2)} eV: a metal"
        return Found(Trouble.NEEDS_SMEARING, said)
    return None


def _cut_off(out: str, margin_ev: float) -> Found | None:
    fermi = re.search(r"Fermi energ(?:y is|ies are)\s+(-?\d+\.\d+)(?:\s+(-?\d+\.\d+))?", out)
    tops = [float(re.findall(r"-?\d+\.\d{4}", block)[-1]) for block in _BLOCK.findall(out)]
    if not fermi or not tops:
        return None
    highest = max(float(x) for x in fermi.groups() if x)
    if min(tops) < highest + margin_ev:
        return Found(
            Trouble.TOO_FEW_BANDS,
            f"the highest band reaches down to {min(tops):.2f} eV, the Fermi energy is {highest:.2f} eV",
        )
    return None
