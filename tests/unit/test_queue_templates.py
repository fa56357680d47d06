"""The queue adapters and worker files that ``mlip-fw init`` writes: what job scripts come out of them."""

import os
import re
import subprocess
import warnings
from pathlib import Path

import pytest
from fireworks import FWorker
from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter
from ruamel.yaml import YAML
from typer.testing import CliRunner

from mlip_fw.cli.main import app
from mlip_fw.firetasks.base import read_worker
from mlip_fw.workflows import build
from tests.helpers.programs import ROOT

CATEGORIES = ["md", "dft", "train"]
QUEUES = {"slurm": "#SBATCH ", "pbs": "#PBS ", "sge": "#$ "}
NO_RERUN = {"slurm": "#SBATCH --no-requeue", "pbs": "#PBS -r n", "sge": "#$ -r n"}


@pytest.fixture(params=QUEUES)
def queue(request):
    """Return the name of a batch system."""
    return request.param


@pytest.fixture(params=["project", "my 'own' project"])
def project(request, queue, tmp_path):
    """Return a folder that ``mlip-fw init`` has filled for that batch system."""
    folder = tmp_path / request.param
    done = CliRunner().invoke(app, ["init", str(folder), "--queue", queue])
    assert done.exit_code == 0, done.output
    return folder


def adapter_of(path: Path) -> CommonAdapter:
    """Return the queue adapter in a file; FireWorks' own way would import its tests, too."""
    content = YAML(typ="safe", pure=True).load(path)
    assert content["_fw_name"] == "CommonAdapter"
    return CommonAdapter.from_dict(content)


def script_of(project: Path, category: str) -> str:
    """Return the job script of a Firework that was reserved for a job."""
    adapter = adapter_of(project / "fw_configs" / f"my_qadapter_{category}.yaml")
    adapter["rocket_launch"] += " --fw_id 7"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return adapter.get_script_str(str(project))


def seconds(walltime: str) -> int:
    """Return hours, minutes and seconds as seconds."""
    hours, minutes, rest = map(int, walltime.split(":"))
    return 3600 * hours + 60 * minutes + rest


@pytest.mark.parametrize("category", CATEGORIES)
class TestJobScripts:
    def test_bash_can_read_it(self, project, category):
        done = subprocess.run(["bash", "-n"], input=script_of(project, category), text=True, capture_output=True)
        assert done.returncode == 0, done.stderr

    def test_directives_stand_before_the_first_command(self, project, queue, category):
        lines = [line for line in script_of(project, category).splitlines()[1:] if line]
        directives = [line.startswith(QUEUES[queue]) for line in lines if line[:2] != "# "]
        assert True in directives
        assert directives == sorted(directives, reverse=True)

    def test_job_is_not_started_a_second_time(self, project, queue, category):
        assert NO_RERUN[queue] in script_of(project, category).splitlines()

    def test_no_placeholder_is_left_that_the_job_needs(self, project, category):
        assert "/path/to" not in script_of(project, category)

    def test_worker_takes_the_place_of_the_shell_and_gets_all_that_it_needs(self, project, category, tmp_path):
        """What the queue signals is the script's own process: it has to be the worker."""
        command = script_of(project, category).splitlines()
        launch = next(line for line in command if line.startswith("exec "))
        (tmp_path / "mlip-fw").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        (tmp_path / "mlip-fw").chmod(0o755)
        path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        given = subprocess.run(["bash", "-c", launch], env=path, text=True, capture_output=True).stdout.splitlines()
        worker = project / "fw_configs" / f"my_fworker_{category}.yaml"
        assert given == [
            "rlaunch", "-l", str(project / "my_launchpad.yaml"), "-w", str(worker), "singleshot", "--fw_id", "7"
        ]  # fmt: skip
        assert worker.is_file()

    def test_job_knows_the_fireworks_settings(self, project, category):
        line = next(x for x in script_of(project, category).splitlines() if "FW_CONFIG_FILE" in x)
        done = subprocess.run(["bash", "-c", f'{line}; cat "$FW_CONFIG_FILE"'], text=True, capture_output=True)
        assert "RAPIDFIRE_SLEEP_SECS" in done.stdout


class TestEndOfTheJob:
    @pytest.mark.parametrize("category", CATEGORIES)
    @pytest.mark.parametrize("queue", ["pbs", "sge"])
    def test_is_the_walltime_that_is_asked_for(self, queue, category):
        text = (ROOT / "fw_configs" / queue / f"my_qadapter_{category}.yaml").read_text()
        asked = re.search(r"(?:walltime: '|h_rt=)([\d:]+)", text)[1]
        assert f"export MLIP_FW_JOB_END=$(($(date +%s) + {seconds(asked)}))" in text

    @pytest.mark.parametrize(
        ("squeue", "end"),
        [
            ("echo 2026-11-22T05:20:10", "1795324810"),
            ("echo N/A", ""),
            ("exit 1", ""),
        ],
    )
    @pytest.mark.parametrize("category", CATEGORIES)
    def test_is_what_slurm_says_or_unknown(self, category, squeue, end, tmp_path):
        text = (ROOT / "fw_configs" / f"my_qadapter_{category}.yaml").read_text()
        line = next(line for line in text.splitlines() if "MLIP_FW_JOB_END" in line)
        (tmp_path / "squeue").write_text(f"#!/bin/sh\n{squeue}\n")
        (tmp_path / "squeue").chmod(0o755)
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TZ": "UTC", "SLURM_JOB_ID": "3"}
        command = f"{line}; printf %s $MLIP_FW_JOB_END"
        assert subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True).stdout == end

    @pytest.mark.parametrize("category", CATEGORIES)
    def test_slurm_warns_the_worker_and_nobody_else(self, category):
        adapter = adapter_of(ROOT / "fw_configs" / f"my_qadapter_{category}.yaml")
        assert re.fullmatch(r"B:TERM@\d+", adapter["signal"])


class TestWorkers:
    def test_every_category_has_one(self):
        categories = set(re.findall(r'category="(md|dft|train)"', Path(build.__file__).read_text()))
        assert categories == set(CATEGORIES)

    @pytest.mark.parametrize("category", CATEGORIES)
    def test_takes_its_category_alone(self, category):
        path = ROOT / "fw_configs" / f"my_fworker_{category}.yaml"
        worker = FWorker.from_file(str(path))
        assert (worker.name, worker.category, worker.env) == (category, category, {})
        assert worker.query["spec._category"] == category

    @pytest.mark.parametrize("category", CATEGORIES)
    def test_keys_that_are_shown_are_keys(self, category, tmp_path):
        text = (ROOT / "fw_configs" / f"my_fworker_{category}.yaml").read_text()
        (tmp_path / "w.yaml").write_text(text.replace("\n#  ", "\n  "))
        worker = FWorker.from_file(str(tmp_path / "w.yaml"))
        assert worker.env
        read_worker(worker.env)


class TestInit:
    def test_writes_all_that_a_farm_needs(self, project):
        names = {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}
        assert names == {
            "campaign.yaml",
            "my_launchpad.yaml",
            "fw_configs/FW_config.yaml",
            "fw_configs/my_fworker.yaml",
            *(f"fw_configs/my_{kind}_{category}.yaml" for kind in ("fworker", "qadapter") for category in CATEGORIES),
        }

    def test_overwrites_no_adapter(self, tmp_path):
        mine = tmp_path / "fw_configs" / "my_qadapter_dft.yaml"
        mine.parent.mkdir()
        mine.write_text("mine")
        done = CliRunner().invoke(app, ["init", str(tmp_path), "--queue", "pbs"])
        assert "already has fw_configs/my_qadapter_dft.yaml" in str(done.exception)
        assert mine.read_text() == "mine"
        assert len(list(tmp_path.rglob("*.yaml"))) == 1

    def test_unknown_queue_is_refused(self, tmp_path):
        assert CliRunner().invoke(app, ["init", str(tmp_path), "--queue", "lsf"]).exit_code == 2
