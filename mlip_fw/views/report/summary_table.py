"""The summary of a campaign as a table for people."""

from __future__ import annotations

from mlip_fw.models.accuracy import error_in_words
from mlip_fw.models.summary import BasisSummary, CampaignSummary


def summary_rows(summary: CampaignSummary) -> list[tuple[str, str]]:
    """Return the summary as (name, value) pairs with units."""
    refused = summary.generations_refused
    seconds, trained = summary.seconds, summary.labels > 0 and summary.generations > 0
    share = [f"{name} {value:.1f}" for name, value in seconds.model_dump().items() if name != "total" and value >= 0.05]
    return [
        ("outcome", summary.outcome + (f" ({summary.reason})" if summary.reason else "")),
        *([("why", summary.hint)] if summary.hint else []),
        ("force error", error_in_words(summary.error)),
        ("MD steps", f"{summary.md_steps}"),
        ("halts", f"{summary.halts}"),
        ("labels", f"{summary.labels} ({summary.atoms_labelled} atoms)" + _audited(summary)),
        ("failed labels", f"{summary.labels_failed}"),
        ("generations", f"{summary.generations}" + (f" ({refused} refused for MD)" if refused else "")),
        *([("basis", _basis_in_words(summary.basis))] if summary.basis is not None else []),
        *_untrained(summary),
        ("force RMSE (training set)", f"{1000 * summary.dataset_force_rmse_ev_a:.2f} meV/Å" if trained else "-"),
        (
            "energy RMSE (training set)",
            f"{1000 * summary.dataset_energy_rmse_ev_atom:.3f} meV/atom" if trained else "-",
        ),
        ("wall time", f"{seconds.total:.1f} s" + (f": {', '.join(share)}" if share else "")),
    ]


def _audited(summary: CampaignSummary) -> str:
    return f", and {summary.labels_audit} for the audit" if summary.labels_audit else ""


def _basis_in_words(basis: BasisSummary) -> str:
    return f"{basis.radial}, {basis.cutoff_a:g} Å, {basis.functions_per_element} functions per element"


def _untrained(summary: CampaignSummary) -> list[tuple[str, str]]:
    """Return the errors on held-out frames, or else on the newest labels before they were trained on."""
    if summary.heldout_force_rmse_ev_a is not None and summary.heldout_energy_rmse_ev_atom is not None:
        return [
            ("force RMSE (held-out)", f"{1000 * summary.heldout_force_rmse_ev_a:.2f} meV/Å"),
            ("energy RMSE (held-out)", f"{1000 * summary.heldout_energy_rmse_ev_atom:.3f} meV/atom"),
        ]
    if summary.new_labels_force_rmse_ev_a is not None:
        return [("force RMSE (new labels)", f"{1000 * summary.new_labels_force_rmse_ev_a:.2f} meV/Å before training")]
    return []
