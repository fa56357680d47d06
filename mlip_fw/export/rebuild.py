"""An exported potential made once more, to see that dataset and recipe are all it takes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlip_fw.dataset import Dataset
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.errors import DirectoryError
from mlip_fw.export.card import sha256
from mlip_fw.export.folder import CARD, DATASET, INITIAL
from mlip_fw.export.history import split_frames
from mlip_fw.generations import Generations
from mlip_fw.io.campaign_file import read_campaign
from mlip_fw.io.files import read_model, write_text
from mlip_fw.io.pace import read_basis
from mlip_fw.models.card import ModelCard


@dataclass(frozen=True)
class Comparison:
    """A rebuilt potential beside the exported one."""

    potential: Path
    """The rebuilt one."""
    largest_difference: float
    """Of a coefficient, in units of the largest coefficient; exactly 0 if all bits are the same."""
    same_active_set: bool

    @property
    def is_identical(self) -> bool:
        """Whether coefficients and active set are the same, bit for bit."""
        return self.largest_difference == 0.0 and self.same_active_set


def rebuild(folder: Path, target: Path) -> Iterator[int]:
    """Train all generations of an exported potential again in ``target``, and yield the number of each.

    Raises
    ------
    DirectoryError
        If ``folder`` is no export or its dataset was changed, pacemaker made it, or ``target`` is not empty.
    """
    card, campaign = read_card(folder), read_campaign(folder / "campaign.yaml")
    if card.trainer != "linear":
        raise DirectoryError(
            f"generation {card.generation} in {folder} is by pacemaker, whose results depend on the machine; only "
            "linear generations can be made again to the bit: export one with --generation"
        )
    if sha256(folder / DATASET) != card.sha256[DATASET]:
        raise DirectoryError(
            f"{folder / DATASET} is not the one that the potential was trained on: its sha256 is not that of {CARD}; "
            "export the campaign again"
        )
    if target.is_dir() and any(target.iterdir()):
        raise DirectoryError(f"{target} is not empty; give another --output")
    generations, dataset = Generations(target), Dataset(target)
    if card.recipe.imported:
        shutil.copytree(folder / INITIAL, generations.folder(0))
    frames = split_frames((folder / DATASET).read_text())
    for step in card.recipe.steps:
        for name in step:
            write_text(dataset.path(name), next(frames))
        record = train_generation(generations, dataset, campaign)
        assert record is not None
        yield record.generation


def compare(folder: Path, target: Path) -> Comparison:
    """Compare the newest potential in ``target`` with the exported one."""
    card, generations = read_card(folder), Generations(target)
    newest = generations.newest()
    assert newest is not None
    found = generations.potential(newest)
    old, new = (np.array(read_basis(path).basis_coeffs) for path in (folder / "potential.yaml", found))
    difference = np.abs(old - new).max() / np.abs(old).max() if old.shape == new.shape else np.inf
    return Comparison(
        potential=found,
        largest_difference=float(difference),
        same_active_set=sha256(found.with_suffix(".asi")) == card.sha256["potential.asi"],
    )


def read_card(folder: Path) -> ModelCard:
    """Return the model card of an export.

    Raises
    ------
    DirectoryError
        If there is none.
    """
    card = read_model(folder / CARD, ModelCard)
    if card is None:
        raise DirectoryError(f"{folder} is no exported potential: it has no whole {CARD}; see `mlip-fw export`")
    return card
