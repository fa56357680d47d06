"""Which frames are audited: drawn at random from the trajectories, spread over stages, temperatures and walkers.

A frame counts as long as the part of the trajectory that it is from is the newest, and it is not trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mlip_fw.campaign.dataset import Dataset, label_name
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.summary import md_results
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.md.script import DUMP
from mlip_fw.io.files import read_model, write_json
from mlip_fw.io.lammps import dump_steps, read_dumped_step
from mlip_fw.io.structures import write_frames
from mlip_fw.models.accuracy import AuditFrame, AuditFrames
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.md import MDOutcome, MDResult
from mlip_fw.validation.holdout import APART_FS, part_to_label, structure_file, target_temperature_k

Key = tuple[int, int, int]
"""Walker, cycle and step of a frame."""


@dataclass(frozen=True)
class AuditPlace:
    """A frame of a trajectory that may be audited."""

    walker: int
    cycle: int
    stage: int
    step: int
    temperature_k: float | None
    """Target; None: the stage has none."""
    generation: int
    is_apart: bool
    """Whether it is at least 100 fs from every frame at which MD halted, which are labelled."""
    is_changed: bool = False
    """Whether its run ended with broken molecules or another coordination than at the start."""

    @property
    def key(self) -> Key:
        """Walker, cycle and step."""
        return self.walker, self.cycle, self.step


@dataclass(frozen=True)
class Stratum:
    """A part of the MD of which at least one frame is audited."""

    weight: float
    """Share of all MD steps."""
    places: list[AuditPlace]


def last_pass(results: Iterable[MDResult], campaign: Campaign) -> list[MDResult]:
    """Return the runs of each walker and stage since that stage was begun last; runs that crashed are left out."""
    found: dict[tuple[int, int], list[MDResult]] = {}
    for result in sorted(results, key=lambda one: (one.walker, one.cycle)):
        if result.walker >= campaign.md.walkers:
            continue
        begun = found.setdefault((result.walker, result.stage), [])
        if result.first_step == campaign.md.first_step(result.stage):
            begun.clear()
        if result.outcome is not MDOutcome.CRASHED:
            begun.append(result)
    return [result for key in sorted(found) for result in found[key]]


def places_in(result: MDResult, directory: CampaignDirectory, campaign: Campaign) -> list[AuditPlace]:
    """Return the frames of one run; those of its first step and of its halt belong to labels."""
    dump = directory.cycle(result.walker, result.cycle) / DUMP
    steps = dump_steps(dump) if dump.is_file() else []
    last = result.step if result.outcome is MDOutcome.HALTED else result.step + 1
    apart = int(np.ceil(APART_FS / campaign.md.timestep_fs))
    starts_after_halt = result.first_step > campaign.md.first_step(result.stage)
    halts = [result.step] if result.outcome is MDOutcome.HALTED else []
    halts += [result.first_step] if starts_after_halt else []
    return [
        AuditPlace(
            walker=result.walker,
            cycle=result.cycle,
            stage=result.stage,
            step=step,
            temperature_k=target_temperature_k(campaign, result, step),
            generation=result.generation,
            is_apart=all(abs(step - halt) >= apart for halt in halts),
            is_changed=bool(result.chemistry),
        )
        for step in dict.fromkeys(steps)
        if result.first_step < step < last
    ]


def eligible_places(directory: CampaignDirectory, campaign: Campaign) -> list[AuditPlace]:
    """Return all frames of the last pass of each walker through each stage; of a step run twice, the later run's."""
    found: dict[tuple[int, int, int], AuditPlace] = {}
    for result in last_pass(md_results(directory), campaign):
        for place in places_in(result, directory, campaign):
            found[place.walker, place.stage, place.step] = place
    return list(found.values())


def strata_of(places: Sequence[AuditPlace], campaign: Campaign, n: int) -> list[Stratum]:
    """Divide frames into about ``n`` parts: by stage, and within a stage by temperature.

    Each stage has one part at least, whatever its length; its parts hold equally many frames of all walkers. If the
    chemistry changed in some runs of a stage but not in others, those are parts of their own that come first. Each part
    counts by its share of the frames, so that the estimate of the error is not biased by this.
    """
    stages, found = campaign.md.stages, []
    total = sum(stage.n_steps for stage in stages)
    for index, stage in enumerate(stages):
        mine = [place for place in places if place.stage == index]
        wanted = min(len(mine), max(1, round(n * stage.n_steps / total), n if len(stages) == 1 else 0))
        for group in ([p for p in mine if p.is_changed], [p for p in mine if not p.is_changed]):
            share = len(group) / len(mine) if mine else 0.0
            n_parts = min(len(group), max(1, round(wanted * share)))
            found += _parts(group, n_parts, share * stage.n_steps / total)
    return sorted(found, key=lambda stratum: not stratum.places[0].is_changed)


def _parts(places: list[AuditPlace], n_parts: int, weight: float) -> list[Stratum]:
    """Divide frames by temperature into parts of equal weight."""
    places = sorted(places, key=lambda place: (place.temperature_k or 0.0, place.step, place.walker))
    split = np.array_split(np.arange(len(places)), n_parts) if n_parts else []
    return [Stratum(weight / n_parts, [places[k] for k in part]) for part in split]


def read_drawn(directory: CampaignDirectory) -> list[AuditFrame]:
    """Return all frames that were drawn so far."""
    found = read_model(directory.audit_frames, AuditFrames)
    return [] if found is None else found.frames


def draw_place(places: Sequence[AuditPlace], drawn: Sequence[AuditFrame], seed: int) -> AuditPlace | None:
    """Draw one of ``places``: apart from halts and of the walker with the fewest frames, if possible; None of none."""
    taken = {(frame.walker, frame.cycle, frame.step) for frame in drawn}
    left = [place for place in places if place.key not in taken]
    left = [place for place in left if place.is_apart] or left
    counts = Counter(frame.walker for frame in drawn)
    min_count = min((counts[place.walker] for place in left), default=0)
    left = [place for place in left if counts[place.walker] == min_count]
    return left[int(np.random.default_rng(seed).integers(len(left)))] if left else None


def store_frame(
    place: AuditPlace,
    seed: int,
    directory: CampaignDirectory,
    campaign: Campaign,
    potential: AcePotential,
    level: dict[str, object],
) -> AuditFrame | None:
    """Write a frame, or the part of it that is small enough, to be labelled; None if there is no such part.

    Of a frame that is too large the surroundings of a random atom are taken. The caller holds the lock of the file.
    """
    dumped = read_dumped_step(directory.cycle(place.walker, place.cycle) / DUMP, place.step)
    if dumped is None:
        return None
    whole = Atoms(dumped.numbers, dumped.positions, cell=dumped.cell, pbc=True)
    center = int(np.random.default_rng(seed).integers(len(whole)))
    atoms = part_to_label(whole, center, place.temperature_k, potential, campaign)
    if atoms is None:
        return None
    name = label_name(atoms, level)
    drawn = read_drawn(directory)
    if Dataset(directory.root).has(name) or any(frame.hash == name for frame in drawn):
        return None
    write_frames(structure_file(directory.audit, name), [atoms])
    frame = AuditFrame(
        hash=name,
        walker=place.walker,
        cycle=place.cycle,
        stage=place.stage,
        step=place.step,
        temperature_k=place.temperature_k,
        generation=place.generation,
        seed=seed,
    )
    write_json(directory.audit_frames, AuditFrames(frames=[*drawn, frame]))
    return frame


def frames_by_stratum(
    strata: Sequence[Stratum], drawn: Sequence[AuditFrame], trained: Collection[str]
) -> list[list[AuditFrame]]:
    """Return the frames that audit each stratum: drawn from it and not trained on."""
    fresh = {(frame.walker, frame.cycle, frame.step): frame for frame in drawn if frame.hash not in trained}
    return [[fresh[place.key] for place in stratum.places if place.key in fresh] for stratum in strata]
