"""`pip install .` alone gives a command that works, on the oldest and the newest Python at hand."""

import glob
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.campaigns import TINY, write
from tests.helpers.programs import ROOT, require

pytestmark = pytest.mark.real
SUPPORTED = ((3, 11), (3, 12), (3, 13))


def interpreters():
    """Return {version: path} of the supported Pythons on this machine."""
    places = glob.glob(str(Path.home() / ".pyenv" / "versions" / "3.*" / "bin" / "python"))
    places += [found for v in SUPPORTED if (found := shutil.which(f"python{v[0]}.{v[1]}"))]
    found = {sys.version_info[:2]: sys.executable}
    for place in places:
        done = subprocess.run([place, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True)
        if done.returncode == 0:
            found.setdefault(tuple(map(int, done.stdout.split())), place)
    return {version: place for version, place in found.items() if version in SUPPORTED}


def test_metadata_names_the_supported_pythons():
    text = (ROOT / "setup.cfg").read_text()
    for major, minor in SUPPORTED:
        assert f"Programming Language :: Python :: {major}.{minor}\n" in text
    assert "python_requires = >=3.11,<3.14" in text


@pytest.mark.parametrize("which", [min, max], ids=["lowest", "newest"])
def test_plain_install_runs_a_campaign(which, tmp_path):
    found = interpreters()
    version = which(found)
    if which is max:
        require("pythons", len(found) > 1)
    python = found[version]
    copy = tmp_path / "source"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(".*", "demo", "build", "*.egg-info"))
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True)
    bin_folder = tmp_path / "venv" / "bin"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        # compiling all that is installed takes longer than compiling what is imported
        [bin_folder / "pip", "install", "--quiet", "--no-compile", str(copy)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(copy)
    write(TINY, tmp_path / "c.yaml")
    done = subprocess.run(
        [bin_folder / "mlip-fw", "run", "c.yaml"], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "CONVERGED" in done.stdout
    done = subprocess.run([bin_folder / "mlip-fw", "init", "new"], cwd=tmp_path, capture_output=True, text=True)
    assert (tmp_path / "new" / "fw_configs" / "my_fworker.yaml").is_file(), done.stderr
