"""Pseudopotentials: find the directory, choose a file for each element, and read its header."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlip_fw.engines.oracle.espresso.functional import OF_FUNCTIONAL, canonical_functional
from mlip_fw.engines.oracle.espresso.install import installed_pseudo_dir
from mlip_fw.errors import CampaignError, WorkerError
from mlip_fw.models.oracle import EspressoOracle, Functional
from mlip_fw.models.worker import Worker

_SYSTEM_DIR = Path("/usr/share/espresso/pseudo")


@dataclass(frozen=True)
class Pseudopotential:
    """One UPF file."""

    path: Path
    element: str
    z_valence: float
    functional: str
    """In the spelling of :func:`canonical_functional`; empty if the file does not say."""
    sha256: str
    md5: str
    """pw.x prints it of the files that it read."""


def pseudo_dir(oracle: EspressoOracle, worker: Worker, elements: Sequence[str] = ()) -> Path:
    """Return the directory of the pseudopotentials.

    The first that is set of oracle.pseudo_dir, the worker's pseudo_dir and ESPRESSO_PSEUDO; else Debian's directory
    or that of ``mlip-fw doctor --install-qe``, whichever has the ``elements``.

    Raises
    ------
    WorkerError
        If there is none.
    """
    for key, value in (
        ("oracle.pseudo_dir", oracle.pseudo_dir),
        ("env.pseudo_dir", worker.pseudo_dir),
        ("ESPRESSO_PSEUDO", os.environ.get("ESPRESSO_PSEUDO")),
    ):
        if value:
            given = Path(os.path.expandvars(value)).expanduser()
            if not given.is_dir():
                raise WorkerError(f"{key} is {given}, which is not a directory; correct it")
            return given.resolve()
    usual = [d for d in (_SYSTEM_DIR, installed_pseudo_dir(oracle.functional or "PBE")) if d is not None and d.is_dir()]
    for found in usual:
        if all(_files_of(element, oracle, found) for element in elements):
            return found
    if usual:
        return usual[-1]
    raise WorkerError(
        "no directory of pseudopotentials: set env.pseudo_dir in my_fworker.yaml or oracle.pseudo_dir in the campaign"
    )


def choose_pseudopotentials(oracle: EspressoOracle, worker: Worker, elements: list[str]) -> dict[str, Pseudopotential]:
    """Return the pseudopotential of each element, read and checked.

    Raises
    ------
    CampaignError
        If several files fit an element, or two elements' functionals differ.
    WorkerError
        If a file is missing or is not a pseudopotential of its element.
    """
    folder = pseudo_dir(oracle, worker, elements)
    chosen = {e: read_upf(_file_of(e, oracle, folder), e) for e in sorted(elements)}
    wrong = [p for p in chosen.values() if oracle.functional and p.functional not in OF_FUNCTIONAL[oracle.functional]]
    if wrong:
        listed = ", ".join(f"{p.path.name} ({_said(p)})" for p in wrong)
        raise CampaignError(f"oracle.functional is {oracle.functional}, but not that of {listed}; change either")
    functionals = {pseudo.functional for pseudo in chosen.values()}
    if len(functionals) > 1 and "input_dft" not in oracle.namelists.get("system", {}):
        listed = ", ".join(f"{e}: {p.path.name} ({_said(p)})" for e, p in chosen.items())
        raise CampaignError(
            f"the pseudopotentials are of different functionals: {listed}; choose others by oracle.pseudopotentials"
        )
    return chosen


def _file_of(element: str, oracle: EspressoOracle, folder: Path) -> Path:
    found = _files_of(element, oracle, folder)
    of = f" of functional {oracle.functional}" if oracle.functional and element not in oracle.pseudopotentials else ""
    if not found:
        others = "; ".join(_why_not(path, element) for path in _named_like(element, folder))
        here = f"there is {others}" if others else f"none is named {element}.UPF, {element}_….upf or the like"
        raise WorkerError(
            f"{folder} holds no pseudopotential of {element}{of}: {here}. Put one there, or set pseudo_dir"
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise CampaignError(
            f"{folder} holds several pseudopotentials of {element}{of}: {names}; say which by oracle.pseudopotentials: "
            f"{{{element}: {found[0].name}}}"
        )
    return found[0]


def _files_of(element: str, oracle: EspressoOracle, folder: Path) -> list[Path]:
    """Return the file that the campaign names, or all in the directory that fit."""
    if element in oracle.pseudopotentials:
        return [folder / oracle.pseudopotentials[element]]
    found = _named_like(element, folder)
    return [path for path in found if oracle.functional is None or _is_of(path, element, oracle.functional)]


def _named_like(element: str, folder: Path) -> list[Path]:
    wanted = re.compile(rf"{element}(?:[._-][\w.+-]*)?\.upf", re.IGNORECASE | re.ASCII)
    return sorted(path for path in folder.iterdir() if wanted.fullmatch(path.name))


def _is_of(path: Path, element: str, functional: Functional) -> bool:
    try:
        return read_upf(path, element).functional in OF_FUNCTIONAL[functional]
    except WorkerError:
        return False


def _why_not(path: Path, element: str) -> str:
    """Return, for a message, a file that was not chosen and what it is."""
    try:
        return f"{path.name} ({_said(read_upf(path, element))})"
    except WorkerError as error:
        return f"{path.name} ({error})"


def _said(pseudo: Pseudopotential) -> str:
    return pseudo.functional or "which does not say its functional"


def read_upf(path: Path, element: str) -> Pseudopotential:
    """Read the header of a UPF file, version 1 or 2.

    Raises
    ------
    WorkerError
        If the file is missing, is cut off, or is of another element.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WorkerError(f"pseudopotential of {element}: can't read {path} ({error.strerror})") from error
    text = content.decode(errors="replace")
    header = _header_2(text) if "<PP_HEADER" in text and "<UPF" in text else _header_1(text)
    if header is None or not _is_whole(text):
        raise WorkerError(f"pseudopotential of {element}: {path} is no whole UPF file; get it again")
    found, z_valence, functional = header
    if found.capitalize() != element:
        raise WorkerError(f"pseudopotential of {element}: {path} is of {found or 'no element'}")
    return Pseudopotential(
        path=path,
        element=element,
        z_valence=z_valence,
        functional=canonical_functional(functional),
        sha256=hashlib.sha256(content).hexdigest(),
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
    )


def _is_whole(text: str) -> bool:
    """Return whether the last section that every UPF file has is closed."""
    return "</UPF>" in text if "<UPF" in text else "</PP_RHOATOM>" in text


def _header_2(text: str) -> tuple[str, float, str] | None:
    tag = re.search(r"<PP_HEADER\b([^>]*)>", text)
    found = re.findall(r"""(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)')""", tag.group(1)) if tag else []
    values = {name: double or single for name, double, single in found}
    try:
        charge = float(values["z_valence"].replace("D", "E").replace("d", "e"))
        return values["element"].strip(), charge, values.get("functional", "")
    except (KeyError, ValueError):
        return None


def _header_1(text: str) -> tuple[str, float, str] | None:
    section = re.search(r"<PP_HEADER>(.*?)</PP_HEADER>", text, re.DOTALL)
    lines = section.group(1) if section else ""
    element = re.search(r"^\s*(\w+)\s+Element", lines, re.MULTILINE)
    charge = re.search(r"^\s*(\S+)\s+Z valence", lines, re.MULTILINE)
    functional = re.search(r"^(.*?)Exchange-Corr", lines, re.MULTILINE)
    if element is None or charge is None:
        return None
    try:
        z_valence = float(charge.group(1).replace("D", "E").replace("d", "e"))
    except ValueError:
        return None
    return element.group(1), z_valence, _before_short_name(functional.group(1).split()) if functional else ""


def _before_short_name(words: list[str]) -> str:
    """Return the functional in a header of version 1: four words, or one with hyphens, or only a short name."""
    is_one = bool(words) and re.search(r"[-+]", words[0])
    return words[0] if is_one else " ".join(words[:4] if len(words) >= 4 else words[:1])
