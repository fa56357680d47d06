"""A generation that is unfit for MD: the MD goes on with the one before, and everybody is told."""

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.campaign.summary import md_results
from mlip_fw.cli.main import app
from mlip_fw.engines.ace.basis import copy_of
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train import ridge_fit
from mlip_fw.io.pace import write_active_set, write_basis
from mlip_fw.launcher.runner import run_campaign
from mlip_fw.models.training import Stability
from mlip_fw.views.report.html_report import write_report

WHY = "at 1200 K the atoms collapse"


@pytest.fixture
def judged(small, stand_in, tmp_path, monkeypatch):
    """Return a function that runs a campaign whose potentials are found fit or unfit, one after the other."""

    def run(verdicts, halts):
        given = iter(verdicts)

        def check_stability(*_):
            sound = next(given)
            return Stability(
                sound=sound,
                reasons=[] if sound else [WHY],
                least_dimer_slope_ev_a=1.0,
                energy_drift_ev_atom=0.0,
                temperature_k=600.0,
                seconds=0.0,
            )

        monkeypatch.setattr(ridge_fit, "_RIDGE_FACTORS", (1.0, 10.0, 100.0))
        monkeypatch.setattr(ridge_fit, "check_stability", check_stability)
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


def test_stop_for_want_of_progress_says_that_refusals_were_the_cause(judged, tmp_path, caplog):
    summary, directory = judged([True, *[False] * 60], "30 --stuck-at 60")
    assert (summary.outcome, summary.reason) == ("STOPPED", "no_progress")
    assert summary.hint.startswith("generation 1 is unfit for MD, which went on with generation 0")
    assert WHY in summary.hint and "fit-for-md.md" in summary.hint
    assert summary.hint in caplog.text
    shown = CliRunner().invoke(app, ["status", str(directory.root)]).stdout
    assert "generation 1 is unfit for MD, which" in " ".join(re.sub("[│┃]", " ", shown).split())
    write_report(directory, tmp_path / "report.html")
    assert WHY in (tmp_path / "report.html").read_text().partition("<h2>")[0]


def test_given_potential_that_is_unfit_is_fitted_anew_before_md(small, stand_in, tmp_path, caplog):
    from tests.helpers.potentials import teach

    generations, _, _ = teach(tmp_path / "made", range(2), small())
    potential = AcePotential.from_files(generations.potential(0))
    coefficients = np.array(potential.basis.basis_coeffs)
    coefficients[1:3] = -6.0
    write_basis(tmp_path / "bad.yaml", copy_of(potential.basis, coefficients))
    write_active_set(tmp_path / "bad.asi", potential.inverses)

    directory = CampaignDirectory(tmp_path / "c")
    campaign = small(potential={"initial": str(tmp_path / "bad.yaml")})
    summary = run_campaign(campaign, directory, stand_in())
    assert (summary.outcome, summary.labels, summary.generations_refused) == ("CONVERGED", 2, 1)
    assert [r.generation for r in md_results(directory)] == [1]
    ((generation, reasons),) = refusals(directory)
    assert generation == 0 and reasons == Generations(directory.root).faults(0) != []
    assert f"potential.initial is unfit for MD: {reasons[0]}" in caplog.text
    assert "it is fitted anew to first labels before MD starts" in caplog.text
    run_campaign(campaign, directory, stand_in())
    assert len(refusals(directory)) == 1
