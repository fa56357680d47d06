"""Export of one generation to a self-contained folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from ase import Atoms
from jinja2 import Environment

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.train.energy_offsets import on_common_zero
from mlip_fw.engines.train.pacemaker.template import read_template, write_template
from mlip_fw.errors import DirectoryError
from mlip_fw.export.card import CARD, model_card, sha256
from mlip_fw.export.citations import citations
from mlip_fw.export.frame import write_pacemaker_frame
from mlip_fw.export.history import lineage
from mlip_fw.export.place import DATASET, INITIAL, room_in
from mlip_fw.io.campaign_file import write_campaign
from mlip_fw.io.files import write_json, write_text
from mlip_fw.io.labelled.reading import read_raw
from mlip_fw.io.lammps import write_data
from mlip_fw.io.pace import read_active_set, read_basis
from mlip_fw.io.structures import mask_of, read_any, write_frames
from mlip_fw.models.accuracy import error_in_words
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.card import ModelCard
from mlip_fw.models.training import TrainingRecord
from mlip_fw.models.validation import ValidationReport
from mlip_fw.plugins import TRAINERS
from mlip_fw.validation.diagnosis import last_report

_POTENTIAL = ("potential.yaml", "potential.asi", "potential.yace", "training.json")
_EXAMPLES = ("in.lammps", "in.gamma.lammps", "use_in_ase.py", "README.md")
_PLAIN_TEMPERATURE_K = 300.0


def export_campaign(directory: CampaignDirectory, target: Path, generation: int | None = None) -> ModelCard:
    """Write a generation with dataset, examples, model card and all that is needed to make it again.

    Parameters
    ----------
    target
        The folder to write; what an earlier export wrote there is replaced, what else is there stays.
    generation
        Its number; by default the newest that is fit for MD.

    Raises
    ------
    DirectoryError
        If there is no such generation, a label of it is gone, or ``target`` holds something else.
    """
    generations = Generations(directory.root)
    records = lineage(generations, _chosen(generations, generation, directory))
    _require_whole(generations.folder(records[-1].generation), records[-1].trainer)
    with room_in(target) as room:
        return _write(directory, generations, records, room, target.resolve().name)


def _write(
    directory: CampaignDirectory, generations: Generations, records: list[TrainingRecord], target: Path, name: str
) -> ModelCard:
    """Write all files of an export that will be called ``name``."""
    campaign, source = directory.read_campaign(), generations.folder(records[-1].generation)
    for file in _files(records[-1].trainer):
        shutil.copyfile(source / file, target / file)
    frames = _write_dataset(Dataset(directory.root), records, target)
    offset = next((r.imported_offset_ev for r in reversed(records) if r.trainer == "linear"), None)
    write_pacemaker_frame(target / "dataset.pckl.gzip", on_common_zero(frames, offset), records[-1].reference_energy_ev)
    if not records[0].labels:
        shutil.copytree(generations.folder(records[0].generation), target / INITIAL)
    _write_campaign(directory, campaign, target)
    card = model_card(directory, records, frames, target, float(read_basis(target / "potential.yaml").cutoffmax))
    write_json(target / CARD, card)
    report = _copy_validation(directory, card.generation, target)
    _write_examples(campaign, card, report, frames, target, name)
    return card


def _files(trainer: str) -> tuple[str, ...]:
    return (*_POTENTIAL, *(() if trainer == "linear" else TRAINERS.get(trainer).files))


def _require_whole(source: Path, trainer: str) -> None:
    """Refuse a generation of which something is missing or damaged, before anything is written."""
    if gone := [name for name in _files(trainer) if not (source / name).is_file()]:
        raise DirectoryError(f"{source} has no {', '.join(gone)}; restore it")
    read_active_set(
        source / "potential.asi", [str(name) for name in read_basis(source / "potential.yaml").elements_name]
    )


def _chosen(generations: Generations, wanted: int | None, directory: CampaignDirectory) -> int:
    known, fit = generations.numbers(), generations.fit_for_md()
    if fit is None:
        raise DirectoryError(f"{directory.root} has no potential yet; `mlip-fw run` makes one")
    if wanted is None:
        return fit
    if wanted not in known:
        raise DirectoryError(f"{directory.root} has no generation {wanted}; it has {known[0]} to {known[-1]}")
    return wanted


def _write_dataset(dataset: Dataset, records: list[TrainingRecord], target: Path) -> list[Atoms]:
    """Write the labels' own files one after the other, to the byte, in the order in which they were learnt."""
    names = [name for record in records for name in record.new_labels]
    if gone := [name for name in names if not dataset.has(name)]:
        raise DirectoryError(f"labels that the potential was trained on are gone: {', '.join(gone[:5])}; restore them")
    frames = [dataset.read(name) for name in names]
    write_text(target / DATASET, "".join(dataset.path(name).read_text() for name in names))
    return frames


def _write_campaign(directory: CampaignDirectory, campaign: Campaign, target: Path) -> None:
    """Write the campaign with the files that it names beside it: paths of this machine are nobody else's."""
    data = campaign.model_dump(mode="json")
    structure, oracle = data["structure"], data["oracle"]
    if structure["file"]:
        structure["file"] = _beside(structure["file"], target)
    if structure["files"]:
        structure["files"] = [_beside(name, target) for name in structure["files"]]
    if initial := data["potential"]["initial"]:
        data["potential"]["initial"] = _beside(initial, target, read_basis)
        _beside(str(Path(initial).with_suffix(".asi")), target, _require_active_set)
    if template := data["potential"]["pacemaker"]["template"]:
        data["potential"]["pacemaker"]["template"] = _template_beside(template, target)
    if dataset := campaign.bootstrap.dataset_settings:
        beside = _beside(dataset.file, target, _require_labels)
        data["bootstrap"]["dataset"] = dataset.model_copy(update={"file": beside}).plain()
    if "pseudo_dir" in oracle:
        oracle["pseudo_dir"] = None
    write_campaign(target / "campaign.yaml", Campaign.model_validate(data))
    if directory.level_file.is_file():
        shutil.copyfile(directory.level_file, target / directory.level_file.name)


def _require_structure(path: Path) -> None:
    read_any(path, "a file that the campaign names")


def _require_labels(path: Path) -> None:
    read_raw(path, "a file that the campaign names")


def _require_active_set(path: Path) -> None:
    read_active_set(path, [])


def _beside(name: str, target: Path, require: Callable[[Path], object] = _require_structure) -> str:
    """Copy a file to ``inputs/`` and return its path from ``target``; files of one name don't replace each other.

    Only structures and potentials are copied: a campaign from somebody else must not make us publish other files.
    """
    source, folder = Path(name), target / "inputs"
    copy = folder / source.name
    if not source.is_file():
        return f"{folder.name}/{copy.name}"
    require(source)
    if copy.is_file() and sha256(copy) != sha256(source):
        copy = folder / f"{sha256(source)[:8]}-{source.name}"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(source, copy)
    return f"{folder.name}/{copy.name}"


def _template_beside(name: str, target: Path) -> str:
    """Write what mlip_fw takes of a template for pacemaker, and nothing else of it, to ``inputs/``."""
    copy = target / "inputs" / "pacemaker-template.yaml"
    if Path(name).is_file():
        write_template(copy, read_template(name))
    return f"{copy.parent.name}/{copy.name}"


def _copy_validation(directory: CampaignDirectory, generation: int, target: Path) -> ValidationReport | None:
    """Copy report and figures of a validation, if there is one of this generation."""
    report = last_report(directory)
    if report is None or report.generation != generation:
        return None
    shutil.copyfile(directory.validation_report, target / directory.validation_report.name)
    for figure in directory.validation.glob("*.png"):
        shutil.copyfile(figure, target / f"validation-{figure.name}")
    return report


def _write_examples(
    campaign: Campaign,
    card: ModelCard,
    report: ValidationReport | None,
    frames: list[Atoms],
    target: Path,
    name: str,
) -> None:
    if frames:
        whole = [atoms for atoms in frames if mask_of(atoms).all()] or frames
        example = Atoms(whole[-1].numbers, whole[-1].positions, cell=whole[-1].cell, pbc=True)
        write_frames(target / "structure.extxyz", [example])
        write_data(target / "structure.data", example, tuple(card.elements))
    write_text(target / "citations.bib", citations(campaign, card.trainer))
    halts = campaign.uncertainty.named_thresholds()
    facts = {
        "card": card,
        "folder": name,
        "theory": ", ".join(f"{key} {_short(value)}" for key, value in card.level_of_theory.items()) or "not recorded",
        "error": error_in_words(card.error),
        "thresholds": ", ".join(f"{name} = {halt:g}" for name, halt in halts.items()),
        "interval": campaign.uncertainty.check_interval,
        "gamma_halt": campaign.uncertainty.lowest_gamma_halt,
        "timestep_fs": campaign.md.timestep_fs,
        "temperature_k": card.domain.temperature_k[0] if card.domain.temperature_k else _PLAIN_TEMPERATURE_K,
        "report": report,
    }
    environment = Environment(autoescape=False, keep_trailing_newline=True, trim_blocks=False)
    for example in _EXAMPLES:
        template = (resources.files("mlip_fw.export") / "templates" / example).read_text()
        write_text(target / example, environment.from_string(template).render(facts))


def _short(value: object) -> str:
    """Return a value of the level of theory for a table: the hash of a file is told by its first digits."""
    if isinstance(value, dict):
        return "; ".join(f"{key} {_short(inner)}" for key, inner in value.items()) or "none"
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text.replace("|", "/")
