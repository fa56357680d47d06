"""A potential of two elements, learnt from EMT, for everything that runs for real."""

import json

import pytest
from ase.calculators.emt import EMT

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.md.run import run_md
from mlip_fw.engines.md.script import RunPlan
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.io.lammps import write_data
from mlip_fw.io.structures import with_labels
from mlip_fw.models.md import Stage
from mlip_fw.models.worker import Worker
from tests.helpers.campaigns import write
from tests.helpers.held_farm import CAMPAIGN, environment, release, write_tools
from tests.helpers.programs import mlip_fw, require
from tests.helpers.slurm import Slurm, is_installed
from tests.helpers.slurm_farm import SlurmFarm
from tests.helpers.structures import alloy_cell


@pytest.fixture(scope="session")
def alloy(tmp_path_factory, request):
    """Return the path of a Cu-Au potential with its active set."""
    from mlip_fw.io.campaign_file import parse_campaign
    from tests.helpers.campaigns import SMALL, merged

    root = tmp_path_factory.mktemp("alloy")
    dataset = Dataset(root)
    for seed in range(6):
        atoms = alloy_cell(seed)
        atoms.set_cell(atoms.cell.array * (0.95 + 0.02 * seed), scale_atoms=True)
        atoms.calc = EMT()
        dataset.add(f"{seed}", with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces(), None), {})
    campaign = parse_campaign(
        merged(SMALL, {"elements": ["Au", "Cu"], "potential": {"functions_per_element": 60}}), "test"
    )
    train_generation(Generations(root), dataset, campaign)
    return Generations(root).potential(0)


@pytest.fixture
def plan(alloy, tmp_path):
    """Return a function that makes a run plan from a structure or a restart file."""

    def make(start, *, n_steps=200, stage=None, potential=alloy, **changes):
        is_restart = not hasattr(start, "positions")
        if not is_restart:
            path = tmp_path / f"start-{len(list(tmp_path.iterdir()))}.data"
            write_data(path, start, ("Au", "Cu"))
        settings = {
            "title": "test",
            "elements": ("Au", "Cu"),
            "cutoff_a": AcePotential.from_files(potential).cutoff_a,
            "potential": potential,
            "start": start if is_restart else path,
            "is_restart": is_restart,
            "velocity_seed": None if is_restart else 17,
            "stage": stage or Stage(ensemble="nve", temperature_k=300, n_steps=n_steps),
            "stage_first_step": 0,
            "stage_last_step": n_steps,
            "first_step": 0,
            "timestep_fs": 2.0,
            "gamma_halt": 1e9,
            "check_interval": 10,
        }
        return RunPlan(**{**settings, **changes})

    return make


@pytest.fixture(params=["embedded", pytest.param("lammps", marks=pytest.mark.native)])
def engine(request):
    """Return a function that runs a plan with each engine in turn."""
    worker = Worker()
    if request.param == "lammps":
        worker = Worker(lmp_cmd=request.getfixturevalue("native_lmp"))

    def run(plan, folder):
        return run_md(plan, folder, request.param, worker)

    run.name, run.worker = request.param, worker
    return run


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Return a Slurm of one node."""
    require("slurm", is_installed())
    with Slurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="module")
def tools(tmp_path_factory, lent_lmp):
    """Return a folder with a LAMMPS and an oracle that can be held at their work."""
    folder = tmp_path_factory.mktemp("tools")
    write_tools(folder, lent_lmp)
    return folder


@pytest.fixture(scope="module")
def faultless(tools):
    """Return what the same campaign comes to without Slurm and without faults: names of its labels, and summary."""
    worker = {"name": "w", "category": "", "query": "{}", "env": {"lmp_cmd": f"sh {tools}/lmp.sh"}}
    write(worker, tools / "w.yaml")
    arguments = ("run", write(CAMPAIGN, tools / "c.yaml"), "--json", "--dir", "c", "-w", "w.yaml")
    done = mlip_fw(*arguments, folder=tools, **environment(tools))
    return {path.stem for path in (tools / "c" / "labels").iterdir()}, json.loads(done.stdout)


@pytest.fixture
def make_farm(slurm, tools, faultless, tmp_path):
    """Return a function that puts the campaign on a LaunchPad, with changes of the queue adapters."""
    made = []

    def make(*changes):
        farm = SlurmFarm(slurm, tmp_path, CAMPAIGN, {"lmp_cmd": f"sh {tools}/lmp.sh"}, changes)
        farm.environment |= environment(tools)
        farm.add()
        made.append(farm)
        return farm

    yield make
    release(tools)
    for farm in made:
        farm.close()
