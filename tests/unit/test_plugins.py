"""Registries: names without imports, one sentence for what is missing, broken or there twice."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Literal

import pytest
from ase.build import bulk
from fireworks import FWorker
from pydantic import Field

from mlip_fw import doctor, plugins
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.engines.oracle.answer import Labelled, facts_of
from mlip_fw.engines.oracle.backend import OracleBackend
from mlip_fw.engines.oracle.cost import label_cost
from mlip_fw.engines.oracle.label import cores_of_labels, make_label, require_oracle
from mlip_fw.engines.oracle.scope import label_notes
from mlip_fw.engines.train.pacemaker.backend import PacemakerBackend
from mlip_fw.engines.train.refinement import TrainerBackend, refine, require_trainer
from mlip_fw.engines.train.schedule import decided, is_due
from mlip_fw.errors import CampaignError, WorkerError
from mlip_fw.firetasks.base import read_worker
from mlip_fw.firetasks.md import RunMD
from mlip_fw.io.campaign_file import campaign_text, read_campaign
from mlip_fw.io.structures import with_labels
from mlip_fw.models.campaign import Campaign, RefineSettings
from mlip_fw.models.handoff import MDHandoff
from mlip_fw.models.oracle import DftOracle, OracleSettings
from mlip_fw.models.worker import Worker, WorkerKeys
from mlip_fw.plugins import ORACLES, Registry
from mlip_fw.workflows.campaign import campaign_workflow
from tests.helpers.campaigns import make_small


class HoleSettings(DftOracle):
    kind: Literal["hole"] = Field(description="labels of zero")
    depth_ev: float = Field(1.0, description="depth, eV")
    table: str | None = Field(None, description="file")
    free_to_change = DftOracle.free_to_change | {"depth_ev"}
    path_keys = ("table",)


class HoleKeys(WorkerKeys):
    hole_cmd: str | None = Field(None, description="command")
    hole_cores: int = Field(1, ge=1, description="number of cores")


class Hole(OracleBackend[HoleSettings]):
    settings = HoleSettings
    worker_keys = HoleKeys
    title = "Hole"

    def require(self, settings, worker, elements):
        raise WorkerError(f"no hole for {elements}")

    def level_of_theory(self, settings, worker, elements):
        return {"kind": "hole"}

    def label(self, atoms, settings, worker, elements, folder, peers):
        facts = facts_of(code="hole", version="1", seconds=0.0, corrections=[], convergence={})
        return Labelled(with_labels(atoms, -settings.depth_ev, 0 * atoms.positions, None), facts)

    def command(self, worker):
        return f"mpirun -np {worker.own_keys(HoleKeys).hole_cores} hole"

    def doctor(self, worker):
        raise WorkerError("no hole here")


class Flat(Hole):
    settings = OracleSettings
    worker_keys = Worker


class Greedy(Hole):
    worker_keys = type("Keys", (WorkerKeys,), {"__annotations__": {"pw_cmd": str}, "pw_cmd": "x"})


@pytest.fixture
def plug(monkeypatch):
    """Return a function that installs entry points, as (group, name, object or path, distribution)."""
    module = ModuleType("holes")
    monkeypatch.setitem(sys.modules, "holes", module)
    installed = []

    def install(group, name, value, distribution="mlip-hole"):
        if not isinstance(value, str):
            setattr(module, f"object_{len(installed)}", value)
            value = f"holes:object_{len(installed)}"
        point = EntryPoint(name, value, group)
        vars(point)["dist"] = SimpleNamespace(name=distribution, version="0.3")
        installed.append(point)
        for registry in plugins.REGISTRIES:
            registry.forget()

    monkeypatch.setattr(plugins, "_entry_points", lambda group: [point for point in installed if point.group == group])
    yield install
    for registry in plugins.REGISTRIES:
        registry.forget()


@pytest.fixture
def hole(plug):
    plug("mlip_fw.oracles", "hole", Hole())
    return {"kind": "hole", "depth_ev": 2.0}


class TestRegistry:
    def test_names_are_known_without_imports(self):
        registry = Registry("thing", "mlip_fw.none", {"a": "no.such.module:x", "b": "json:loads"})
        assert registry.names() == ["a", "b"]
        assert registry.has("a")
        assert registry.get("b")("1") == 1

    def test_what_is_built_in_is_found_without_looking_for_plug_ins(self, monkeypatch):
        monkeypatch.setattr(plugins, "_entry_points", lambda group: pytest.fail(f"looked for {group}"))
        assert ORACLES.get("ase").settings.__name__ == "AseOracle"
        assert make_small(candidates={"strategies": ["rattle"]}).oracle.kind == "ase"

    def test_unknown_name_lists_what_is_installed(self, hole):
        with pytest.raises(WorkerError) as caught:
            ORACLES.get("cp2k")
        assert "no oracle 'cp2k'; installed are ase, espresso, vasp, hole;" in str(caught.value)
        assert "entry point of this name in mlip_fw.oracles" in str(caught.value)

    @pytest.mark.parametrize(
        ("path", "said"),
        [
            ("no_such_module:x", r"no_such_module:x can't be imported \(ModuleNotFoundError: No module named"),
            ("holes:nothing", "holes:nothing can't be imported .AttributeError"),
            ("json:loads", "json:loads has no settings, require, level_of_theory, label, cost"),
        ],
    )
    def test_broken_plug_in_is_an_error_only_where_it_is_used(self, plug, path, said):
        plug("mlip_fw.oracles", "bad", path)
        assert ORACLES.names() == ["ase", "espresso", "vasp", "bad"]
        assert list(ORACLES.usable()) == ["ase", "espresso", "vasp"]
        assert make_small().oracle.kind == "ase"
        with pytest.raises(WorkerError, match=f"the oracle 'bad' of mlip-hole 0.3 is broken: {said}"):
            ORACLES.get("bad")
        with pytest.raises(CampaignError, match=f"oracle.kind: the oracle 'bad' of mlip-hole 0.3 is broken: {said}"):
            make_small(oracle={"kind": "bad"})

    def test_strategy_must_be_a_function(self, plug):
        plug("mlip_fw.strategies", "list", "holes:__name__")
        with pytest.raises(WorkerError, match="holes:__name__ is no function but a str"):
            plugins.STRATEGIES.get("list")

    def test_two_plug_ins_of_one_name_are_refused(self, plug):
        plug("mlip_fw.oracles", "hole", Hole(), "mlip-a")
        plug("mlip_fw.oracles", "hole", Hole(), "mlip-b")
        with pytest.raises(WorkerError, match="mlip-a 0.3 and mlip-b 0.3 both add the oracle 'hole'"):
            ORACLES.get("hole")

    def test_built_in_name_stays_and_the_clash_is_told_where_it_matters(self, plug):
        plug("mlip_fw.oracles", "ase", Hole())
        campaign = make_small()
        assert campaign.oracle.calculator == "emt"
        assert list(ORACLES.usable()) == ["ase", "espresso", "vasp"]
        said = "'ase' is built into mlip_fw, and mlip-hole 0.3 adds one of the same name"
        with pytest.raises(WorkerError, match=said):
            require_oracle(campaign.oracle, Worker(), ["Cu"])
        assert said in ORACLES.faults()["ase"]


class TestOracleOfAPlugIn:
    def test_settings_are_validated_by_its_model(self, hole):
        assert make_small(oracle=hole).oracle.depth_ev == 2.0
        with pytest.raises(CampaignError, match=r"oracle.deph_ev is not a key of a campaign; did you mean depth_ev\?"):
            make_small(oracle={**hole, "deph_ev": 1.0})
        with pytest.raises(CampaignError, match="oracle.max_force_ev_a should be greater than 0, not -1"):
            make_small(oracle={**hole, "max_force_ev_a": -1.0})

    def test_it_labels(self, hole, tmp_path):
        campaign = make_small(oracle=hole)
        answer = make_label(bulk("Cu"), campaign.oracle, Worker(), ["Cu"], tmp_path)
        assert answer.atoms.get_potential_energy() == -2.0
        assert label_cost(bulk("Cu", cubic=True), campaign.oracle) == 4.0
        assert cores_of_labels(campaign.oracle, Worker.model_validate({"hole_cores": 3})) == 3
        with pytest.raises(WorkerError, match="no hole for"):
            require_oracle(campaign.oracle, Worker(), ["Cu"])

    def test_paths_are_relative_to_the_file_and_do_not_travel(self, hole, tmp_path):
        path = tmp_path / "c.yaml"
        path.write_text(campaign_text(make_small(oracle={**hole, "table": "t.dat"})))
        assert read_campaign(path).oracle.table == str(tmp_path / "t.dat")
        with pytest.raises(CampaignError, match="oracle.table is a file or folder of one machine"):
            make_small(oracle={**hole, "table": "t.dat"}, files="filepad")

    def test_its_own_keys_may_change_in_a_running_campaign(self, hole):
        identities = [make_small(oracle={**hole, "depth_ev": depth}).identity() for depth in (1.0, 2.0)]
        assert identities[0] == identities[1]
        assert "depth_ev" not in identities[0]["oracle"]
        assert identities[0]["oracle"]["kind"] == "hole"

    def test_campaign_round_trips_through_a_spec(self, hole):
        handoff = MDHandoff(campaign=make_small(oracle=hole), directory="/c", walker=0)
        assert MDHandoff.model_validate(handoff.plain()) == handoff
        assert handoff.plain()["campaign"]["oracle"]["depth_ev"] == 2.0

    def test_stored_hand_off_without_the_plug_in_is_one_sentence(self, plug, tmp_path):
        handoff = MDHandoff(campaign=make_small(), directory=str(tmp_path), walker=0).plain()
        handoff["campaign"]["oracle"] = {"kind": "hole", "depth_ev": 2.0}
        task = RunMD(handoff=handoff, then="mlip_fw.workflows.loop:after_md")
        with pytest.raises(CampaignError) as caught:
            task.run_task({})
        assert "campaign.oracle.kind: can't be 'hole'; installed are ase, espresso, vasp;" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_settings_that_do_not_fit_the_name_are_refused(self, plug):
        plug("mlip_fw.oracles", "deep", Hole())
        plug("mlip_fw.oracles", "flat", Flat())
        for kind in ("deep", "flat"):
            with pytest.raises(CampaignError, match=f'subclass of OracleSettings with kind: Literal."{kind}".'):
                make_small(oracle={"kind": kind})

    def test_schema_lists_it(self, hole):
        schema = Campaign.model_json_schema()
        assert schema["properties"]["oracle"]["discriminator"]["mapping"]["hole"] == "#/$defs/HoleSettings"


class TestWorkerKeys:
    def test_declared_keys_are_validated(self, hole):
        worker = read_worker({"hole_cmd": "srun hole", "lmp_cmd": "lmp"})
        assert worker.own_keys(HoleKeys).hole_cmd == "srun hole"
        assert worker.ending_within(100.0).own_keys(HoleKeys) == worker.own_keys(HoleKeys)
        with pytest.raises(WorkerError, match=r"my_fworker.yaml: env.hole_cores can't be 0; known keys are"):
            read_worker({"hole_cores": 0})

    def test_unknown_keys_list_the_declared_ones(self, hole):
        with pytest.raises(WorkerError, match=r"env.hole_cdm is not a key.*did you mean hole_cmd\? .*hole_cores"):
            read_worker({"hole_cdm": "x"})

    def test_keys_are_unknown_without_the_plug_in(self, plug):
        with pytest.raises(WorkerError, match="env.hole_cmd is not a key of env"):
            read_worker({"hole_cmd": "x"})

    @pytest.mark.parametrize(
        ("backend", "said"),
        [(Flat(), "must be a subclass of WorkerKeys"), (Greedy(), "name pw_cmd, which every worker file has")],
    )
    def test_keys_that_are_none_are_told_of(self, plug, backend, said):
        plug("mlip_fw.oracles", "bad", backend)
        assert read_worker({"pw_cmd": "pw.x"}).pw_cmd == "pw.x"
        with pytest.raises(WorkerError, match=f"the oracle 'bad' of mlip-hole 0.3 is broken: its worker_keys {said}"):
            read_worker({"hole_cmd": "x"})


class TestStrategiesAndProperties:
    def test_unknown_names_say_what_is_installed(self):
        with pytest.raises(CampaignError, match=r"candidates.strategies.1 can't be 'rattel'; did you mean rattle\?"):
            make_small(candidates={"strategies": ["halt_frame", "rattel"]})
        with pytest.raises(CampaignError, match=r"validation.properties.0 can't be 'hall'; installed are equation_of_"):
            make_small(validation={"properties": ["hall"]})

    def test_broken_strategy_can_be_read_and_is_told_of_before_the_campaign_starts(self, plug):
        plug("mlip_fw.strategies", "drill", "no_such_module:drill")
        campaign = make_small(candidates={"strategies": ["halt_frame", "drill"]})
        with pytest.raises(WorkerError, match="candidate strategy 'drill' of mlip-hole 0.3 is broken"):
            label_notes(campaign, [bulk("Cu", cubic=True)])


class PolisherSettings(RefineSettings):
    rounds: int = Field(3, ge=1, description="number of rounds")


class Polisher(TrainerBackend):
    settings = PolisherSettings
    title = "Polisher"

    def require(self, campaign, worker):
        raise WorkerError(f"no polish for {campaign.potential.refinement.rounds} rounds")

    def refine(self, generations, dataset, campaign, worker, folder):
        return (generations, folder, campaign.potential.trainer)


def generations_by(*trainers):
    """Return generations of which only the trainers are known."""
    return SimpleNamespace(
        numbers=lambda: list(range(len(trainers))),
        trainer=lambda number: trainers[number],
        newest_of=lambda name: max((n for n, one in enumerate(trainers) if one == name), default=None),
    )


class TestTrainerOfAPlugIn:
    @pytest.fixture
    def campaign(self, plug):
        plug("mlip_fw.trainers", "polisher", Polisher())
        return make_small(potential={"kind": "polisher", "trainer": {"every": 2, "rounds": 5}})

    def test_its_settings_say_when_it_refines(self, campaign):
        assert campaign.potential.refinement == PolisherSettings(every=2, at_end=True, rounds=5)
        assert not is_due(generations_by("linear", "polisher", "linear"), campaign)
        assert is_due(generations_by("linear", "polisher", "linear", "linear"), campaign)
        schedule = decided(campaign, None, Path("/nowhere"))
        assert (
            schedule.words == "linear, polished by polisher every 2 generations and at the end (as the campaign says)"
        )
        assert len(campaign_workflow(campaign, Path("/c")).fws) == 4

    def test_it_is_asked(self, campaign):
        assert refine("g", None, campaign, Worker(), "f") == ("g", "f", {"every": 2, "rounds": 5})
        with pytest.raises(WorkerError, match="no polish for 5 rounds"):
            require_trainer(campaign, Worker())
        require_trainer(make_small(), Worker())

    @pytest.mark.parametrize(
        ("potential", "said"),
        [
            (
                {"kind": "polisher", "trainer": {"rounds": 0}},
                "trainer does not fit kind polisher: rounds: Input should",
            ),
            ({"kind": "polisher", "trainer": {"round": 1}}, "trainer does not fit kind polisher: round: Extra inputs"),
            ({"kind": "linear", "trainer": {"every": 1}}, "trainer has keys of a plug-in, but kind is linear"),
            ({"kind": "polish"}, r"potential.kind can't be 'polish'; did you mean polisher\?"),
        ],
    )
    @pytest.mark.usefixtures("campaign")
    def test_what_does_not_fit_is_refused(self, potential, said):
        with pytest.raises(CampaignError, match=said):
            make_small(potential=potential)

    @pytest.mark.usefixtures("campaign")
    def test_its_files_do_not_travel(self):
        with pytest.raises(CampaignError, match="potential.kind: polisher needs one campaign directory"):
            make_small(potential={"kind": "polisher"}, files="filepad")

    def test_unknown_trainer_lists_the_words_too(self):
        with pytest.raises(CampaignError, match="can't be 'nequip'; installed are auto, linear, pacemaker; another"):
            make_small(potential={"kind": "nequip"})


class TestDoctor:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        monkeypatch.setattr(doctor, "_engine_check", lambda *_: "left out")
        monkeypatch.setattr(PacemakerBackend, "doctor", lambda *_: "left out")

    def rows(self):
        return {row.what: row for row in doctor.diagnose_machine(FWorker())}

    def test_oracles_have_rows_and_a_missing_code_is_no_fault(self, hole):
        rows = self.rows()
        assert rows["Hole"].found == "not found (no hole here); only needed for oracle.kind: hole"
        assert rows["VASP"].found.startswith("not found (my_fworker.yaml has no env.vasp_cmd")
        assert rows["oracle (EMT)"].found.startswith("ase emt: ")
        assert rows["plug-ins"].found == "oracle hole (mlip-hole 0.3)"
        assert all(row.ok for row in rows.values())

    def test_broken_plug_in_is_a_fault(self, plug):
        assert "plug-ins" not in self.rows()
        plug("mlip_fw.oracles", "bad", "no_such_module:x")
        assert not self.rows()["plug-ins"].ok
        assert "the oracle 'bad' of mlip-hole 0.3 is broken" in self.rows()["plug-ins"].found


def test_directory_of_a_campaign_without_its_plug_in_says_so(plug, tmp_path):
    path = CampaignDirectory(tmp_path).campaign_file
    path.write_text(campaign_text(make_small()).replace("kind: ase", "kind: hole"))
    with pytest.raises(CampaignError, match="oracle.kind can't be 'hole'; installed are ase, espresso, vasp"):
        CampaignDirectory(tmp_path).read_campaign()
