"""pacemaker's ``input.yaml`` from the settings of the campaign, and the limit on the optimiser's steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from mlip_fw.engines.train.pacemaker.template import Template
from mlip_fw.io.files import atomic_file
from mlip_fw.models.campaign import Campaign

INPUT, FRAME, BEGIN, TARGET = "input.yaml", "labels.pckl.gzip", "begin.yaml", "target.yaml"
_ITERATIONS = 200
_PENALTY = 1e-8
_BATCH = 32
_SHOWN_EVERY = 20
_SLOWEST, _PATIENCE = 5e-4, 20
"""The optimiser stops when none of its last 20 steps lowered the loss by 0.05 %."""


def iterations_of(campaign: Campaign, template: Template) -> int:
    """Return the most steps of the optimiser for one generation."""
    return int(campaign.potential.pacemaker.iterations or template.fit.get("maxiter") or _ITERATIONS)


def settings_of(campaign: Campaign, template: Template, kappa: float) -> dict[str, dict[str, Any]]:
    """Return the sections ``fit`` and ``backend`` of the first attempt; a repair changes its copy of them.

    Parameters
    ----------
    kappa
        Share of the forces in the loss; a template's own is kept if it is a number.
    """
    loss = {"L1_coeffs": _PENALTY, "L2_coeffs": _PENALTY, "kappa": kappa, **template.fit.get("loss", {})}
    if loss["kappa"] == "auto":
        loss["kappa"] = kappa
    fit = {
        "optimizer": "BFGS",
        "min_relative_train_loss_per_iter": _SLOWEST,
        "early_stopping_patience": _PATIENCE,
        **template.fit,
        "loss": loss,
        "maxiter": iterations_of(campaign, template),
    }
    backend = {"batch_size": _BATCH, "display_step": _SHOWN_EVERY, **template.backend, "evaluator": "tensorpot"}
    return {"fit": fit, "backend": backend}


def write_input(
    folder: Path, campaign: Campaign, settings: dict[str, dict[str, Any]], *, grows: bool, iterations: int
) -> tuple[str, ...]:
    """Write pacemaker's input for one attempt and return its arguments.

    A basis that grows goes from ``-ip`` to the target; with ``-ip`` and nothing to add pacemaker would fit
    nothing, so a basis that stays is given as the potential itself. Energies come without those of free atoms:
    the zeros keep pacemaker from fitting its own.
    """
    fit = dict(settings["fit"])
    if not grows:
        fit.pop("ladder_step", None)
    data = {
        "seed": campaign.seed,
        "potential": {"filename": TARGET} if grows else BEGIN,
        "data": {"filename": FRAME, "reference_energy": dict.fromkeys(campaign.elements, 0.0)},
        "fit": {**fit, "maxiter": iterations},
        "backend": settings["backend"],
    }
    with atomic_file(folder / INPUT) as temporary:
        YAML(typ="safe", pure=True).dump(data, temporary)
    return ("--no-predict", *(("-ip", BEGIN) if grows else ()), INPUT)
