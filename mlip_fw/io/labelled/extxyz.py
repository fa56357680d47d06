"""Reader of extended XYZ that keeps all names; ASE's reader renames, drops or refuses some that labels need."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from mlip_fw.errors import CampaignError
from mlip_fw.io.labelled.raw import Raw

_CLOSING = {'"': '"', "'": "'", "{": "}", "[": "]"}
_TRUTH = {"t": True, "true": True, "f": False, "false": False}
_SPECIES, _NUMBERS, _POSITIONS = ("species", "symbols", "element", "symbol"), ("Z", "numbers"), ("pos", "positions")
_OF_FORMAT = {"lattice": "Lattice", "properties": "Properties", "pbc": "pbc"}
"""Keys of the format itself, which some codes write in another case."""
_PLAIN = "species:S:1:pos:R:3"
_MAX_ATOMS = 10_000_000


def read_extxyz(path: Path) -> list[Raw]:
    """Read all structures of an extended XYZ file.

    Raises
    ------
    CampaignError
        If the file breaks the format; says where and what.

    References
    ----------
    https://github.com/libAtoms/extxyz has the format's specification.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as handle:
        return list(_frames(enumerate((line.rstrip("\n") for line in handle), start=1)))


def _frames(lines: Iterator[tuple[int, str]]) -> Iterator[Raw]:
    number = 0
    for at, line in lines:
        if not line.strip():
            continue
        where = f"structure {number} (line {at})"
        n_atoms = _count(line, where)
        comment = next((text for _, text in lines), "")
        rows = [text for _, text in islice(lines, n_atoms)]
        whole = sum(bool(row.strip()) for row in rows)
        if whole < n_atoms:
            raise CampaignError(f"{where} ends after {whole} of its {n_atoms} atoms; remove it or write it again")
        yield _frame(comment, rows, where)
        number += 1


def _count(line: str, where: str) -> int:
    try:
        n_atoms = int(line)
    except ValueError:
        raise CampaignError(
            f"{where} must begin with its number of atoms, not {line.strip()[:40]!r}; a line before may be missing or "
            "one too many"
        ) from None
    if not 0 < n_atoms <= _MAX_ATOMS:
        raise CampaignError(f"{where} has {n_atoms} atoms; remove it")
    return n_atoms


def _frame(comment: str, rows: list[str], where: str) -> Raw:
    facts = {_OF_FORMAT.get(key.lower(), key): value for key, value in _facts(comment, where)}
    properties = facts.pop("Properties", _PLAIN)
    columns = _columns(str(properties), rows, where)
    fixed = _fixed(columns.pop("move_mask", None), len(rows), where)
    cell, pbc = _cell(facts, where)
    atoms = Atoms(_elements(columns, where), _positions(columns, where), cell=cell, pbc=pbc)
    return Raw(atoms=atoms, facts=facts, columns=columns, fixed=fixed)


def _facts(comment: str, where: str) -> Iterator[tuple[str, Any]]:
    seen = set()
    for key, text in _pairs(comment, where):
        same = key.lower() if key.lower() in _OF_FORMAT else key
        if same in seen:
            raise CampaignError(f"{where} says {key} twice; remove one")
        seen.add(same)
        yield key, True if text is None else _value(text, is_text=same == "properties")


def _pairs(comment: str, where: str) -> Iterator[tuple[str, str | None]]:
    """Yield keys and values of a comment line; a key without a value is a flag."""
    at, size = 0, len(comment)
    while at < size:
        if comment[at].isspace() or comment[at] == ",":
            at += 1
            continue
        key, at = _token(comment, at, "=", where)
        while at < size and comment[at].isspace():
            at += 1
        if at < size and comment[at] == "=":
            at += 1
            while at < size and comment[at].isspace():
                at += 1
            value, at = _token(comment, at, "", where)
            yield key, value
        else:
            yield key, None


def _token(text: str, at: int, stops_at: str, where: str) -> tuple[str, int]:
    """Return the token at ``at`` without enclosing quotes or brackets, and the position after it."""
    if at < len(text) and text[at] in _CLOSING:
        opening, closing = text[at], _CLOSING[text[at]]
        depth, made, at = 1, "", at + 1
        while at < len(text):
            char = text[at]
            if char == "\\" and at + 1 < len(text):
                made, at = made + text[at + 1], at + 2
                continue
            depth += (char == opening and opening != closing) - (char == closing)
            if not depth:
                return made, at + 1
            made, at = made + char, at + 1
        raise CampaignError(
            f"{where}: its second line has {opening} without {closing}; add it, or write the file again"
        )
    end = at
    while end < len(text) and not text[end].isspace() and text[end] not in stops_at:
        end += 1
    return text[at:end], max(end, at + 1)


def _value(text: str, *, is_text: bool) -> Any:
    """Convert a text to numbers or booleans if it is such; lists become flat arrays."""
    if is_text:
        return text
    parts = [part for part in re.split(r"[\s,\[\]{}]+", text.removeprefix("_JSON ")) if part]
    if parts and all(part.lower() in _TRUTH for part in parts):
        truths = [_TRUTH[part.lower()] for part in parts]
        return truths[0] if len(truths) == 1 else np.array(truths)
    try:
        numbers = np.array([float(part) for part in parts])
    except ValueError:
        return text
    return text if not len(numbers) else float(numbers[0]) if len(numbers) == 1 else numbers


def _columns(properties: str, rows: list[str], where: str) -> dict[str, np.ndarray]:
    fields = properties.split(":")
    if len(fields) % 3 or not all(width.isdigit() and int(width) for width in fields[2::3]):
        raise CampaignError(f"{where}: Properties={properties[:80]} must be name:type:columns, again and again")
    table = [row.split() for row in rows]
    names, kinds, widths = fields[::3], fields[1::3], list(map(int, fields[2::3]))
    if len(set(names)) < len(names):
        raise CampaignError(f"{where}: Properties={properties[:80]} names a column twice")
    for k, row in enumerate(table):
        if len(row) != sum(widths):
            raise CampaignError(f"{where}: atom {k} has {len(row)} values, and Properties tells of {sum(widths)}")
    columns, at = {}, 0
    for name, kind, width in zip(names, kinds, widths, strict=True):
        cells = np.array([row[at : at + width] for row in table])
        columns[name] = _converted(cells[:, 0] if width == 1 else cells, kind, f"{where}: column {name}")
        at += width
    return columns


def _converted(cells: np.ndarray, kind: str, where: str) -> np.ndarray:
    kinds: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "S": lambda texts: texts,
        "R": lambda texts: texts.astype(float),
        "I": lambda texts: texts.astype(float).astype(int),
        "L": _truths,
    }
    if kind not in kinds:
        raise CampaignError(f"{where} is of type {kind}; known are S, R, I and L")
    try:
        return kinds[kind](cells)
    except (ValueError, KeyError, OverflowError) as error:
        raise CampaignError(f"{where} has a value that is not of its type {kind}: {error}") from error


def _truths(texts: np.ndarray) -> np.ndarray:
    known = {**_TRUTH, "1": True, "0": False}
    return np.array([known[str(text).lower()] for text in texts.ravel()]).reshape(texts.shape)


def _elements(columns: dict[str, np.ndarray], where: str) -> list[int]:
    name = next((name for name in _SPECIES if name in columns), None)
    if name is None:
        numbers = next((columns.pop(name) for name in _NUMBERS if name in columns), None)
        if numbers is None:
            raise CampaignError(f"{where} has no column species; it has {', '.join(columns)}")
        if numbers.ndim != 1 or not ((numbers > 0) & (numbers < len(atomic_numbers))).all():
            raise CampaignError(f"{where} has an atomic number that no element has")
        return [int(number) for number in numbers]
    for number in _NUMBERS:
        columns.pop(number, None)
    symbols = [str(symbol).capitalize() for symbol in np.atleast_1d(columns.pop(name))]
    if unknown := sorted({symbol for symbol in symbols if not atomic_numbers.get(symbol)}):
        raise CampaignError(f"{where} has {', '.join(unknown[:5])}, which is no element; write chemical symbols")
    return [atomic_numbers[symbol] for symbol in symbols]


def _positions(columns: dict[str, np.ndarray], where: str) -> np.ndarray:
    name = next((name for name in _POSITIONS if name in columns), None)
    if name is None or columns[name].ndim != 2 or columns[name].shape[1] != 3:
        raise CampaignError(f"{where} has no column pos with three numbers; it has {', '.join(columns)}")
    return columns.pop(name)


def _cell(facts: dict[str, Any], where: str) -> tuple[np.ndarray | None, Any]:
    lattice, pbc = facts.pop("Lattice", None), facts.pop("pbc", None)
    if lattice is not None:
        if not isinstance(lattice, np.ndarray) or lattice.shape != (9,) or lattice.dtype != float:
            raise CampaignError(f"{where}: Lattice must have nine numbers, not {lattice!s:.60}")
        lattice = lattice.reshape(3, 3)
    if pbc is None:
        return lattice, lattice is not None
    flags = np.atleast_1d(pbc)
    if flags.dtype != bool and not np.isin(flags, (0.0, 1.0) if flags.dtype == float else ()).all():
        raise CampaignError(f'{where}: pbc must be three of T and F, as in "T T F", not {pbc!s:.60}')
    if len(flags) not in (1, 3):
        raise CampaignError(f'{where}: pbc must be three of T and F, as in "T T F", not {pbc!s:.60}')
    return lattice, flags.astype(bool) if len(flags) == 3 else bool(flags[0])


def _fixed(move_mask: np.ndarray | None, n_atoms: int, where: str) -> np.ndarray:
    """Return (n_atoms, 3) of bool: components fixed by ASE's column ``move_mask``, which is true where atoms move."""
    if move_mask is None:
        return np.zeros((n_atoms, 3), dtype=bool)
    if move_mask.dtype.kind in "US" or move_mask.shape not in ((n_atoms,), (n_atoms, 3)):
        raise CampaignError(f"{where}: move_mask must have one or three truth values for each atom")
    free = move_mask.astype(bool).reshape(n_atoms, -1)
    return np.broadcast_to(~free, (n_atoms, 3)).copy()
