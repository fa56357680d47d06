"""Checks of this machine for ``mlip-fw doctor``; each runs the program that it checks."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ase.build import bulk
from ase.calculators.emt import EMT
from fireworks import FWorker, LaunchPad
from pymongo.errors import PyMongoError

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.md.engine_check import run_engine_check
from mlip_fw.engines.md.run import Engine, choose_engine
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.errors import MlipError, WorkerError
from mlip_fw.firetasks.base import read_worker
from mlip_fw.io.addresses import without_credentials
from mlip_fw.io.locks import exclusive_lock
from mlip_fw.io.structures import with_labels
from mlip_fw.launchpad.advice import explain
from mlip_fw.models.base import Frozen
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.worker import Worker
from mlip_fw.plugins import ORACLES, REGISTRIES, TRAINERS, Registry

_ENGINE_CHECK = {
    "campaign": "canary",
    "elements": ["Cu"],
    "structure": {"bulk": {"symbol": "Cu", "cubic": True, "repeat": [2, 2, 2]}},
    "md": {"stages": [{"ensemble": "nve", "n_steps": 10}]},
    "oracle": {"kind": "ase", "calculator": "emt"},
    "potential": {"cutoff_a": 5.0, "functions_per_element": 20},
}


class MachineFinding(Frozen):
    """Result of one check."""

    what: str
    ok: bool
    found: str


def diagnose_machine(fworker: FWorker, launchpad: Callable[[], LaunchPad] | None = None) -> list[MachineFinding]:
    """Return what was found of LAMMPS, gamma, oracles, pacemaker, file locks, the queue and, if given, the database."""
    engine: list[Engine] = []

    def which_engine() -> str:
        chosen, why = choose_engine("auto", read_worker(fworker.env))
        engine.append(chosen)
        return f"{chosen}: {why}"

    findings = [
        _look("worker file", lambda: f"{fworker.name}: {read_worker(fworker.env).model_dump(exclude_defaults=True)}"),
        _look("MD engine", which_engine),
        _look("gamma canary", lambda: _engine_check(engine, read_worker(fworker.env))),
        *(_look(title, look) for title, look in _codes(ORACLES, "oracle.kind", lambda: read_worker(fworker.env))),
        *(_look(title, look) for title, look in _codes(TRAINERS, "potential.kind", lambda: read_worker(fworker.env))),
        _look("file locks", _locks),
        _look(
            "queue",
            lambda: shutil.which("sbatch") or "no sbatch; campaigns can run on this machine, but not through Slurm",
        ),
    ]
    findings += [_look("plug-ins", _plug_ins)] if any(registry.plug_ins() for registry in REGISTRIES) else []
    if launchpad is not None:
        findings.append(_look("LaunchPad", lambda: _database(launchpad())))
    return findings


def _look(what: str, how: Callable[[], str]) -> MachineFinding:
    try:
        return MachineFinding(what=what, ok=True, found=how())
    except MlipError as error:
        return MachineFinding(what=what, ok=False, found=str(error))
    except Exception as error:
        return MachineFinding(what=what, ok=False, found=f"{type(error).__name__}: {error}")


def _engine_check(engine: list[Engine], worker: Worker) -> str:
    if not engine:
        raise MlipError("skipped: there is no MD engine")
    with tempfile.TemporaryDirectory(prefix="mlip-fw-doctor-") as name:
        root = Path(name)
        generations = _tiny_potential(root)
        start = bulk("Cu", cubic=True) * (2, 2, 2)
        found = run_engine_check(engine[0], worker, generations.potential(0), start, ("Cu",), root / "md")
    return f"LAMMPS halted at gamma {found.gamma_max:.3g}; energy, forces and gamma agree with pyace"


def _tiny_potential(root: Path) -> Generations:
    generations, dataset = Generations(root), Dataset(root)
    for seed in range(2):
        atoms = bulk("Cu", cubic=True) * (2, 2, 2)
        atoms.rattle(0.05, seed=seed)
        atoms.calc = EMT()
        dataset.add(str(seed), with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces(), None), {})
    train_generation(generations, dataset, Campaign.model_validate(_ENGINE_CHECK))
    return generations


def _codes(registry: Registry, key: str, worker: Callable[[], Worker]) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield the rows of the installed oracles or trainers: one that is missing is no fault, unless it is wanted."""
    for kind, backend in registry.usable().items():
        if backend.title:
            yield backend.title, partial(_found_of, backend, worker, f"{key}: {kind}")


def _found_of(backend: Any, worker: Callable[[], Worker], wanted_by: str) -> str:
    here = worker()
    try:
        return str(backend.doctor(here))
    except WorkerError as error:
        return f"not found ({error}); only needed for {wanted_by}"


def _plug_ins() -> str:
    """List the entry points of other distributions; what is wrong with one of them is an error."""
    if faults := [fault for registry in REGISTRIES for fault in registry.faults().values()]:
        raise WorkerError("; ".join(faults))
    found = [f"{registry.what} {e.name} ({e.origin})" for registry in REGISTRIES for e in registry.plug_ins()]
    return ", ".join(found)


def _locks() -> str:
    """Lock a file in this folder, which is one of those that campaigns will be in, most often."""
    folder = Path.cwd()
    with exclusive_lock(folder / ".mlip-fw-doctor.lock"):
        return f"File locking works in {folder}"


def _database(launchpad: LaunchPad) -> str:
    try:
        n_workflows = launchpad.workflows.count_documents({})
    except PyMongoError as error:
        raise WorkerError(explain(error, launchpad)) from error
    return f"{without_credentials(launchpad.host)}, database {launchpad.name}: {n_workflows} workflows"
