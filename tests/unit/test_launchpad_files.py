"""Every my_launchpad.yaml of the documentation is one that FireWorks and pymongo take."""

import shutil
import subprocess
from importlib import resources

import pymongo
import pytest
from fireworks.core import launchpad as launchpad_module

from mlip_fw.cli.common import load_launchpad
from mlip_fw.launchpad.advice import explain
from mlip_fw.launchpad.names import CAMPAIGN_FIREWORKS
from tests.helpers.pages import DOCS, blocks_in
from tests.helpers.programs import ROOT, require

PAGE = DOCS / "how-to" / "mongodb-in-production.md"
FILES = [code for _, _, code in blocks_in(PAGE.read_text()) if code.startswith("host:")]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Return a file with a client certificate and its key, and one of who signed it: here the same."""
    require("openssl", shutil.which("openssl"))
    folder = tmp_path_factory.mktemp("certificates")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/O=example/OU=copper/CN=farm"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.pem")]
    subprocess.run([*command, *files], check=True, capture_output=True)
    (folder / "farm.pem").write_text((folder / "key.pem").read_text() + (folder / "ca.pem").read_text())
    return folder


@pytest.fixture
def load(request, tmp_path, monkeypatch):
    """Return a function that loads a file as commands do, but connects to nobody."""

    def client(*arguments, **options):
        return pymongo.MongoClient(*arguments, connect=False, **options)

    monkeypatch.setattr(launchpad_module, "MongoClient", client)

    def from_text(text, *, read_only=False):
        for name, here in {"/etc/ssl/certs/site-ca.pem": "ca.pem", "/home-of-me/.ssl/farm.pem": "farm.pem"}.items():
            if name in text:
                text = text.replace(name, str(request.getfixturevalue("certificate") / here))
        path = tmp_path / "my_launchpad.yaml"
        path.write_text(text.replace("$FW_DB_USER", "farm").replace("$FW_DB_PASSWORD", "a b:c@d/e%"))
        path.chmod(0o600)
        return load_launchpad(path, read_only=read_only)

    return from_text


@pytest.mark.parametrize("text", FILES)
@pytest.mark.filterwarnings("error")
def test_it_is_taken_with_every_option(load, text):
    pad = load(text)
    assert pad.name == "copper"
    options = pad.connection.options
    assert options.server_selection_timeout == 30, "workers wait longer than a failover takes"
    if "mongodb+srv" not in text:
        assert pad.connection.options.pool_options.socket_timeout in (None, 300)
    credentials = options._options.get("authmechanism", "DEFAULT"), options.pool_options._credentials
    if "X509" in text:
        assert credentials[1].source == "$external"
    elif "FW_DB_USER" in text:
        assert (credentials[1].username, credentials[1].password) == ("farm", "a b:c@d/e%")
    said = explain(pymongo.errors.OperationFailure("no", 18), pad)
    assert "a b:c@d/e%" not in said
    assert said.startswith("authentication failed for user farm at " if "FW_DB_USER" in text else "authentication")


@pytest.mark.parametrize("text", FILES)
def test_to_look_a_server_is_not_waited_for_so_long(load, text):
    options = load(text, read_only=True).connection.options
    assert options.server_selection_timeout == 4


def test_what_init_writes_builds_the_indexes_of_our_questions(load):
    template = resources.files("mlip_fw.cli") / "templates" / "my_launchpad.yaml"
    pad = load(template.read_text())
    assert (pad.user_indices, pad.wf_user_indices) == (["spec.campaign"], ["metadata.directory", "metadata.mlip_fw"])
    assert list(CAMPAIGN_FIREWORKS) == pad.user_indices
    assert template.read_text() == (ROOT / "my_launchpad.yaml").read_text()


def test_there_are_those_of_the_issue():
    together = "\n---\n".join(FILES)
    assert len(FILES) >= 5
    for form in ("replicaSet: rs0", "mongodb+srv://", "MONGODB-X509", "tls: true", "wf_user_indices"):
        assert form in together


def test_what_the_file_says_of_waiting_is_kept(load):
    text = "host: localhost\nname: copper\nmongoclient_kwargs: {serverSelectionTimeoutMS: 12000}\n"
    assert load(text, read_only=True).connection.options.server_selection_timeout == 12
    text = "host: mongodb://h/?serverSelectionTimeoutMS=9000\nuri_mode: true\nname: copper\n"
    assert load(text, read_only=True).connection.options.server_selection_timeout == 9


def test_collections_of_the_how_to_are_all_that_there_are():
    from fireworks.fw_config import GRIDFS_FALLBACK_COLLECTION

    from mlip_fw.launchpad.filepad import file_store
    from mlip_fw.launchpad.recovery import lease

    table = PAGE.read_text().partition("### Collections")[2].partition("To look takes")[0]
    listed = {name for line in table.splitlines() if line.startswith("| `") for name in line.split("|")[1].split("`")}
    gridfs = {
        f"{name}.{part}" for name in (GRIDFS_FALLBACK_COLLECTION, file_store.GRIDFS) for part in ("files", "chunks")
    }
    own = {file_store.FILEPAD, "mlip_fw_locks"}
    assert '"mlip_fw_locks"' in open(lease.__file__).read()
    assert {name for name in listed if name.strip(", ")} == {
        *("fireworks", "workflows", "launches", "offline_runs", "fw_id_assigner"),
        *gridfs,
        *own,
    }
