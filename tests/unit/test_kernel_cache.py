"""Compiled code is made once for each machine, wherever it may be kept."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import pytest

from mlip_fw.engines.ace.kernel import cache, ready


@pytest.fixture
def surroundings(monkeypatch, tmp_path):
    """Return a function that says where compiled code is kept with some environment."""

    def where(**environment):
        for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        for name, value in environment.items():
            monkeypatch.setenv(name, str(value))
        place = cache.folder.__wrapped__()
        return None if place is None else place.parent

    return where


def test_where_compiled_code_is_kept(surroundings, tmp_path):
    assert surroundings() == tmp_path / "home" / ".cache" / "mlip-fw"
    assert surroundings(XDG_CACHE_HOME=tmp_path / "x") == tmp_path / "x" / "mlip-fw"
    assert surroundings(XDG_CACHE_HOME=tmp_path / "x", NUMBA_CACHE_DIR=tmp_path / "n") == tmp_path / "n"
    assert surroundings(NUMBA_CACHE_DIR="/proc/none") == tmp_path / "home" / ".cache" / "mlip-fw"
    unwritable = surroundings(HOME="/proc", NUMBA_CACHE_DIR="/proc/none")
    assert (unwritable.parent, unwritable.name[:8]) == (tmp_path, "mlip-fw-")
    assert unwritable.stat().st_mode & 0o777 == 0o700 or unwritable.stat().st_mode & 0o022 == 0


def test_a_folder_that_others_may_write_is_not_used(surroundings, tmp_path):
    place = tmp_path / "home" / ".cache" / "mlip-fw" / f"kernel-{cache._key()}"
    place.mkdir(parents=True)
    place.chmod(0o777)
    assert surroundings().parent == tmp_path


def test_nowhere_to_write(surroundings, monkeypatch):
    monkeypatch.setattr(cache, "_bases", lambda: iter([Path("/proc/1/none"), Path("/proc")]))
    assert surroundings() is None


def test_another_processor_or_version_has_another_folder(monkeypatch):
    here = cache._key()
    assert here == cache._key()
    assert len(here) == 16
    monkeypatch.setattr(numba, "__version__", "0.1")
    other = cache._key()
    monkeypatch.undo()
    magic = cache.cpu_target.target_context.codegen().magic_tuple()
    codegen = type(cache.cpu_target.target_context.codegen())
    monkeypatch.setattr(codegen, "magic_tuple", lambda self: (*magic[:2], "+another"))
    assert len({here, other, cache._key()}) == 3


def test_all_that_is_compiled_counts():
    """Whatever the compiled functions take from other modules must be among those that name the folder."""
    folder = Path(cache.__file__).parent
    texts = {path.stem: path.read_text() for path in folder.glob("*.py")}
    of_package = re.compile(rf"^from {re.escape(cache.__name__.rpartition('.')[0])}\.(\w+) import", re.MULTILINE)
    compiled = {name for name, text in texts.items() if re.search("^@(compiled|entry|intrinsic)", text, re.MULTILINE)}
    needed = set(compiled)
    for name in compiled:
        needed |= set(of_package.findall(texts[name]))
    assert {"rows", "vector", "radial"} <= needed <= set(cache.COMPILED)


class Compiled:
    """What stands for a function of numba."""

    def __init__(self, error=None):
        self.calls, self.error, self._turn = 0, error, threading.Lock()

    def compile(self, signature):
        assert signature == "signature"
        with self._turn:
            self.calls += 1
            if self.error is not None and self.calls == 1:
                raise self.error


def test_of_many_that_start_at_once_one_compiles(monkeypatch, tmp_path):
    """The others load what it has made."""
    said, function = [], Compiled()
    monkeypatch.setattr(ready, "_SIGNATURES", [(function, "signature")])
    monkeypatch.setattr(ready, "folder", lambda: tmp_path)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ready.make_ready(said.append), range(4)))
    assert (function.calls, (tmp_path / "compiled").is_file()) == (4, True)
    assert [line.partition(" ")[0] for line in said] == ["compiling", "compiled"]
    assert re.fullmatch(r"compiled in \d+ s; kept in .*", said[1])
    ready.make_ready(said.append)
    assert len(said) == 2


def test_a_full_disk_does_not_stop_what_is_compiled(monkeypatch, tmp_path, caplog):
    function = Compiled(OSError(28, "No space left on device"))
    monkeypatch.setattr(ready, "_SIGNATURES", [(function, "signature")])
    monkeypatch.setattr(ready, "folder", lambda: tmp_path)
    with caplog.at_level("INFO", "mlip_fw"):
        ready.make_ready()
    assert "can't be kept in" in caplog.text
    assert function.calls == 2


def test_a_process_without_a_folder_compiles_for_itself(monkeypatch):
    said, function = [], Compiled()
    monkeypatch.setattr(ready, "_SIGNATURES", [(function, "signature")])
    monkeypatch.setattr(ready, "folder", lambda: None)
    ready.make_ready(lambda line: said.append((line, function.calls)))
    assert function.calls == 1
    assert said == [
        ("compiling the ACE kernel: half a minute in each process, as no folder can be written; set NUMBA_CACHE_DIR", 0)
    ]
    ready.load()
    assert function.calls == 1
