"""What an earlier version began goes on with this one: a campaign directory, and Fireworks on a LaunchPad."""

import json
import lzma
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from bson import json_util
from fireworks import LaunchPad

from mlip_fw.launchpad.server.control import start_server, stop_server
from tests.helpers.programs import ROOT, check_contract

pytestmark = pytest.mark.real
EARLIER = ROOT / "tests" / "data" / "earlier"
RECORDED = "/recorded"
BIN = Path(sys.executable).parent
_TIMEOUT_S = 600


def call(*words, folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        list(map(str, words)), cwd=folder, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def put_back(folder):
    """Unpack the recorded directory under its name in ``folder``, and return it with what lay there."""
    root = folder / "dir"
    with tarfile.open(EARLIER / "directory.tar.xz") as archive:
        archive.extractall(root, filter="data")
    for path in root.rglob("*.json"):
        path.write_text(path.read_text().replace(RECORDED, str(folder)))
    old = [*root.glob("labels/*.extxyz"), *root.glob("potentials/gen_0000/*"), *root.glob("walkers/00/cycle_0000/*")]
    return root, {path: path.read_bytes() for path in old if path.is_file() and path.name != "FW.json"}


def require_gone_on(root, old):
    """Check that all that was there is as it was, and that the MD went on from its halt."""
    assert len(old) > 15
    changed = [path.name for path, was in old.items() if not path.is_file() or path.read_bytes() != was]
    assert not changed
    first, second = (json.loads((root / f"walkers/00/cycle_000{k}/result.json").read_text()) for k in (0, 1))
    assert (first["outcome"], first["step"]) == ("halted", 110)
    assert second["step"] > 110
    trained = json.loads((root / "potentials/gen_0001/training.json").read_text())
    assert (trained["parent"], trained["new_labels"]) == (0, ["9accaa7656a30d69"])
    kinds = [json.loads(line)["event"] for line in (root / "events.jsonl").read_text().splitlines()]
    # frames that were audited at the end are labelled beside those that are trained on
    labels = {path.name for folder in ("labels", "audit/labels") for path in root.glob(f"{folder}/*.extxyz")}
    assert kinds.count("labelled") == len(labels)


def test_a_directory_goes_on(tmp_path):
    root, old = put_back(tmp_path)
    said = call(BIN / "mlip-fw", "run", EARLIER / "campaign.yaml", "--dir", root, "--json", folder=tmp_path)
    assert json.loads(said)["outcome"] == "CONVERGED"
    require_gone_on(root, old)
    check_contract(root, said, tmp_path)


def test_a_launchpad_goes_on(tmp_path):
    root, old = put_back(tmp_path)
    home = tmp_path / "launchpad"
    home.mkdir(mode=0o700)
    (home / "lock").touch()
    (home / "launchpad.sqlite").write_bytes(lzma.decompress((EARLIER / "launchpad.sqlite.xz").read_bytes()))
    server = start_server(home, with_this_process=True)
    try:
        pad = LaunchPad.from_file(str(server.launchpad_file))
        move_to(pad, str(tmp_path))
        assert pad.fireworks.count_documents({"state": "COMPLETED"}) == 7
        worker = tmp_path / "my_fworker.yaml"
        worker.write_text("name: laptop\ncategory: ''\nquery: '{}'\nenv: {}\n")
        rapidfire = ("rapidfire", "--sleep", "1", "--max_loops", "3")
        call(BIN / "mlip-fw", "rlaunch", "-l", server.launchpad_file, "-w", worker, *rapidfire, folder=tmp_path)
        assert {found["state"] for found in pad.fireworks.find({}, {"state": 1})} == {"COMPLETED"}
    finally:
        stop_server(home)
    assert json.loads((root / "summary.json").read_text())["outcome"] == "CONVERGED"
    require_gone_on(root, old)


def move_to(pad, folder):
    """Let all documents name ``folder`` where they name the folder of the recording."""
    for name in pad.db.list_collection_names():
        collection = pad.db[name]
        for document in list(collection.find()):
            moved = json_util.dumps(document).replace(RECORDED, folder)
            collection.replace_one({"_id": document["_id"]}, json_util.loads(moved))
