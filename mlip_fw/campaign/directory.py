"""The campaign directory: paths of its files, its locks, and the journal of what happened."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlip_fw.campaign.cycle_files import CycleFiles
from mlip_fw.campaign.events import Event
from mlip_fw.campaign.journal import append_event, merged_events, read_journal
from mlip_fw.errors import CampaignError, DirectoryError
from mlip_fw.io.campaign_file import read_stored_campaign, write_campaign
from mlip_fw.io.files import write_json, write_text
from mlip_fw.io.links import links_out_of
from mlip_fw.io.locks import exclusive_lock, try_lock
from mlip_fw.models.campaign import Campaign
from mlip_fw.runtime.worker_record import RECORDS_FOLDER

logger = logging.getLogger("mlip_fw")
_LOCK_TRIES = 5
_INPUTS = "inputs.json"
_OWN_LINKS = ("labelling/*/pseudo", "labelling/*/tmp")
"""Where pw.x finds pseudopotentials and scratch space."""


class CampaignDirectory:
    """Paths of a campaign and its journal.

    Parameters
    ----------
    root
        The campaign directory; need not exist yet.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).absolute()

    @property
    def campaign_file(self) -> Path:
        """The campaign as it was started."""
        return self.root / "campaign.yaml"

    @property
    def bootstrap(self) -> Path:
        """Folder of the first structures."""
        return self.root / "bootstrap"

    @property
    def refining(self) -> Path:
        """Folder in which a trainer refines the potential; removed when its generation is published."""
        return self.root / "polishing"

    @property
    def journal(self) -> Path:
        """What happened, one JSON object a line."""
        return self.root / "events.jsonl"

    @property
    def from_elsewhere(self) -> Path:
        """Folder of the journals of other machines; used with ``files: filepad`` only."""
        return self.root / "events"

    @property
    def journals(self) -> list[Path]:
        """The journal, and those that came from other machines."""
        return [self.journal, *sorted(self.from_elsewhere.glob("*.jsonl"))]

    def labelling(self, name: str) -> Path:
        """Return the folder in which the label ``name`` is computed; gone when it is there."""
        return self.root / "labelling" / name

    def engine_check(self, engine: str) -> Path:
        """Return the folder in which an MD engine was compared with pyace (stored name: ``canary``)."""
        return self.root / "canary" / engine

    @property
    def summary_file(self) -> Path:
        """The summary of the campaign, written at its end."""
        return self.root / "summary.json"

    @property
    def validation(self) -> Path:
        """Folder of what is compared with the oracle and never trained on."""
        return self.root / "validation"

    @property
    def validation_report(self) -> Path:
        """What the newest validation found."""
        return self.validation / "validation.json"

    @property
    def audit(self) -> Path:
        """Folder of frames that tell how large the error is, and are not trained on as long as they do."""
        return self.root / "audit"

    @property
    def audit_frames(self) -> Path:
        """Which frames were drawn for the audit."""
        return self.audit / "frames.json"

    def audit_record(self, generation: int) -> Path:
        """Return the file that says what the audit of a generation found."""
        return self.audit / f"audit_{generation:04d}.json"

    def audit_round(self, number: int) -> Path:
        """Return the folder of what is done after audit ``number`` missed the target, if it did."""
        return self.audit / f"round_{number:04d}"

    @property
    def level_file(self) -> Path:
        """The level of theory of all labels."""
        return self.root / "level_of_theory.json"

    @contextmanager
    def labelling_locked(self, name: str) -> Iterator[None]:
        """Let one process at a time compute the label ``name``; the others wait for it."""
        with exclusive_lock(self.root / "labelling" / f".{name}.lock"):
            yield

    @contextmanager
    def work_locked(self, name: str) -> Iterator[None]:
        """Let one process at a time do the work ``name``; a second one waits and then finds its result."""
        with exclusive_lock(self.root / RECORDS_FOLDER / f"{name}.lock"):
            yield

    def walker(self, walker: int) -> Path:
        """Return the folder of a walker."""
        return self.root / "walkers" / f"{walker:02d}"

    def cycle(self, walker: int, cycle: int) -> Path:
        """Return the folder of one MD run, and of the selection, labels and training that follow its halt."""
        return self.walker(walker) / f"cycle_{cycle:04d}"

    def files(self, walker_and_cycle: tuple[int, int] | None) -> CycleFiles:
        """Return the files of a cycle; those of the bootstrap for None."""
        return CycleFiles(self.bootstrap if walker_and_cycle is None else self.cycle(*walker_and_cycle))

    def cycles(self, walker: int | None = None) -> list[Path]:
        """Return the existing cycle folders, in order, of one walker or of all."""
        pattern = f"{walker:02d}" if walker is not None else "[0-9][0-9]"
        return sorted((self.root / "walkers").glob(f"{pattern}/cycle_[0-9][0-9][0-9][0-9]"))

    def exists(self) -> bool:
        """Return whether a campaign was started here.

        Raises
        ------
        DirectoryError
            If that can't be found out, for lack of permission.
        """
        try:
            return self.campaign_file.is_file()
        except OSError as error:
            raise DirectoryError(
                f"can't look into {self.root}: {error.strerror}; check its permissions, or name another directory"
            ) from error

    def begun(self) -> Campaign | None:
        """Return the campaign that was started here, or None if none was."""
        return self.read_campaign() if self.exists() else None

    def read_campaign(self) -> Campaign:
        """Return the campaign that was started here."""
        if not self.exists():
            raise DirectoryError(f"{self.root} is not a campaign directory: it has no campaign.yaml")
        return read_stored_campaign(self.campaign_file)

    def claim(self, campaign: Campaign) -> None:
        """Make the directory for a campaign, or resume the campaign in it.

        Raises
        ------
        CampaignError
            If the directory holds another campaign, or a file that this one names has changed meanwhile.
        DirectoryError
            If it can't be written.
        """
        self.require_free_for(campaign)
        self._require_writable()
        inputs = input_hashes(campaign)
        kept = self.root / _INPUTS
        if not kept.is_file():
            write_json(kept, inputs)
        elif changed := sorted(k for k, v in json.loads(kept.read_text()).items() if inputs.get(k) != v):
            raise CampaignError(
                f"{', '.join(changed)} changed since the campaign in {self.root} began; restore it, or give "
                "another --dir"
            )
        self.write_campaign(campaign if (begun := self.begun()) is None else campaign.with_basis_of(begun))

    def write_campaign(self, campaign: Campaign) -> None:
        """Write the campaign as it is started here."""
        write_campaign(self.campaign_file, campaign)

    def require_free_for(self, campaign: Campaign) -> None:
        """Refuse a directory that holds another campaign or anything else; writes nothing.

        Raises
        ------
        CampaignError
            If it does; a changed budget is no other campaign.
        """
        if self.exists():
            begun = self.read_campaign()
            differing = differences(begun.identity(), campaign.with_basis_of(begun).identity())
            if differing:
                raise CampaignError(
                    f"{self.root} holds another campaign: {', '.join(differing[:5])} differ from its campaign.yaml "
                    "(only budget, accuracy, validation, candidates.cutout and the oracle's limits may change); give "
                    "another --dir, or remove the directory to start anew"
                )
        elif self._holds_something_else():
            raise CampaignError(f"{self.root} is not empty and holds no campaign; give another --dir")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second ``mlip-fw run`` out while this one works here.

        Raises
        ------
        DirectoryError
            If another process holds the lock.
        """
        self._require_writable()
        with (self.root / ".lock").open("a+") as handle:
            if not any(try_lock(handle) for _ in range(_LOCK_TRIES)):
                handle.seek(0)
                raise DirectoryError(
                    f"another mlip-fw run (process {handle.read().strip() or 'unknown'}) works in {self.root}; "
                    "wait for it, or end it first"
                )
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()
            yield

    def is_locked(self) -> bool:
        """Return whether an ``mlip-fw run`` works here now."""
        try:
            with (self.root / ".lock").open("r") as handle:
                return not try_lock(handle, only_looking=True)
        except (OSError, DirectoryError):
            return False

    def record(self, event: Event, message: str | None = None, *, at: int = logging.INFO, **facts: Any) -> None:
        """Append an event to the journal, and write its line to the log.

        Parameters
        ----------
        event
            What happened.
        message
            Line of the log; None: none.
        at
            Level of that line, as of :mod:`logging`.
        facts
            What the event is about, as plain JSON values.

        Raises
        ------
        DirectoryError
            If the journal can't be written.
        """
        self.log_event(event, **facts)
        if message is not None:
            logger.log(at, "%s", message)

    def log_event(self, kind: str, **facts: Any) -> None:
        """Append one line to the journal; a line is written whole or not at all."""
        append_event(self.journal, kind, facts)

    def repair_journal(self) -> None:
        """Drop a last line that a crash left unfinished."""
        path = self.journal
        if path.is_file() and (text := path.read_text(errors="replace")) and not text.endswith("\n"):
            write_text(path, text[: text.rfind("\n") + 1])

    def events(self) -> list[dict[str, Any]]:
        """Return all whole events, oldest first; with those that came from other machines."""
        return merged_events([read_journal(path) for path in self.journals if path.is_file()])

    def _holds_something_else(self) -> bool:
        # FireWorks makes the first Firework's folder before that Firework can claim the directory
        own = {self.bootstrap.name, ".lock", _INPUTS, RECORDS_FOLDER}
        found = [path.name for path in self.root.iterdir()] if self.root.is_dir() else []
        return any(name not in own and not name.startswith(".writing-") for name in found)

    def _require_own_places(self) -> None:
        if found := next(links_out_of(self.root, _OWN_LINKS), None):
            raise DirectoryError(
                f"{found} is a link that leads out of the campaign directory, where nothing may be written; remove it, "
                "or give another --dir"
            )

    def _require_writable(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._require_own_places()
            probe = self.root / f".writing-probe-{os.getpid()}"
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise DirectoryError(
                f"can't write in the campaign directory {self.root}: {error.strerror}; give another --dir"
            ) from error


def input_hashes(campaign: Campaign) -> dict[str, str]:
    """Return the sha256 of every file that the campaign names."""
    return {key: _sha256(Path(name)) for key, name in campaign.named_files().items() if Path(name).is_file()}


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the keys, joined by dots, whose values differ."""
    names = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            names += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            names.append(f"{prefix}{key}")
    return names
