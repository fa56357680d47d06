"""What somebody else gives us runs no code, writes nowhere else and exhausts nothing."""

import json
import os
import pickle
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from pydantic import ValidationError
from ruamel.yaml import YAML

from mlip_fw import doctor
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.cli.main import main
from mlip_fw.engines.md.script import RunPlan, native_force_field, write_script
from mlip_fw.engines.oracle.label import make_label, require_oracle
from mlip_fw.engines.structures.start import start_structures
from mlip_fw.engines.train.given_files import check_given_files
from mlip_fw.errors import CampaignError, ChildError, DirectoryError, WorkerError
from mlip_fw.firetasks.base import CampaignTask
from mlip_fw.firetasks.md import RunMD
from mlip_fw.io.addresses import without_credentials
from mlip_fw.io.campaign_file import read_campaign
from mlip_fw.io.files import write_json
from mlip_fw.io.pace import read_active_set
from mlip_fw.io.structures import READABLE, read_any
from mlip_fw.launcher.retry import retry_handoffs
from mlip_fw.models.handoff import Handoff, LabelHandoff, MDHandoff, carry_over_key
from mlip_fw.models.label import QuarantineRecord
from mlip_fw.models.md import Stage
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.fork_server import ForkServer
from mlip_fw.views.report.html_report import write_report
from mlip_fw.workflows.loop import after_md
from tests.helpers.campaigns import SMALL, merged

HASH = "0123456789abcdef"
SOON_S = 60.0
EVIL = "import pathlib; pathlib.Path({!r}).touch()\ndef run(_): return 1\n"


class Evil:
    """A pickle of this touches a file when it is read."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.fixture
def marker(tmp_path):
    """Return a path that comes to be only if foreign code ran."""
    path = tmp_path / "pwned"
    yield path
    assert not path.exists(), "foreign code ran"


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Return a function that runs the command line in ``tmp_path`` and gives all that it says."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mlip-fw", *arguments])
        with pytest.raises(SystemExit):
            main()
        return "".join(capsys.readouterr())

    return call


def campaign_text(**changes):
    return json.dumps(merged(SMALL, changes))


def soon(started):
    assert time.process_time() - started < SOON_S


# campaign files


def test_tags_of_yaml_make_no_objects(tmp_path, marker):
    path = tmp_path / "c.yaml"
    path.write_text(f"campaign: !!python/object/apply:os.system ['touch {marker}']\n")
    with pytest.raises(CampaignError, match="not valid YAML"):
        read_campaign(path)


def laughs(key, first):
    """Return nine lines of YAML that stand for a billion values."""
    rows = [f"a0: &a0 {first}"]
    rows += [f"a{k}: &a{k} {key.format(f'*a{k - 1}')}" for k in range(1, 10)]
    return "\n".join(rows)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (laughs("[{0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}]", "[x]"), "written out"),
        (laughs("{{<<: [{0}, {0}], a: {0}, b: {0}, c: {0}}}", "{x: 1}"), "written out"),
        ("a: &a {b: *a}", "to itself"),
        ("[" * 400_000, "nested"),
        ("{a: " * 200_000, "nested"),
    ],
    ids=["lists", "merges", "itself", "brackets", "braces"],
)
def test_small_files_do_not_grow(tmp_path, text, said):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    started = time.process_time()
    with pytest.raises(CampaignError, match=said):
        read_campaign(path)
    soon(started)


def test_endless_campaign_file():
    with pytest.raises(CampaignError, match="at most"):
        read_campaign(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("calculator", "parameters"),
    [
        ("os:system", {"command": "touch {}"}),
        ("subprocess:Popen", {"args": ["touch", "{}"]}),
        ("aims", {"command": "touch {}"}),
        ("vasp", {"command": "touch {}", "xc": "pbe"}),
        ("ase.calculators.lammpslib:LAMMPSlib", {"lmpcmds": ["shell touch {}"]}),
        ("ase.calculators.calculator:FileIOCalculator", {"directory": "x", "command": "touch {}"}),
        ("ase.calculators.mixing:SumCalculator", {"calcs": [{"touch": "{}"}]}),
    ],
)
def test_calculator_that_would_run_a_text(small, tmp_path, marker, calculator, parameters):
    parameters = json.loads(json.dumps(parameters).replace("{}", str(marker)))
    oracle = small(oracle={"kind": "ase", "calculator": calculator, "parameters": parameters}).oracle
    with pytest.raises((CampaignError, WorkerError), match="trust it|if you trust this campaign"):
        require_oracle(oracle, Worker(), ["Cu"])
    with pytest.raises((CampaignError, WorkerError), match="trust it|if you trust this campaign"):
        make_label(bulk("Cu", cubic=True), oracle, Worker(), ["Cu"], tmp_path / "label")


def test_worker_says_which_calculators_it_trusts(small):
    name = "ase.calculators.eam:EAM"
    oracle = small(oracle={"kind": "ase", "calculator": name, "parameters": {"potential": "none.alloy"}}).oracle
    with pytest.raises(WorkerError, match=f"name {name} in env.trusted_calculators"):
        require_oracle(oracle, Worker(), ["Cu"])
    with pytest.raises(CampaignError, match=r"none\.alloy"):
        require_oracle(oracle, Worker(trusted_calculators=[name]), ["Cu"])


@pytest.mark.parametrize("parameters", [{"epsilon": 1.0}, {"sigma": 1, "smooth": True, "rc": None}])
def test_numbers_are_nobodys_code(small, parameters):
    oracle = small(oracle={"kind": "ase", "calculator": "ase.calculators.lj:LennardJones", "parameters": parameters})
    require_oracle(oracle.oracle, Worker(), ["Cu"])
    assert oracle.oracle.parameters == parameters


def test_modules_beside_a_campaign_are_not_imported(tmp_path, marker, monkeypatch):
    (tmp_path / "numpy.py").write_text(EVIL.format(str(marker)))
    (tmp_path / "mine.py").write_text(EVIL.format(str(marker)))
    monkeypatch.chdir(tmp_path)
    server = ForkServer()
    with pytest.raises(ChildError, match="No module named 'mine'"):
        server.call("mine:run", None)
    server.close()
    ended = subprocess.run([sys.executable, "-m", "mlip_fw", "--version"], capture_output=True, text=True)
    assert ended.stdout.startswith("mlip-fw"), ended.stderr


ESPRESSO = {"kind": "espresso", "ecutwfc_ry": 20.0}
VASP = {"kind": "vasp"}


@pytest.mark.parametrize(
    ("oracle", "said"),
    [
        ({**ESPRESSO, "namelists": {"system": {"nosym = .true., outdir": "/"}}}, "can't be a key of pw.x"),
        ({**ESPRESSO, "namelists": {"control": {"title='x'\n outdir": "/"}}}, "can't be a key of pw.x"),
        ({**ESPRESSO, "namelists": {"control": {"outdir!": "/"}}}, "can't be a key of pw.x"),
        ({**ESPRESSO, "namelists": {"control": {"title": "x\n/\n&system"}}}, "one line of plain text"),
        ({**ESPRESSO, "pseudopotentials": {"Cu": "../Cu.UPF"}}, "must be the name of a file"),
        ({**VASP, "incar": {"ALGO": "Fast\nNSW = 10"}}, "one line of plain text"),
        ({**VASP, "incar": {"ALGO": "Fast; NSW = 10"}}, "one line of plain text"),
        ({**VASP, "incar": {"ALGO = Fast\nNSW": 10}}, "can't be an INCAR tag"),
        ({**VASP, "potcars": {"Cu": "Cu/../../../etc"}}, "must be a POTCAR's symbol"),
        ({**VASP, "potcar_functional": "../x"}, "potcar_functional"),
    ],
)
def test_settings_say_no_more_than_their_value(small, oracle, said):
    with pytest.raises(CampaignError, match=said):
        small(oracle=oracle)


def test_arrays_of_pw_are_still_keys(small):
    system = {"Hubbard_U(1)": 4.0, "input_dft": "it's fine"}
    assert small(oracle={**ESPRESSO, "namelists": {"system": system}}).oracle.namelists["system"] == system


@pytest.mark.parametrize("path", ["x\nshell touch pwned", "x\rshell", "a\x00b", "both ' and \""])
@pytest.mark.parametrize("key", ["start", "potential"])
def test_no_path_becomes_a_command_of_lammps(tmp_path, path, key):
    plan = plan_with(tmp_path, **{key: tmp_path / path})
    with pytest.raises(CampaignError, match="LAMMPS can't read a path"):
        write_script(plan, native_force_field(plan))


@pytest.mark.parametrize("path", ["$(shell)", "${x}", "a b", "it's", "# no", "x & y", 'one " two'])
def test_odd_paths_are_quoted(tmp_path, path):
    plan = plan_with(tmp_path, start=tmp_path / path)
    [line] = [line for line in write_script(plan, native_force_field(plan)).splitlines() if "read_data" in line]
    quote = line[-1]
    assert quote in "'\""
    assert line.split(quote)[1] == str(tmp_path / path)


def plan_with(tmp_path, **changes):
    plan = {
        "title": "t",
        "elements": ("Cu",),
        "cutoff_a": 5.0,
        "potential": tmp_path / "p.yaml",
        "start": tmp_path / "s.data",
        "is_restart": False,
        "velocity_seed": 1,
        "stage": Stage(ensemble="nve", n_steps=10),
        "stage_first_step": 0,
        "stage_last_step": 10,
        "first_step": 0,
        "timestep_fs": 1.0,
        "gamma_halt": 10.0,
        "check_interval": 1,
    }
    return RunPlan(**{**plan, **changes})


# structures and potentials


def pickled(marker):
    return pickle.dumps(Evil(marker))


@pytest.mark.parametrize("name", ["s.traj", "s.pckl", "s.pickle", "s.extxyz", "s.db", "s.json", "s.nc", "POSCAR"])
def test_no_structure_file_is_unpickled(tmp_path, marker, name):
    (tmp_path / name).write_bytes(pickled(marker))
    with pytest.raises(CampaignError, match=r"structure\.file"):
        read_any(tmp_path / name, "structure.file")


FORMATS = ["s.db", "s.json", "s.gpw", "s.nc", "s.bundle", "s.py", "s.extxyz.gz", "s.cif.bz2", "s.xyz.xz"]


@pytest.mark.parametrize("name", FORMATS)
def test_only_formats_that_run_nothing_are_read(tmp_path, name):
    (tmp_path / name).write_bytes(b"32\n\nCu 0 0 0\n")
    with pytest.raises(CampaignError, match="which is not read from users: .* give one of extxyz"):
        read_any(tmp_path / name, "structure.file")


def test_directories_and_devices_are_no_structures(tmp_path):
    (tmp_path / "s.bundle").mkdir()
    for path in (tmp_path / "s.bundle", Path("/dev/zero")):
        with pytest.raises(CampaignError, match="there is no file"):
            read_any(path, "structure.file")


def test_usual_formats_are_read(tmp_path):
    atoms = bulk("Cu", cubic=True)
    for name in ("s.extxyz", "s.xyz", "s.traj", "s.cif", "POSCAR", "s.vasp", "s.xsf", "geometry.in", "with @.xyz"):
        write(tmp_path / name, atoms)
        assert len(read_any(tmp_path / name, "structure.file")[-1]) == 4
    assert "extxyz" in READABLE


def test_data_files_of_lammps_are_read_whatever_their_name(tmp_path):
    atoms = bulk("Cu", cubic=True)
    for name in ("s.data", "data.copper", "s.lmp"):
        write(tmp_path / name, atoms, format="lammps-data", masses=True)
        assert read_any(tmp_path / name, "structure.file")[-1].get_chemical_symbols() == ["Cu"] * 4
    write(tmp_path / "s.data", atoms, format="lammps-data")
    with pytest.raises(CampaignError, match="no section Masses"):
        read_any(tmp_path / "s.data", "structure.file")


@pytest.mark.parametrize("key", ["structure.file", "bootstrap.dataset", "potential.initial"])
def test_huge_files_are_refused_unread(small, tmp_path, key):
    path = tmp_path / "huge.xyz"
    with path.open("wb") as handle:
        handle.truncate(10_000_000_000)
    changes = {
        "structure.file": {"structure": {"bulk": None, "file": str(path)}},
        "bootstrap.dataset": {"bootstrap": {"dataset": str(path)}},
        "potential.initial": {"potential": {"initial": str(path)}},
    }
    started, campaign = time.process_time(), small(**changes[key])
    with pytest.raises(CampaignError, match=f"{key}: .* has 10000000000 bytes"):
        start_structures(campaign)
        check_given_files(campaign)
    soon(started)


def test_no_active_set_is_unpickled(tmp_path, marker):
    np.savez(tmp_path / "p.npz", Cu=np.array([Evil(marker)], dtype=object))
    with pytest.raises(CampaignError, match="can't read the active set"):
        read_active_set(tmp_path / "p.npz", ["Cu"])
    (tmp_path / "p.asi").write_bytes(pickled(marker))
    with pytest.raises(CampaignError, match="can't read the active set"):
        read_active_set(tmp_path / "p.asi", ["Cu"])


def test_active_set_that_fills_the_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / "p.asi", "w", zipfile.ZIP_DEFLATED) as packed:
        with packed.open("Cu.npy", "w", force_zip64=True) as part:
            np.lib.format.write_array_header_1_0(part, {"descr": "<f8", "fortran_order": False, "shape": (5000, 5000)})
            for _ in range(200):
                part.write(bytes(1_000_000))
    assert (tmp_path / "p.asi").stat().st_size < 1_000_000
    with pytest.raises(CampaignError, match="can't read the active set"):
        read_active_set(tmp_path / "p.asi", ["Cu"])


def test_potential_is_read_as_data(small, tmp_path, marker):
    (tmp_path / "p.yaml").write_text(f"elements: !!python/object/apply:os.system ['touch {marker}']\n")
    (tmp_path / "p.asi").write_bytes(b"")
    with pytest.raises(CampaignError, match="pyace can't read"):
        check_given_files(small(potential={"initial": str(tmp_path / "p.yaml")}))


# hand-offs and directories


@pytest.mark.parametrize("start", ["/etc/passwd", "{}/../x.restart", "{}/a\nshell touch pwned", "{}x/y", "y.restart"])
def test_no_start_outside_of_the_campaign(small, tmp_path, start):
    root, start = tmp_path / "c", start.format(tmp_path / "c")
    with pytest.raises(ValidationError, match="not in the campaign directory"):
        MDHandoff(campaign=small(), directory=str(root), walker=0, start=start)
    spec = {carry_over_key(0, 0): {"start": start, "cycle": 1, "turns": 0}}
    with pytest.raises(ValidationError, match="not in the campaign directory"):
        MDHandoff(campaign=small(), directory=str(root), walker=0).with_carry_over(spec)


def test_start_inside_of_the_campaign(small, tmp_path):
    start = str(tmp_path / "c" / "walkers" / "00" / "end.restart")
    spec = {carry_over_key(0, 1): {"start": start, "cycle": 1, "turns": 0}}
    handoff = MDHandoff(campaign=small(), directory=str(tmp_path / "c"), walker=0, stage=1).with_carry_over(spec)
    assert (handoff.start, handoff.cycle) == (start, 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hash": "../../../../etc/x"}, "hash"),
        ({"hash": HASH + "/x"}, "hash"),
        ({"structures": "/etc/passwd"}, "not in the campaign directory"),
        ({"structures": "/c/../etc/x.extxyz"}, "not in the campaign directory"),
    ],
)
def test_no_label_outside_of_the_campaign(small, changes, said):
    good = {"hash": HASH, "structures": "/c/bootstrap/selected.extxyz", "index": 0, "directory": "/c"}
    LabelHandoff(campaign=small(), **good)
    with pytest.raises(ValidationError, match=said):
        LabelHandoff(campaign=small(), **{**good, **changes})


@pytest.mark.parametrize("then", ["os:system", "mlip_fw.workflows.loop:write_json", "mlip_fw.workflows.loop", "os"])
def test_spec_names_no_other_code(small, then):
    handoff = Handoff(campaign=small(), directory="/c").plain()
    with pytest.raises(CampaignError, match="must be mlip_fw.workflows.loop:after_…"):
        CampaignTask(handoff=handoff, then=then).then()
    assert CampaignTask(handoff=handoff, then="mlip_fw.workflows.loop:after_md").then() is after_md


def test_spec_that_leads_elsewhere_is_told_in_one_paragraph(small):
    handoff = {**Handoff(campaign=small(), directory="/c").plain(), "walker": 0, "start": "/etc/passwd"}
    with pytest.raises(CampaignError, match="not in the campaign directory /c; add the campaign again") as caught:
        RunMD(handoff=handoff).run_task({})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("directory", ["c", "../c", "", "/c\nx"])
def test_directory_of_a_campaign_has_one_place(small, directory):
    with pytest.raises(ValidationError, match="directory"):
        Handoff(campaign=small(), directory=directory)


def test_quarantine_that_names_another_place(small, tmp_path):
    directory = CampaignDirectory(tmp_path / "c")
    directory.claim(small())
    record = QuarantineRecord(hash="../../x", reason="no", level_of_theory={})
    write_json(directory.root / "quarantine" / "evil.json", record)
    with pytest.raises(ValidationError, match="hash"):
        retry_handoffs(directory, [])
    with pytest.raises(DirectoryError, match="not in the quarantine"):
        retry_handoffs(directory, ["../y"])


@pytest.mark.parametrize(
    "name", ["labels", "walkers/00", "potentials/rows", "labelling/" + HASH, "quarantine", "events.jsonl", ".lock"]
)
def test_links_do_not_lead_out_of_a_directory(small, tmp_path, name):
    """A campaign directory from somebody else is taken up."""
    directory, elsewhere = CampaignDirectory(tmp_path / "c"), tmp_path / "precious"
    directory.claim(small())
    elsewhere.write_text("mine")
    (directory.root / name).parent.mkdir(parents=True, exist_ok=True)
    (directory.root / name).symlink_to(elsewhere)
    with pytest.raises(DirectoryError, match="leads out of the campaign directory"):
        directory.claim(small())
    with pytest.raises(DirectoryError, match="leads out of the campaign directory"), directory.locked():
        pass
    assert elsewhere.read_text() == "mine"


def test_links_that_stay_or_are_ours(small, tmp_path):
    directory = CampaignDirectory(tmp_path / "c")
    directory.claim(small())
    work = directory.root / "labelling" / HASH
    (work / "pseudo").mkdir(parents=True)
    (work / "pseudo" / "Cu.UPF").symlink_to("/usr/share/Cu.UPF")
    (work / "tmp").symlink_to(tmp_path / "scratch")
    (directory.root / "newest").symlink_to("potentials")
    (tmp_path / "link").symlink_to(directory.root)
    directory.claim(small())
    assert (work / "tmp").readlink() == tmp_path / "scratch"
    assert (directory.root / "newest").readlink() == Path("potentials")
    CampaignDirectory(tmp_path / "link").claim(small())


# what is shown


def test_report_shows_reasons_as_text(small, tmp_path):
    directory = CampaignDirectory(tmp_path / "c")
    directory.claim(small())
    record = QuarantineRecord(hash=HASH, reason="<script>alert(1)</script>", level_of_theory={})
    write_json(directory.root / "quarantine" / f"{HASH}.json", record)
    write_report(directory, tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_terminal_shows_reasons_as_text(small, tmp_path, cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    directory = CampaignDirectory(tmp_path / "c")
    directory.claim(small())
    directory.log_event("run_started")
    record = QuarantineRecord(hash=HASH, reason="[/red] [link=x]y[/link] \x1b[2J\x1b]0;title\x07", level_of_theory={})
    write_json(directory.root / "quarantine" / f"{HASH}.json", record)
    shown = cli("status", "c")
    assert "[/red] [link=x]y[/link] \\x1b[2J" in shown
    assert "\x1b" not in shown


def test_errors_do_nothing_to_the_terminal(tmp_path, cli):
    (tmp_path / "c.yaml").write_text(campaign_text(structure={"bulk": None, "file": "\x1b[2J.xyz"}))
    said = cli("check", "c.yaml")
    assert "there is no file" in said
    assert "\x1b" not in said


# credentials

SECRET = "hunter2-correct-horse"
NOBODY = "127.0.0.1:9"
"""The port of ``discard``: nothing listens there."""


def launchpad_file(folder, **changes):
    path = folder / "my_launchpad.yaml"
    data = {"host": "127.0.0.1", "port": 9, "name": "x", "username": "me", "password": SECRET, **changes}
    data["mongoclient_kwargs"] = {"serverSelectionTimeoutMS": 100}
    YAML(typ="safe").dump(data, path)
    path.chmod(0o600)
    return path


URI = {"uri_mode": True, "host": f"mongodb://me:{SECRET}@{NOBODY}/x?tlsCertificateKeyFilePassword={SECRET}"}
PLACES = {
    "password": {},
    "uri": URI,
    "uri without its mode": {"host": f"mongodb://me:{SECRET}@{NOBODY}/", "username": None, "password": None},
    "unescaped": {**URI, "host": f"mongodb://me:{SECRET}/{SECRET}@{NOBODY}/x"},
    "bad port": {**URI, "host": f"mongodb://me@{NOBODY}:{SECRET}/x"},
}


@pytest.mark.parametrize("changes", PLACES.values(), ids=PLACES)
def test_no_error_tells_a_password(tmp_path, cli, changes):
    launchpad_file(tmp_path, **changes)
    (tmp_path / "c.yaml").write_text(campaign_text())
    said = cli("add", "c.yaml", "--traceback")
    assert SECRET not in said
    assert "error: " in said
    assert "LaunchPad" in said


def test_doctor_tells_no_password():
    pad = SimpleNamespace(host=URI["host"], name="x", connection=MagicMock(), workflows=MagicMock())
    assert doctor._database(pad).startswith(f"{NOBODY}/x, database x: ")


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        (None, "localhost"),
        ("db", "db"),
        ("mongodb://a,b:1/?replicaSet=r", "mongodb://a,b:1/"),
        (f"mongodb+srv://me:{SECRET}@db/x", "db/x"),
        (f"mongodb://me:p@{SECRET}@db", "db"),
    ],
)
def test_addresses_without_credentials(host, shown):
    assert without_credentials(host) == shown


@pytest.mark.parametrize("text", [f"password: '{SECRET}\n", f"host: x\n password: {SECRET}\n", f"passwrd: {SECRET}\n"])
def test_broken_launchpad_file_is_not_quoted(tmp_path, cli, text):
    (tmp_path / "my_launchpad.yaml").write_text(text)
    (tmp_path / "c.yaml").write_text(campaign_text())
    said = cli("add", "c.yaml", "--traceback")
    assert "can't open the LaunchPad of my_launchpad.yaml" in said
    assert SECRET not in said


def test_nothing_that_is_written_holds_a_password(tmp_path, cli, lent_lmp):
    """A whole campaign, its workflow file and its report, beside a LaunchPad file with a password."""
    kept = launchpad_file(tmp_path)
    worker = {"name": "w", "category": "", "query": "{}", "env": {"lmp_cmd": f"{lent_lmp} --halt-at 50"}}
    YAML(typ="safe").dump(worker, tmp_path / "my_fworker.yaml")
    (tmp_path / "c.yaml").write_text(campaign_text())
    commands = ("workflow c.yaml -o wf.yaml", "run c.yaml", "report small", "status small")
    said = "".join(cli(*command.split()) for command in commands)
    assert "CONVERGED" in said
    assert SECRET not in said
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != kept]
    assert len(files) > 20
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_launchpad_file_that_others_can_read_is_told(tmp_path, cli):
    launchpad_file(tmp_path).chmod(0o644)
    (tmp_path / "c.yaml").write_text(campaign_text())
    assert "others can read it: chmod 600 my_launchpad.yaml" in cli("add", "c.yaml")
    (tmp_path / "my_launchpad.yaml").chmod(0o600)
    assert "chmod" not in cli("add", "c.yaml")


def test_launchpad_file_of_init_is_for_its_owner(tmp_path, cli):
    cli("init", "new")
    assert (tmp_path / "new" / "my_launchpad.yaml").stat().st_mode & 0o777 == 0o600
