"""Bad campaign files: one paragraph that says what is wrong and what to do."""

import pytest
from ruamel.yaml import YAML

from mlip_fw.errors import CampaignError
from mlip_fw.io.campaign_file import parse_campaign, read_campaign, write_campaign
from tests.helpers.campaigns import SMALL, merged

STAGE = {"ensemble": "nvt", "temperature_k": 300, "n_steps": 10}
BAD = [
    ({"potental": {}}, "did you mean potential"),
    ({"md": {"timestep": 1.0}}, "did you mean timestep_fs"),
    ({"md": {"timestep_fs": "2 fs"}}, "md.timestep_fs must be a number without a unit, not '2 fs'"),
    ({"md": {"timestep_fs": 0}}, "md.timestep_fs should be greater than 0"),
    ({"md": {"timestep_fs": float("nan")}}, "md.timestep_fs must be a finite number"),
    ({"md": {"timestep_fs": True}}, "md.timestep_fs"),
    ({"md": {"stages": []}}, "md.stages"),
    ({"md": {"stages": [{**STAGE, "n_steps": -5}]}}, "n_steps should be greater than or equal to 1, not -5"),
    ({"md": {"stages": [{**STAGE, "n_steps": 10.5}]}}, "n_steps must be a whole number"),
    ({"md": {"stages": [{**STAGE, "ensemble": "nvp"}]}}, "ensemble"),
    ({"md": {"stages": [{**STAGE, "temperature_k": [300, -1]}]}}, "temperature_k"),
    ({"md": {"stages": [{"ensemble": "nvt", "n_steps": 10}]}}, "nvt needs temperature_k"),
    ({"md": {"stages": [{**STAGE, "ensemble": "npt"}]}}, "pressure_bar"),
    ({"md": {"stages": [{**STAGE, "pressure_bar": 0}]}}, "pressure_bar"),
    ({"md": {"stages": [{**STAGE, "temprature_k": 300}]}}, "did you mean temperature_k"),
    ({"md": {"walkers": 0}}, "md.walkers"),
    ({"uncertainty": {"gamma_select": 10.0, "gamma_halt": 10.0}}, "gamma_select (10) must be smaller than gamma_halt"),
    ({"uncertainty": {"check_interval": 0}}, "check_interval"),
    ({"elements": ["Cx"]}, "not a chemical element: 'Cx'"),
    ({"elements": ["Cu", "Cu"]}, "named twice"),
    ({"elements": []}, "elements"),
    ({"elements": "Cu"}, "elements must be a list, not 'Cu'"),
    ({"campaign": "../evil"}, "campaign"),
    ({"campaign": "Cu Melt"}, "campaign"),
    ({"campaign": "x" * 1000}, "campaign"),
    ({"seed": -1}, "seed"),
    ({"structure": {"file": "a", "bulk": {"symbol": "Cu"}}}, "exactly one of bulk, file and files"),
    ({"structure": {"bulk": {"symbol": "Cu", "repeat": [3, 3]}}}, "repeat"),
    ({"structure": {"bulk": {"symbol": "Cu", "substitute": {"Au": 0.7, "Ag": 0.6}}}}, "more than 1"),
    ({"oracle": {"kind": "espreso"}}, "oracle.kind can't be 'espreso'; did you mean espresso?"),
    ({"oracle": {"kind": "ase", "calculator": "os.system('x')"}}, "oracle.calculator"),
    ({"potential": {"cutoff_a": -1.0}}, "cutoff_a"),
    ({"potential": {"functions_per_element": 5_000_000}}, "functions_per_element"),
    ({"candidates": {"strategies": ["rattel"]}}, "strategies"),
    ({"potential": {"stress_weight": -1.0}}, "stress_weight should be greater than or equal to 0, not -1.0 (or auto)"),
    ({"potential": {"energy_weight": "ten"}}, "energy_weight must be a number without a unit, not 'ten' (or auto)"),
    ({"potential": {"functions_per_element": 3}}, "functions_per_element should be greater than or equal to 10"),
    ({"validation": {"surface": [0, 0, 0]}}, "0 0 0 are no Miller indices"),
    ({"validation": {"surface": [10**9, 1, 1]}}, "validation.surface.0 should be less than or equal to 9"),
    ({"budget": {"max_failed_label_fraction": 1.5}}, "max_failed_label_fraction"),
    ({"md": None}, "md must be a mapping"),
]


@pytest.mark.parametrize(("changes", "said"), BAD, ids=[said[:40] for _, said in BAD])
def test_bad_value_is_named(changes, said):
    with pytest.raises(CampaignError) as caught:
        parse_campaign(merged(SMALL, changes), "bad.yaml")
    message = str(caught.value)
    assert said in message
    assert message.startswith("bad.yaml: ")
    assert "\n" not in message
    assert "pydantic" not in message
    assert "constrained" not in message
    assert "literal" not in message


def test_all_faults_at_once():
    with pytest.raises(CampaignError) as caught:
        parse_campaign(merged(SMALL, {"seed": "x", "md": {"timestep_fs": "1"}}), "bad.yaml")
    assert "seed" in str(caught.value)
    assert "timestep_fs" in str(caught.value)


@pytest.mark.parametrize("missing", ["campaign", "elements", "structure", "md", "oracle"])
def test_missing_key_is_named(missing):
    data = {k: v for k, v in SMALL.items() if k != missing}
    with pytest.raises(CampaignError, match=f"{missing} is missing"):
        parse_campaign(data, "bad.yaml")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "must hold a mapping"),
        (b"- 1\n- 2\n", "must hold a mapping"),
        (b"campaign: [", "not valid YAML"),
        (b"campaign: a\ncampaign: b\n", "not valid YAML"),
        (b"\xff\xfe\x00", "not"),
        (b"!!python/object/apply:os.system ['true']", "not valid YAML"),
        (b"a: &a [*a]\n", "refers to nothing before it, or to itself"),
        (b"x" * 2_000_000, "at most"),
    ],
)
def test_file_that_is_no_campaign(tmp_path, content, said):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(CampaignError, match=said):
        read_campaign(path)


def test_missing_file(tmp_path):
    with pytest.raises(CampaignError, match="there is no campaign file"):
        read_campaign(tmp_path / "none.yaml")


def test_directory_for_a_file(tmp_path):
    with pytest.raises(CampaignError, match="can't read"):
        read_campaign(tmp_path)


def test_relative_paths_are_relative_to_the_file(tmp_path):
    data = merged(SMALL, {"structure": {"file": "start.extxyz"}})
    del data["structure"]["bulk"]
    path = tmp_path / "sub" / "c.yaml"
    path.parent.mkdir()
    YAML(typ="safe").dump(data, path)
    assert read_campaign(path).structure.file == str(tmp_path / "sub" / "start.extxyz")


def test_each_of_several_files_is_relative_to_the_file(tmp_path):
    data = merged(SMALL, {"structure": {"files": ["a.xyz", "/x/b.xyz"]}, "md": {"walkers": 2}})
    del data["structure"]["bulk"]
    path = tmp_path / "c.yaml"
    YAML(typ="safe").dump(data, path)
    assert read_campaign(path).structure.files == [str(tmp_path / "a.xyz"), "/x/b.xyz"]
    data["structure"]["files"] = ["a.xyz", 3]
    YAML(typ="safe").dump(data, path)
    with pytest.raises(CampaignError, match=r"structure\.files\.1 must be text"):
        read_campaign(path)


def test_written_campaign_reads_back(tmp_path):
    campaign = parse_campaign(SMALL, "test")
    write_campaign(tmp_path / "c.yaml", campaign)
    assert read_campaign(tmp_path / "c.yaml") == campaign


def test_single_numbers_are_constant_ramps():
    campaign = parse_campaign(merged(SMALL, {"md": {"stages": [STAGE]}}), "test")
    assert campaign.md.stages[0].temperature_k == [300, 300]


def test_small_gamma_halt_lowers_the_default_gamma_select():
    changed = merged(SMALL, {})
    changed["uncertainty"] = {"gamma_halt": 1e-6}
    assert parse_campaign(changed, "test").uncertainty.gamma_select < 1e-6


def test_identity_leaves_out_the_budget():
    one = parse_campaign(merged(SMALL, {"budget": {"max_cycles": 1}}), "test")
    other = parse_campaign(merged(SMALL, {"budget": {"max_cycles": 2}}), "test")
    assert one.identity() == other.identity()
    assert one.identity() != parse_campaign(merged(SMALL, {"seed": 6}), "test").identity()
