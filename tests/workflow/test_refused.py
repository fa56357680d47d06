"""A generation that is unfit for MD: the MD goes on with the one before, and everybody is told."""

import pytest
from typer.testing import CliRunner

from mlip_fw.cli.main import app
from mlip_fw.engines.train import solution
from mlip_fw.generations import Generations
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.training import Stability
from mlip_fw.report.html import write_report
from mlip_fw.summary import md_results
from mlip_fw.workflows.runner import run_campaign

WHY = "at 1200 K the atoms collapse"


@pytest.fixture
def judged(small, stand_in, tmp_path, monkeypatch):
    """Return a function that runs a campaign whose potentials are found fit or unfit, one after the other."""

    def run(verdicts, halts):
        given = iter(verdicts)

        def examine(*_):
            sound = next(given)
            return Stability(
                sound=sound,
                reasons=[] if sound else [WHY],
                least_dimer_slope_ev_a=1.0,
                energy_drift_ev_atom=0.0,
                temperature_k=600.0,
                seconds=0.0,
            )

        monkeypatch.setattr(solution, "examine", examine)
        directory = CampaignDirectory(tmp_path / "c")
        return run_campaign(small(), directory, stand_in(f"--halt-at {halts}")), directory

    return run


def refusals(directory):
    return [(e["generation"], e["reasons"]) for e in directory.events() if e["event"] == "generation_refused"]


def test_md_goes_on_with_the_generation_before(judged, tmp_path, caplog):
    summary, directory = judged([True, False, False, False, True], "20,50")
    assert summary.outcome == "CONVERGED"
    assert [r.generation for r in md_results(directory)] == [0, 0, 2]
    assert refusals(directory) == [(1, [WHY])]
    assert (summary.generations, summary.generations_refused) == (3, 1)
    assert "generation 1 is unfit for MD" in caplog.text and "MD goes on with generation 0" in caplog.text
    assert Generations(directory.root).record(2).parent == 1

    shown = CliRunner().invoke(app, ["status", str(directory.root)]).stdout
    assert "3 (1 refused for MD)" in shown and WHY in shown
    write_report(directory, tmp_path / "report.html")
    assert WHY in (tmp_path / "report.html").read_text()


def test_summary_names_the_generation_that_md_may_use(judged):
    summary, _ = judged([True, False, False, False], "20")
    assert summary.potential.endswith("gen_0000/potential.yaml")
    assert summary.active_set.endswith("gen_0000/potential.asi")


def test_only_generation_is_used_with_a_warning(judged, caplog):
    summary, directory = judged([False, False, False], "1000")
    assert (summary.outcome, summary.generations_refused) == ("CONVERGED", 1)
    assert [r.generation for r in md_results(directory)] == [0]
    assert "there is no better one: MD uses it" in caplog.text
