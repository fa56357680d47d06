"""Publish the event log of a machine, in parts: each holds the lines since the last time."""

from __future__ import annotations

import uuid
from pathlib import Path

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.errors import FilePadError
from mlip_fw.io.files import read_model, write_json
from mlip_fw.io.locks import exclusive_lock
from mlip_fw.launchpad.filepad.file_store import FileStore
from mlip_fw.launchpad.filepad.published_files import sha256_of
from mlip_fw.models.base import Count, Frozen
from mlip_fw.runtime.worker_record import RECORDS_FOLDER


class Published(Frozen):
    """How much of a copy's event log is published."""

    copy_id: str
    n_bytes: Count = 0


def publish_journal(root: Path, store: FileStore) -> None:
    """Publish the complete lines of the event log that are not published yet.

    A part is named after its offset. If it exists already, a process was killed after it had published the part and
    before it could record that; publishing goes on behind it.
    """
    directory, note = CampaignDirectory(root), root / RECORDS_FOLDER / "journal.json"
    if not directory.journal.is_file():
        return
    with exclusive_lock(root / RECORDS_FOLDER / "journal.lock"):
        so_far = read_model(note, Published) or Published(copy_id=uuid.uuid4().hex[:12])
        # written before the first part: a new copy_id would publish everything again
        write_json(note, so_far)
        while new := _whole_lines(directory.journal, so_far.n_bytes):
            marker = store.publish(f"events/{so_far.copy_id}-{so_far.n_bytes:012d}.jsonl", new)
            if not marker.size or marker.sha256 != sha256_of(new[: marker.size]):
                raise FilePadError(f"{marker.path} of {store.key} in the LaunchPad's FilePad is not from {note}")
            so_far = so_far.model_copy(update={"n_bytes": so_far.n_bytes + marker.size})
            write_json(note, so_far)


def _whole_lines(path: Path, start: int) -> bytes:
    with path.open("rb") as handle:
        handle.seek(start)
        new = handle.read()
    return new[: new.rfind(b"\n") + 1]
