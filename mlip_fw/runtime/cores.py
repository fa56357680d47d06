"""Number of cores of a command or of this process, from the command line and the variables of the batch job."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

_LAUNCHERS = ("mpirun", "mpiexec", "mpiexec.hydra", "orterun", "prun", "srun")
_RANKS = ("-n", "-np", "--np", "--ntasks")
_THREADS = "OMP_NUM_THREADS"


def cores_of(command: str | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of cores of a command: MPI ranks times threads.

    Ranks are those of ``mpirun -np N`` or the like, or else Slurm's tasks; threads are ``OMP_NUM_THREADS`` within the
    command, or else Slurm's cores per task, or else ``OMP_NUM_THREADS``. Each is 1 where it is not given. Work within
    this process, which has no command, has all cores of its batch job.

    Parameters
    ----------
    command
        As in a worker file; None for work within this process.
    environment
        Variables of the job.
    """
    words = _words(command)
    launched = next((k for k, word in enumerate(words) if Path(word).name in _LAUNCHERS), None)
    tasks = _number(environment.get("SLURM_NTASKS")) or 1
    threads = _number(environment.get("SLURM_CPUS_PER_TASK")) or _number(environment.get(_THREADS)) or 1
    threads = next((n for word in words if (n := _number(_value(word, _THREADS)))), threads)
    if launched is None:
        return threads if command else tasks * threads
    return (_ranks(words[launched + 1 :]) or tasks) * threads


def _ranks(words: list[str]) -> int | None:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        given = following if word in _RANKS else _value(word, "--ntasks")
        if ranks := _number(given):
            return ranks
    return None


def _words(command: str | None) -> list[str]:
    try:
        return shlex.split(command or "")
    except ValueError:
        return []


def _value(word: str, name: str) -> str | None:
    key, is_set, value = word.partition("=")
    return value if is_set and key == name else None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
