"""What can be plugged in: oracles, candidate strategies, trainers and validation properties, by name.

There is one registry for each sort. Its entries are the built-in ones, listed below, and the entry points that other
distributions have in the registry's group. Names are known without importing anything; the object behind a name is
imported when it is asked for, so a broken plug-in is an error only where it is used or listed. What to write for a
plug-in: docs/how-to/add-an-oracle.md.
"""

from __future__ import annotations

import difflib
import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from mlip_fw.errors import WorkerError

OWN = "mlip_fw"


@dataclass(frozen=True)
class Entry:
    """One entry of a registry: its name, where the object is, and which distribution it comes with."""

    name: str
    path: str
    """``module:attribute``."""
    origin: str
    """Name and version of the distribution; ``mlip_fw`` for what is built in."""


class Registry:
    """All entries of one sort, such as all oracles, by name; the built-in ones first.

    Parameters
    ----------
    what
        What an entry is, in words: ``oracle``.
    group
        Entry-point group of other distributions, such as ``mlip_fw.oracles``.
    built_in
        ``module:attribute`` by name, in the order in which they are listed.
    needs
        Attributes that the object of an entry must have; without any, it must be callable.
    """

    def __init__(self, what: str, group: str, built_in: Mapping[str, str], needs: tuple[str, ...] = ()) -> None:
        self.what, self.group = what, group
        self._built_in, self._needs = dict(built_in), needs
        self._loaded: dict[str, Any] = {}

    def names(self) -> list[str]:
        """Return the names of all entries that are installed here; imports none of them."""
        return list(dict.fromkeys([*self._built_in, *(entry.name for entry in self.plug_ins())]))

    def has(self, name: str) -> bool:
        """Return whether an entry is installed; imports nothing, and looks for plug-ins only if it is not built in."""
        return name in self._built_in or any(entry.name == name for entry in self.plug_ins())

    def plug_ins(self) -> list[Entry]:
        """Return the entries of other distributions, sorted by name, including those that clash with another."""
        return sorted((_entry(point) for point in _entry_points(self.group)), key=lambda one: (one.name, one.origin))

    def is_built_in(self, name: str) -> bool:
        """Return whether an entry comes with mlip_fw."""
        return name in self._built_in

    def get(self, name: str) -> Any:
        """Return the object of an entry.

        Raises
        ------
        WorkerError
            If no installed distribution has this entry, two have it, or it can't be imported. A built-in entry has
            precedence over a plug-in of the same name, which :meth:`require` refuses.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(self._entry_of(name))
        return self._loaded[name]

    def require(self, name: str) -> Any:
        """Return the object of an entry, before a campaign that names it starts.

        Raises
        ------
        WorkerError
            As :meth:`get`, and if a plug-in has a built-in name: the campaign may mean either.
        """
        self._require_unambiguous(name)
        return self.get(name)

    def _require_unambiguous(self, name: str) -> None:
        if name in self._built_in and (others := [entry for entry in self.plug_ins() if entry.name == name]):
            raise WorkerError(
                f"the {self.what} {name!r} is built into mlip_fw, and {_origins(others)} adds one of the same name; "
                f"uninstall that, or let it take another name in its entry points ({self.group})"
            )

    def faults(self) -> dict[str, str]:
        """Return what is wrong with the installed plug-ins, a sentence by name; imports all of them."""
        found: dict[str, str] = {}
        for entry in self.plug_ins():
            try:
                self.require(entry.name)
            except WorkerError as error:
                found[entry.name] = str(error)
        return found

    def usable(self) -> dict[str, Any]:
        """Return the objects of all entries by name, without those of plug-ins that can't be used."""
        broken = self.faults()
        plug_ins = [entry.name for entry in self.plug_ins() if entry.name not in broken]
        return {name: self.get(name) for name in dict.fromkeys([*self._built_in, *plug_ins])}

    def forget(self) -> None:
        """Forget the imported objects, for example after another distribution was installed."""
        self._loaded.clear()

    def origin(self, name: str) -> str:
        """Return the name and version of the distribution that an entry comes with."""
        return self._entry_of(name).origin

    def hint(self, name: str, also: tuple[str, ...] = ()) -> str:
        """Return what to write instead of an unknown name; ``also`` are words that may stand there too."""
        known = [*also, *self.names()]
        if close := difflib.get_close_matches(name, known, n=1, cutoff=0.6):
            return f"did you mean {close[0]}?"
        return (
            f"installed are {', '.join(known)}; another one comes with a distribution that has an entry point of this "
            f"name in {self.group}: install it into this Python"
        )

    def _entry_of(self, name: str) -> Entry:
        if name in self._built_in:
            return Entry(name, self._built_in[name], OWN)
        found = [entry for entry in self.plug_ins() if entry.name == name]
        if not found:
            raise WorkerError(f"there is no {self.what} {name!r}; {self.hint(name)}")
        if len(found) > 1:
            raise WorkerError(
                f"{_origins(found)} both add the {self.what} {name!r} ({self.group}); uninstall one of them"
            )
        return found[0]

    def _load(self, entry: Entry) -> Any:
        module, _, attribute = entry.path.partition(":")
        try:
            made = functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
        except Exception as error:
            if entry.origin == OWN:
                raise
            raise self._broken(entry, f"can't be imported ({type(error).__name__}: {error})") from error
        missing = [name for name in self._needs if not hasattr(made, name)]
        if missing:
            raise self._broken(entry, f"has no {', '.join(missing)}")
        if not self._needs and not callable(made):
            raise self._broken(entry, f"is no function but a {type(made).__name__}")
        return made

    def _broken(self, entry: Entry, why: str) -> WorkerError:
        return WorkerError(
            f"the {self.what} {entry.name!r} of {entry.origin} is broken: {entry.path} {why}; repair or uninstall it"
        )


def _entry_points(group: str) -> list[EntryPoint]:
    from importlib.metadata import entry_points  # takes a tenth of a second to import: only where it is asked for

    return list(entry_points(group=group))


def _entry(point: EntryPoint) -> Entry:
    origin = f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unnamed distribution"
    return Entry(point.name, point.value.replace(" ", ""), origin)


def _origins(entries: list[Entry]) -> str:
    return " and ".join(entry.origin for entry in entries)


ORACLES = Registry(
    "oracle",
    "mlip_fw.oracles",
    {
        "ase": "mlip_fw.engines.oracle.ase_backend:BACKEND",
        "espresso": "mlip_fw.engines.oracle.espresso.backend:BACKEND",
        "vasp": "mlip_fw.engines.oracle.vasp.backend:BACKEND",
    },
    needs=("settings", "require", "level_of_theory", "label", "cost"),
)
"""What makes labels: objects like :class:`mlip_fw.engines.oracle.backend.OracleBackend`."""
STRATEGIES = Registry(
    "candidate strategy",
    "mlip_fw.strategies",
    {
        "halt_frame": "mlip_fw.engines.sampling.generate:halt_frame",
        "rattle": "mlip_fw.engines.sampling.generate:rattle",
        "normal_modes": "mlip_fw.engines.sampling.normal_modes:normal_modes",
        "md_burst": "mlip_fw.engines.sampling.md_burst:md_burst",
    },
)
"""Where candidates come from: functions like :class:`mlip_fw.engines.sampling.generate.CandidateStrategy`."""
PROPERTIES = Registry(
    "validation property",
    "mlip_fw.properties",
    {
        "equation_of_state": "mlip_fw.validation.compare:equation_of_state",
        "elastic": "mlip_fw.validation.compare:elastic",
        "phonons": "mlip_fw.validation.compare:phonons",
        "vacancy": "mlip_fw.validation.compare:vacancy",
        "surface": "mlip_fw.validation.compare:surface",
        "rdf": "mlip_fw.validation.compare:rdf",
    },
)
"""What a validation compares: functions of :class:`mlip_fw.validation.compare.Both`."""
TRAINERS = Registry(
    "trainer",
    "mlip_fw.trainers",
    {"pacemaker": "mlip_fw.engines.train.pacemaker.backend:BACKEND"},
    needs=("settings", "require", "refine"),
)
"""What refines linear generations: objects like :class:`mlip_fw.engines.train.refinement.TrainerBackend`."""
REGISTRIES = (ORACLES, STRATEGIES, TRAINERS, PROPERTIES)
