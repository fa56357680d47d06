"""Cache of compiled code: one folder for each processor, version of numba and source of the kernel.

numba notices when the file of a function has changed, but not when a function that it calls has, and machines that
share a home would overwrite each other's code. All processes that use one of these folders would write the same code
to it, so any number of them may.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba import njit
from numba.core.registry import cpu_target

from mlip_fw.engines.ace.pairs import Pairs

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"nsz", "arcp", "contract"}}
"""None of these flags lets the compiler assume that numbers are finite."""
COMPILED = (
    *("cache", "embedding", "energies", "gradients", "grades", "layout", "memory"),
    *("products", "radial", "rows", "stages", "vector"),
)
"""Modules of this package with compiled functions, or with constants and types that these use."""


def compiled(function: Any) -> Any:
    """Compile a function with numba, inlined into its callers (decorator)."""
    return njit(**_OPTIONS, forceinline=True)(function)


def entry(function: Any) -> Any:
    """Compile a function called from Python, cached in :func:`folder` (decorator)."""
    place, before = folder(), numba.config.CACHE_DIR
    if place is None:
        return compiled(function)
    numba.config.CACHE_DIR = str(place)
    try:
        return njit(**_OPTIONS, cache=True)(function)
    except RuntimeError:  # numba found that it can't write there after all
        return compiled(function)
    finally:
        numba.config.CACHE_DIR = before


@cache
def folder() -> Path | None:
    """Return the folder for code compiled for this processor, created if need be; None if none is writable.

    The first writable one of: ``$NUMBA_CACHE_DIR``, ``~/.cache/mlip-fw`` (``$XDG_CACHE_HOME/mlip-fw``), and a folder of
    this user among the temporary files.
    """
    for base in _bases():
        place = base / f"kernel-{_key()}"
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError:
            continue
        # its contents will be executed: no other user may own it or write to it
        if place.stat().st_uid == os.getuid() and not place.stat().st_mode & 0o022:
            return place
    return None


def _bases() -> Iterator[Path]:
    if os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(os.environ["NUMBA_CACHE_DIR"])
    with contextlib.suppress(RuntimeError):  # a user without a home
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlip-fw"
    yield Path(tempfile.gettempdir()) / f"mlip-fw-{os.getuid()}"


def processor() -> str:
    """Return the name of the processor that numba compiles for."""
    return str(cpu_target.target_context.codegen().magic_tuple()[1])


def _key() -> str:
    """Return a hash (16 hexadecimal digits) of everything that compiled code depends on."""
    hashed = hashlib.sha256()
    versions = numba.__version__, llvmlite.__version__, sys.version_info[:3]
    target = cpu_target.target_context.codegen().magic_tuple()
    hashed.update(repr((versions, target, sorted(_OPTIONS["fastmath"]))).encode())
    for path in [*(Path(__file__).with_name(f"{name}.py") for name in COMPILED), Path(inspect.getfile(Pairs))]:
        hashed.update(path.read_bytes())
    return hashed.hexdigest()[:16]
