"""The tables of `benchmarks/materials.py`: what campaigns came to, and what has changed since earlier ones."""

from __future__ import annotations

import statistics
from typing import Any

Found = dict[str, Any]
TARGET_SHARE = 0.1
"""Share of the forces that the default of ``accuracy`` allows as their error."""
HONEST = 1.3
"""A true error above this multiple of the stated one was not known."""
_WORSE = 1.05


def table(found: list[Found]) -> str:
    """Return the Markdown table: one line for each campaign, errors in meV/Å and meV/atom."""
    heads = ["material", "set", "seed", "outcome", "labels", "halts", "basis", "CV", "audit", "true", "of the forces"]
    heads += ["energy", "coverage of 68 and 95 %", "frames", "fault", "s"]
    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    for one in found:
        summary, true, error = one["summary"], one["true"], one["error"] or {}
        outcome = summary["outcome"] if summary["reason"] is None else f"{summary['outcome']}: {summary['reason']}"
        cells = [one["material"], one["used_to"], one["seed"], outcome, summary["labels"], summary["halts"]]
        cells += [_basis(one["basis"]), _milli(error.get("cv_force_rmse_ev_a"))]
        cells += [_milli(error.get("audit_force_rmse_ev_a")), _milli(true.get("force_rmse_ev_a"))]
        cells += [
            _percent(true.get("force_share")),
            _milli(true.get("energy_rmse_ev_atom")),
            _coverage(one["coverage"]),
        ]
        lost = f", {one['frames_lost']} lost" if one["frames_lost"] else ""
        cells += [f"{true['frames']} of {one['tested_on']}{lost}", ", ".join(faults(one))]
        cells += [round(summary["seconds"]["total"])]
        lines.append(" | ".join(map(str, cells)))
    return "\n".join(f"| {line} |" for line in lines)


def faults(one: Found) -> list[str]:
    """Return what is wrong with a campaign that says CONVERGED, and whether molecules were lost."""
    wrong = []
    if one["changed_molecules"]:
        wrong.append(f"{one['changed_molecules']} molecules changed")
    if one["summary"]["outcome"] != "CONVERGED":
        return wrong
    stated, true = (one["error"] or {}).get("audit_force_rmse_ev_a"), one["true"].get("force_rmse_ev_a")
    if true is None or one["frames_lost"]:
        wrong.append("MD runs away")
    if true is not None and one["true"]["force_share"] > TARGET_SHARE:
        wrong.append("above the target")
    if true is not None and stated is not None and true > HONEST * stated:
        wrong.append("above the stated error")
    return wrong


def comparison(before: list[Found], after: list[Found]) -> str:
    """Return a Markdown table of means over seeds, for the materials that both have.

    Errors after are also given on the frames of before, where both were tested on MD by their own potential.
    """
    heads = ["material", "set", "labels", "halts", "true error, meV/Å", "on the frames of before", "of the forces", ""]
    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    for name in dict.fromkeys(one["material"] for one in after):
        old, new = ([one for one in found if one["material"] == name] for found in (before, after))
        if not old:
            continue
        labels, halts = ([(_mean(s, "summary", key)) for s in (old, new)] for key in ("labels", "halts"))
        errors = [_mean(some, "true", "force_rmse_ev_a") for some in (old, new)]
        same = _mean(new, "true_on_given_frames", "force_rmse_ev_a")
        shares = [_mean(some, "true", "force_share") for some in (old, new)]
        compared = (errors[0], errors[1] if same is None else same)
        cells = [name, new[0]["used_to"], _change(labels), _change(halts), _change(errors, 1000), _milli(same)]
        cells += [_change(shares, 100, " %"), _verdict(compared, labels)]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def _verdict(errors: tuple[float | None, float | None], labels: list[float | None]) -> str:
    old, new = errors
    if old is None or new is None:
        return "not comparable"
    fewer = labels[0] is not None and labels[1] is not None and labels[1] < labels[0]
    return f"{new / old:.2f} times" + (
        " WORSE" + (", with fewer labels" if fewer else "") if new > _WORSE * old else ""
    )


def _mean(found: list[Found], part: str, key: str) -> float | None:
    values = [one[part][key] for one in found if (one.get(part) or {}).get(key) is not None]
    return statistics.mean(values) if values else None


def _change(values: list[float | None], times: float = 1.0, unit: str = "") -> str:
    return " → ".join("–" if value is None else f"{times * value:.1f}{unit}" for value in values)


def _basis(basis: Found | None) -> str:
    return "–" if basis is None else f"{basis['radial']}, {basis['cutoff_a']} Å, {basis['functions_per_element']}"


def _milli(value: float | None) -> str:
    return "–" if value is None else f"{1000 * value:.1f}"


def _coverage(found: Found | None) -> str:
    return "–" if found is None else f"{100 * found['within_68']:.0f}, {100 * found['within_95']:.0f} %"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
