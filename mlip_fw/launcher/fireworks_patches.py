"""Names inside FireWorks that mlip_fw replaces, because FireWorks has no hook for what is needed.

All of them are in this module, and each is replaced only while :func:`patched` is entered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import IO, Any

import mongomock
from fireworks.core import launchpad as launchpad_module
from fireworks.core import rocket, rocket_launcher


@dataclass(frozen=True)
class Patch:
    """A name of a module, and what it stands for while the patch is applied."""

    module: ModuleType
    name: str
    replacement: Any


@contextmanager
def patched(patches: Sequence[Patch]) -> Iterator[None]:
    """Apply patches, and undo them at the end."""
    originals = [getattr(patch.module, patch.name) for patch in patches]
    for patch in patches:
        setattr(patch.module, patch.name, patch.replacement)
    try:
        yield
    finally:
        for patch, original in zip(patches, originals, strict=True):
            setattr(patch.module, patch.name, original)


def in_memory_patches() -> list[Patch]:
    """Return what makes a new LaunchPad keep its data in memory: it takes no client, but makes one by this name."""
    return [Patch(launchpad_module, "MongoClient", mongomock.MongoClient)]


def rlaunch_patches(
    launch_rocket: Callable[..., bool], on_interrupt: Any, keep_pinging: Callable[[Callable[..., None]], Any]
) -> list[Patch]:
    """Return what ``mlip-fw rlaunch`` changes in FireWorks' rlaunch.

    Parameters
    ----------
    launch_rocket
        Runs one Firework in place of FireWorks' function, so that something can be done before and after it.
    on_interrupt
        Handler of SIGINT: ``rlaunch`` would replace ours by its own.
    keep_pinging
        Makes a heartbeat function go on after errors: FireWorks' threads end with the first ping that fails.
    """
    # here, not above: the workers of `mlip-fw run` need neither, and start faster without them
    from fireworks.features import multi_launcher
    from fireworks.scripts import rlaunch_run

    return [
        Patch(rlaunch_run, "launch_rocket", launch_rocket),
        # "rapidfire" and "multi" call it through this module
        Patch(rocket_launcher, "launch_rocket", launch_rocket),
        Patch(rlaunch_run, "handle_interrupt", on_interrupt),
        Patch(rocket, "ping_launch", keep_pinging(rocket.ping_launch)),
        Patch(multi_launcher, "ping_multilaunch", keep_pinging(multi_launcher.ping_multilaunch)),
        *offline_patches(),
    ]


def offline_patches() -> list[Patch]:
    """Return what lets ``rlaunch --offline`` open its files: nothing where it can.

    FireWorks (2.1.4) opens ``FW_offline.json`` without a mode, which monty refuses since 2026.
    """
    original = rocket.zopen
    if not _needs_a_mode(original):
        return []

    def zopen(filename: str | os.PathLike[str], mode: str = "rt", **options: Any) -> IO[Any]:
        stream: IO[Any] = original(filename, mode, **options)
        return stream

    return [Patch(rocket, "zopen", zopen)]


def _needs_a_mode(zopen: Any) -> bool:
    try:
        zopen(os.devnull).close()
    except (TypeError, RuntimeError):
        return True
    return False
