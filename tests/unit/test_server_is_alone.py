"""The LaunchPad server imports nothing else of mlip_fw: it could be a distribution of its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from fireworks import LaunchPad

from mlip_fw.errors import DirectoryError
from mlip_fw.launcher import local_server
from mlip_fw.launchpad import server
from mlip_fw.launchpad.server.control import start_server, stop_server
from mlip_fw.launchpad.server.system import ServerError, try_lock, write_private

PACKAGE = server.__name__
MODULES = sorted(Path(server.__file__).parent.glob("*.py"))
ALONE = """
import sys
from importlib import abc

class Nothing(abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        ours, package = name.partition(".")[0] == PACKAGE.partition(".")[0], PACKAGE
        if ours and not (package + ".").startswith(name + ".") and not name.startswith(package + "."):
            raise ImportError(f"{name} was imported")

sys.meta_path.insert(0, Nothing())
import importlib
for name in sys.argv[1:]:
    importlib.import_module(name)
print(sum(name.startswith(PACKAGE) for name in sys.modules))
"""


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_import_leaves_the_package(path):
    ours = [name for name in imported(path) if name.partition(".")[0] == PACKAGE.partition(".")[0]]
    assert [name for name in ours if name != PACKAGE and not name.startswith(f"{PACKAGE}.")] == []


def test_the_package_works_where_the_rest_of_mlip_fw_can_not_be_imported():
    names = [f"{PACKAGE}.{path.stem}" for path in MODULES if path.stem not in ("__init__", "__main__")]
    code = ALONE.replace("PACKAGE", repr(PACKAGE))
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) >= len(names) > 20
    refused = subprocess.run([sys.executable, "-c", code, "mlip_fw.errors"], capture_output=True, text=True)
    assert "mlip_fw.errors was imported" in refused.stderr


def test_the_rest_of_mlip_fw_gets_errors_of_its_own(tmp_path):
    (tmp_path / "something").touch()
    with pytest.raises(ServerError, match="not empty and no database"):
        start_server(tmp_path)
    with pytest.raises(DirectoryError, match="not empty and no database"):
        local_server.start_server(tmp_path)
    assert local_server.server_status(tmp_path / "none") is None
    assert local_server.stop_server(tmp_path / "none") is None


def test_a_server_that_was_started_answers_and_ends(tmp_path):
    facts = local_server.start_server(tmp_path / "db", with_this_process=True)
    try:
        pad = LaunchPad.from_file(str(facts.launchpad_file))
        assert pad.fw_id_assigner.count_documents({}) == 1
        assert facts.launchpad_file.stat().st_mode & 0o777 == 0o600
        pad.connection.close()
    finally:
        assert stop_server(tmp_path / "db") == facts
    assert local_server.server_status(tmp_path / "db") is None


def test_a_private_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "secret"
    write_private(path, "first")
    write_private(path, "second")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("second", 0o600)
    assert [one.name for one in tmp_path.iterdir()] == ["secret"]
    with pytest.raises(ServerError, match="can't write .*missing"):
        write_private(tmp_path / "missing" / "secret", "third")


def test_a_shared_lock_finds_the_holder(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    with path.open("r+") as holder, path.open() as other:
        assert try_lock(holder)
        assert not try_lock(other, shared=True)
    with path.open() as other, path.open() as another:
        assert try_lock(other, shared=True)
        assert try_lock(another, shared=True)
