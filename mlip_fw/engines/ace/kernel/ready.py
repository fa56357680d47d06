"""Ahead-of-time compilation of the kernel: the first process on a machine compiles, others load."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from numba import types

from mlip_fw.engines.ace.kernel.cache import folder
from mlip_fw.engines.ace.kernel.energies import evaluate
from mlip_fw.engines.ace.kernel.rows import design_rows
from mlip_fw.errors import DirectoryError
from mlip_fw.io.locks import exclusive_lock

logger = logging.getLogger("mlip_fw")
_MARK = "compiled"


_SIGNATURES = [
    (evaluate, (*[types.int64] * 13, types.boolean, types.boolean)),
    (design_rows, (types.int64,) * 10),
]


def make_ready(say: Callable[[str], None] = logger.info) -> None:
    """Load compiled code, or compile it; one of several processes does, and the others wait for it.

    Parameters
    ----------
    say
        Called with a message before and after compilation, which takes half a minute.

    Raises
    ------
    Exception
        Whatever numba raises if it can't compile.
    """
    place = folder()
    if place is None:
        say("compiling the ACE kernel: half a minute in each process, as no folder can be written; set NUMBA_CACHE_DIR")
        _load_or_compile(None)
        return
    if (place / _MARK).is_file():
        _load_or_compile(place)
        return
    try:
        with exclusive_lock(place / "lock"):
            if (place / _MARK).is_file():
                _load_or_compile(place)
                return
            _compile(place, say)
    except DirectoryError:
        # without file locks several processes may compile; they write the same code
        _compile(place, say)


def is_compiled() -> bool:
    """Return whether compiled code is in the cache."""
    place = folder()
    return place is not None and (place / _MARK).is_file()


def load() -> None:
    """Load compiled code if it is in the cache."""
    if is_compiled():
        _load_or_compile(folder())


def _compile(place: Path, say: Callable[[str], None]) -> None:
    began = time.perf_counter()
    say("compiling the ACE kernel for this processor: once, half a minute")
    _load_or_compile(place)
    (place / _MARK).touch()
    say(f"compiled in {time.perf_counter() - began:.0f} s; kept in {place}")


def _load_or_compile(place: Path | None) -> None:
    for function, signature in _SIGNATURES:
        try:
            function.compile(signature)
        except OSError as error:
            # the cache could not be written: compiled, but not kept
            logger.info("compiled code can't be kept in %s: %s", place, error.strerror)
            function.compile(signature)
