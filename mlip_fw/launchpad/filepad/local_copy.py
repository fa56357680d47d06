"""This machine's local copy of a campaign whose files are on the FilePad."""

from __future__ import annotations

import errno
import logging
import shutil
import uuid
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.errors import FilePadError, NumberTakenError
from mlip_fw.io.files import atomic_file, read_model
from mlip_fw.launchpad.filepad.event_log import publish_journal
from mlip_fw.launchpad.filepad.file_store import FileStore
from mlip_fw.launchpad.filepad.path_map import PathMap
from mlip_fw.launchpad.filepad.published_files import FileRecord, Marker
from mlip_fw.launchpad.filepad.staging import ALL, GENERATION_PREFIX, PARTS, REPLACED, StagingSpec
from mlip_fw.models.training import TrainingRecord

logger = logging.getLogger("mlip_fw")


class LocalCopy:
    """Fetches files that are missing or differ here, and publishes new ones.

    Parameters
    ----------
    places
        Paths of the copy.
    store
        Published files.
    """

    def __init__(self, places: PathMap, store: FileStore) -> None:
        self.places, self.store, self.root = places, store, places.root
        self.fetched: list[FileRecord] = []
        """Files that were fetched so far."""
        self._newest: int | None = None

    def fetch(self, spec: StagingSpec) -> None:
        """Fetch the files that a Firework needs.

        The newest generation is looked up first: then all labels that it was trained on are published already.
        """
        for file_set in sorted(spec.file_sets, key=lambda file_set: not file_set.newest):
            for marker in self.store.below(file_set.below, newest=file_set.newest, limit=file_set.limit):
                self._download(marker, file_set.only)
                if file_set.newest:
                    self._newest = int(PurePosixPath(marker.path).parent.name.removeprefix("gen_"))
        dataset = Dataset(self.root)
        if spec.all_label_names:
            dataset.note_elsewhere([PurePosixPath(path).stem for path in self.store.names_below("labels/")])
        for record in dataset.quarantined():
            if dataset.has_anywhere(record.hash):
                dataset.release(record.hash)

    def publish(self, patterns: Iterable[str]) -> bool:
        """Publish files that match; return False if another machine was first with some, whose version is here now."""
        made = self._made(patterns)
        is_first = self._publish(made, self.store.named(made))
        publish_journal(self.root, self.store)
        return is_first

    def publish_all(self) -> None:
        """Publish all files of a campaign directory that was used before it was added with ``files: filepad``."""
        made = self._made(ALL)
        known = self.store.named(made)
        self._publish({name: path for name, path in made.items() if name not in known}, {})
        if not self.store.names_below("events/"):
            publish_journal(self.root, self.store)

    def _publish(self, made: dict[str, Path], known: dict[str, Marker]) -> bool:
        is_first, labelled = True, []
        for name, path in made.items():
            marker = known.get(name)
            content = self.places.content_there(name, path.read_bytes())
            if any(map(path.match, REPLACED)) and not (marker is not None and marker.holds(content)):
                self.store.replace(name, content, self._parts(path))
                continue
            if marker is None:
                marker = self.store.publish(name, content, self._parts(path))
                labelled += [PurePosixPath(name).stem] if name.startswith("labels/") else []
            if not marker.holds(content):
                logger.info("%s was published by %s first", name, marker.by)
                self._download(marker)
                is_first = False
        self.store.remove(f"quarantine/{name}.json" for name in labelled)
        return is_first

    def generations(self) -> Generations:
        """Return the generations up to the newest that was fetched; a new one is published before it appears here."""
        return Generations(self.root, claim=self._claim, newest=self._newest)

    def _claim(self, number: int, draft: Path) -> None:
        """Publish a generation, after all labels that it was trained on.

        Raises
        ------
        NumberTakenError
            If another machine has published this number.
        """
        record = read_model(draft / "training.json", TrainingRecord)
        assert record is not None
        if not self.publish(f"labels/{name}.extxyz" for name in record.new_labels):
            raise NumberTakenError("another machine has published labels of this training meanwhile")
        name = f"{GENERATION_PREFIX}{number:04d}/training.json"
        parts = self._parts(draft / "training.json", PurePosixPath(name).parent)
        content = (draft / "training.json").read_bytes()
        marker = self.store.publish(name, content, parts)
        if not marker.holds_all(content, parts):
            raise NumberTakenError(f"{marker.by} has published generation {number} meanwhile")
        self._newest = number

    def _parts(self, marker: Path, folder: PurePosixPath | None = None) -> dict[str, bytes]:
        """Return the files that are published with a marker, by the paths that they get."""
        patterns = PARTS.get(marker.name, ())
        if marker.parent == self.root / "quarantine":
            patterns = (f"{marker.stem}.extxyz", f"{marker.stem}/[!.]*")
        found = [path for pattern in patterns for path in sorted(marker.parent.glob(pattern)) if path.is_file()]
        at = PurePosixPath(self._name(marker.parent)) if folder is None else folder
        return {str(at / path.relative_to(marker.parent)): path.read_bytes() for path in found}

    def _download(self, marker: Marker, only: tuple[str, ...] = ("*",)) -> None:
        """Write a marker and its parts, as far as wanted and missing; if they were replaced meanwhile, the new ones."""
        try:
            self._download_version(marker, only)
        except FilePadError:
            now = self.store.named([marker.path]).get(marker.path)
            if now == marker:
                raise
            if now is not None:
                self._download(now, only)

    def _download_version(self, marker: Marker, only: tuple[str, ...]) -> None:
        """Write this version of a marker and its parts, the marker last."""
        wanted: list[FileRecord] = [
            filed
            for filed in (*marker.parts, marker)
            if any(fnmatch(PurePosixPath(filed.path).name, pattern) for pattern in only)
        ]
        missing = [filed for filed in wanted if not self._has(filed)]
        self.fetched += missing
        folder = self.places.path_here(marker.path).parent
        if marker.path.startswith(GENERATION_PREFIX) and not folder.exists():
            self._download_generation(marker, missing, folder)
            return
        for filed in missing:
            _write(
                self.places.path_here(filed.path), self.places.content_here(filed.path, self.store.read(filed, marker))
            )

    def _download_generation(self, marker: Marker, missing: list[FileRecord], folder: Path) -> None:
        """Write a new generation under a temporary name and rename it, so that it appears at once."""
        draft = folder.with_name(f".draft-{uuid.uuid4().hex[:8]}")
        try:
            for filed in missing:
                at = self.places.path_here(filed.path).relative_to(folder)
                _write(draft / at, self.store.read(filed, marker))
            draft.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            # another process of this machine has written it meanwhile
            self._download(marker, tuple(PurePosixPath(filed.path).name for filed in missing))
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _has(self, filed: FileRecord) -> bool:
        path = self.places.path_here(filed.path)
        if not path.is_file():
            return False
        is_same = filed.holds(self.places.content_there(filed.path, path.read_bytes()))
        if not is_same:
            logger.warning("%s is not what was published; it is fetched again", path)
        return is_same

    def _made(self, patterns: Iterable[str]) -> dict[str, Path]:
        return {self._name(path): path for pattern in patterns for path in sorted(self.root.glob(pattern))}

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _write(path: Path, content: bytes) -> None:
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)
