"""Halts: where the MD stopped, what was chosen to be labelled then, and when it went on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ase import Atoms

from mlip_fw.engines.md.script import LOG
from mlip_fw.io.lammps import temperatures_in_log
from mlip_fw.models.md import MDOutcome, MDResult
from mlip_fw.models.selection import Selection
from mlip_fw.story.frames import CANDIDATES, CRASHED, HALTED, SELECTED, frame_of, frames_of
from mlip_fw.story.reading import Look, time_of
from mlip_fw.story.sources import Run, Sources

LabelFate = Literal["done", "quarantined", "waiting"]
_LEARNT_FROM = (MDOutcome.HALTED, MDOutcome.CRASHED)


@dataclass(frozen=True)
class Halt:
    """One halt, or one crash that left a frame to learn from."""

    walker: int
    cycle: int
    stage: int
    generation: int
    step: int
    gamma_max: float
    atom: int | None
    """Index (from 0) of the worst atom."""
    temperature_k: float | None
    """That LAMMPS measured at this step; None if its log does not tell."""
    target_temperature_k: float | None
    """Of the thermostat at this step; None without one."""
    time: float | None
    """When it was, s since 1970."""
    folder: Path
    selection: Selection | None
    """What was chosen; None before that, and of a walker that stopped here."""
    labels: list[tuple[str, LabelFate]]
    """Hash and fate of each chosen structure."""
    steps_since: int
    """MD steps that the walker ran since its last halt, or its start."""
    seconds_to_resume: float | None
    """From the halt to the next start of its MD, s."""
    look: Look = field(repr=False, compare=False)
    """Where files are listed that can't be read."""
    is_crash: bool = False

    def frame(self) -> Atoms | None:
        """Return the halted frame, with the array ``gamma`` (n,) where LAMMPS had it; None if its file is damaged."""
        return frame_of(self.folder / (CRASHED if self.is_crash else HALTED), self.look)

    def candidates(self) -> list[Atoms]:
        """Return what might have been labelled, the halted frame or its cut-out first."""
        return frames_of(self.folder / CANDIDATES, self.look)

    def selected(self) -> list[Atoms]:
        """Return what was labelled, in the order of ``selection.chosen``."""
        return frames_of(self.folder / SELECTED, self.look)


def halts_of(sources: Sources) -> list[Halt]:
    """Return all halts, the oldest first."""
    told = sources.turn_times("halted", "crashed")
    goes_on = _starts_by_walker(sources)
    fate = _fates(sources)
    found, walker, since = [], -1, 0
    for run in sources.runs:
        since = since if run.walker == walker else 0
        walker, since = run.walker, since + max(0, run.step - run.first_step)
        if run.result is None or run.result.outcome not in _LEARNT_FROM or run.result.gamma_max is None:
            continue
        time = told.get(run.turn) or time_of(f"{run.folder}/result.json")
        found.append(_halt(run, run.result, sources, time, since, _pause(time, goes_on.get(walker, [])), fate))
        since = 0
    return sorted(found, key=lambda halt: (halt.time or 0.0, halt.walker, halt.cycle))


def _halt(
    run: Run,
    result: MDResult,
    sources: Sources,
    time: float | None,
    steps_since: int,
    pause: float | None,
    fate: Callable[[str], LabelFate],
) -> Halt:
    selection = sources.selections.get(run.turn)
    return Halt(
        walker=run.walker,
        cycle=run.cycle,
        stage=result.stage,
        generation=result.generation,
        step=result.step,
        gamma_max=result.gamma_max or 0.0,
        atom=result.atom,
        temperature_k=_measured(run, result, sources.look),
        target_temperature_k=result.temperature_k,
        time=time,
        folder=run.folder,
        selection=selection,
        labels=[(choice.hash, fate(choice.hash)) for choice in selection.chosen] if selection else [],
        steps_since=steps_since,
        seconds_to_resume=pause,
        look=sources.look,
        is_crash=result.outcome is MDOutcome.CRASHED,
    )


def _measured(run: Run, result: MDResult, look: Look) -> float | None:
    """Return the temperature at the halt; results of earlier versions don't hold it, their logs do."""
    if result.measured_temperature_k is not None:
        return result.measured_temperature_k
    return (look.file(f"{run.folder}/{LOG}", temperatures_in_log) or {}).get(result.step)


def _fates(sources: Sources) -> Callable[[str], LabelFate]:
    failed = {record.hash for record in sources.quarantine}

    def fate(name: str) -> LabelFate:
        return "done" if name in sources.labels else "quarantined" if name in failed else "waiting"

    return fate


def _starts_by_walker(sources: Sources) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for event in sources.events:
        if event["event"] == "md_started":
            found.setdefault(event.get("walker", -1), []).append(event["time"])
    return found


def _pause(time: float | None, starts: list[float]) -> float | None:
    if time is None:
        return None
    after = bisect_right(starts, time)
    return starts[after] - time if after < len(starts) else None
