"""Frames of the trajectories, drawn at random, that are labelled to be compared with and never trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from mlip_fw.campaign.dataset import Dataset, label_name
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.seeds import derived_seed
from mlip_fw.campaign.summary import md_results
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.md.script import DUMP, LOG
from mlip_fw.engines.sampling.generate import HaltedFrame
from mlip_fw.engines.sampling.local_cell import local_cell
from mlip_fw.errors import CampaignError
from mlip_fw.io.files import read_model, write_json
from mlip_fw.io.lammps import dump_steps, read_dumped_step, temperatures_in_log
from mlip_fw.io.structures import MASK, canonical, read_frame, write_frames
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.md import MDOutcome, MDResult
from mlip_fw.models.validation import HeldOut, HoldOut

_RECORD = "holdout.json"
APART_FS = 100.0
"""Frames that are closer to a labelled one of the same trajectory are hardly new."""


@dataclass(frozen=True)
class FramePlace:
    """A frame of a trajectory."""

    walker: int
    cycle: int
    step: int
    temperature_k: float | None
    """Target of the thermostat."""


def hold_out(
    directory: CampaignDirectory, campaign: Campaign, n_frames: int, potential: AcePotential, level: dict[str, object]
) -> list[tuple[HeldOut, Atoms]]:
    """Return the first ``n_frames`` held-out frames; more are drawn if there are not so many yet.

    Each frame is as likely as any other. Left out are frames that a walker ran beyond its halt, and those within
    100 fs of a halt, which are labelled and trained on. What was drawn once stays, whatever comes to the
    trajectories later. Of a frame that is too large to be labelled a cut-out around a random atom is taken.
    """
    folder = directory.validation
    kept = read_model(folder / _RECORD, HoldOut) or HoldOut(frames=[])
    frames = [_measured(frame, directory) for frame in kept.frames]
    if len(frames) < n_frames:
        rng = np.random.default_rng(derived_seed(campaign.seed, "validation", len(frames)))
        taken = {(f.walker, f.step) for f in frames}
        places = [place for place in eligible(directory, campaign) if (place.walker, place.step) not in taken]
        for index in rng.permutation(len(places)):
            if len(frames) == n_frames:
                break
            if (drawn := _drawn(places[index], directory, campaign, potential, level, rng)) is not None:
                frames.append(drawn)
        write_json(folder / _RECORD, HoldOut(frames=frames))
    return [(frame, read_frame(structure_file(folder, frame.hash))) for frame in frames[:n_frames]]


def eligible(directory: CampaignDirectory, campaign: Campaign) -> list[FramePlace]:
    """Return all frames that may be held out; of a step that was run twice, the later run's."""
    found: dict[tuple[int, int], FramePlace] = {}
    results = md_results(directory)
    halts = {(r.walker, r.step) for r in results if r.outcome in (MDOutcome.HALTED, MDOutcome.CRASHED)}
    apart = int(np.ceil(APART_FS / campaign.md.timestep_fs))
    for result in results:
        dump = directory.cycle(result.walker, result.cycle) / DUMP
        for step in dump_steps(dump) if dump.is_file() else []:
            near_a_halt = any(w == result.walker and abs(step - halt) < apart for w, halt in halts)
            if 0 < step <= result.step and not near_a_halt:
                place = FramePlace(result.walker, result.cycle, step, target_temperature_k(campaign, result, step))
                found[result.walker, step] = place
    return [found[key] for key in sorted(found)]


def target_temperature_k(campaign: Campaign, result: MDResult, step: int) -> float | None:
    """Return the target of the thermostat at a step of an MD run, K; None if the stage has none."""
    stage = campaign.md.stages[result.stage]
    if stage.temperature_k is None:
        return None
    first, last = stage.temperature_k
    return first + (last - first) * (step - campaign.md.first_step(result.stage)) / stage.n_steps


def _drawn(
    place: FramePlace,
    directory: CampaignDirectory,
    campaign: Campaign,
    potential: AcePotential,
    level: dict[str, object],
    rng: np.random.Generator,
) -> HeldOut | None:
    """Write a frame, or a part of it, to be labelled; None if that can't be or it is trained on."""
    frame = read_dumped_step(directory.cycle(place.walker, place.cycle) / DUMP, place.step)
    if frame is None:
        return None
    whole = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=True)
    atoms = part_to_label(whole, int(rng.integers(len(whole))), place.temperature_k, potential, campaign)
    if atoms is None:
        return None
    name = label_name(atoms, level)
    if Dataset(directory.root).has(name):
        return None
    write_frames(structure_file(directory.validation, name), [atoms])
    drawn = HeldOut(
        hash=name, walker=place.walker, cycle=place.cycle, step=place.step, temperature_k=place.temperature_k
    )
    return _measured(drawn, directory)


def part_to_label(
    whole: Atoms, center: int, temperature_k: float | None, potential: AcePotential, campaign: Campaign
) -> Atoms | None:
    """Return a frame as it is labelled: whole, or if it is too large the surroundings of the atom ``center``.

    Returns
    -------
    Atoms | None
        With its mask if it is a part; None if no part is small enough.
    """
    thresholds = campaign.uncertainty.thresholds(campaign.elements)
    try:
        part, cut = local_cell(HaltedFrame(whole, center, temperature_k or 0.0, thresholds), potential, campaign)
    except CampaignError:
        return None
    atoms = canonical(part.atoms)
    if cut is not None:
        atoms.arrays[MASK] = cut.mask
    return atoms


def _measured(frame: HeldOut, directory: CampaignDirectory) -> HeldOut:
    """Return the frame with its temperature by LAMMPS' log, if it lacks that and there is one."""
    if frame.measured_temperature_k is not None:
        return frame
    kelvin = temperatures_in_log(directory.cycle(frame.walker, frame.cycle) / LOG).get(frame.step)
    return frame.model_copy(update={"measured_temperature_k": kelvin})


def structure_file(folder: Path, name: str) -> Path:
    """Return the file of a structure that is, or is to be, labelled for a validation."""
    return folder / "structures" / f"{name}.extxyz"
