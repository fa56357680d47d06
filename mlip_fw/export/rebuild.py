"""Retraining of an exported potential from its dataset and recipe, to check that it is reproducible."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.errors import DirectoryError
from mlip_fw.export.card import CARD, HASHED, read_card, sha256
from mlip_fw.export.history import split_frames
from mlip_fw.export.place import DATASET, INITIAL
from mlip_fw.io.campaign_file import read_stored_campaign
from mlip_fw.io.files import write_text
from mlip_fw.io.pace import read_basis
from mlip_fw.models.campaign import Campaign
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
        If ``folder`` is no export or was changed, pacemaker made it, or ``target`` is not empty.
    """
    card = read_card(folder)
    if card.trainer != "linear":
        raise DirectoryError(
            f"generation {card.generation} in {folder} is by {card.trainer}, whose results depend on the machine; only "
            "linear generations can be made again to the bit: export one with --generation"
        )
    for name in HASHED:
        _require_unchanged(folder / name, card.sha256.get(name))
    campaign = read_stored_campaign(folder / "campaign.yaml")
    frames = list(_frames(folder, card, campaign))
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DirectoryError(f"{target} is {'not empty' if target.is_dir() else 'a file'}; give another --output")
    return _trained(folder, target, card, campaign, frames)


def _trained(
    folder: Path, target: Path, card: ModelCard, campaign: Campaign, frames: list[tuple[str, str]]
) -> Iterator[int]:
    generations, dataset = Generations(target), Dataset(target)
    if card.recipe.imported:
        shutil.copytree(folder / INITIAL, generations.folder(0))
    rest = iter(frames)
    for step in card.recipe.steps:
        for name, text in islice(rest, len(step)):
            write_text(dataset.path(name), text)
        record = train_generation(generations, dataset, campaign)
        assert record is not None
        yield record.generation


def _require_unchanged(path: Path, digest: str | None) -> None:
    if not path.is_file():
        raise DirectoryError(f"{path} is missing; export the campaign again")
    try:
        found = sha256(path)
    except OSError as error:
        raise DirectoryError(f"can't read {path}: {error.strerror}; fix its permissions") from error
    if found != digest:
        what = "that the potential was trained on" if path.name == DATASET else "that was exported"
        raise DirectoryError(
            f"{path} is not the one {what}: its sha256 is not that of {CARD}; export the campaign again"
        )


def _frames(folder: Path, card: ModelCard, campaign: Campaign) -> Iterator[tuple[str, str]]:
    """Give name and text of each label, if the card's recipe is one for this dataset and campaign."""
    names = [name for step in card.recipe.steps for name in step]
    try:
        texts = list(split_frames((folder / DATASET).read_text()))
    except (ValueError, IndexError):
        texts = []
    fits = (
        len(texts) == len(names) == len(set(names))
        and all(card.recipe.steps)
        and set(card.elements) == set(campaign.elements)
    )
    begins = (folder / INITIAL).is_dir() if card.recipe.imported else bool(names)
    if not (fits and begins):
        raise DirectoryError(
            f"the recipe of {folder / CARD} does not fit the files beside it: {len(names)} labels of "
            f"{', '.join(card.elements)}, {len(texts)} in {DATASET}, campaign.yaml for {', '.join(campaign.elements)}"
            f"{f', starting from {INITIAL}/' if card.recipe.imported else ''}; export the campaign again"
        )
    yield from zip(names, texts, strict=True)


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
