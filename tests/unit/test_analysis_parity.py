"""A generation against its labels: the errors are those of its record, masked atoms and cut-outs' energies are out."""

import html
import threading
import time

import numpy as np
import pytest

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.errors import MlipError
from mlip_fw.runtime.fork_server import ForkServer
from mlip_fw.views.analysis import parity
from mlip_fw.views.analysis.parity import parity_of
from mlip_fw.views.web.app import create_app
from tests.helpers.campaigns import make_small
from tests.helpers.potentials import labelled


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("parity")
    dataset = Dataset(root)
    for seed in range(2):
        dataset.add(f"whole{seed}", labelled(seed), {})
    cut = labelled(3)
    cut.arrays["mask"] = np.arange(len(cut)) < 8
    dataset.add("cut", cut, {})
    record = train_generation(Generations(root), dataset, make_small())
    return CampaignDirectory(root), record


def test_its_errors_are_those_of_the_record(trained):
    directory, record = trained
    found = parity_of(directory, 0)
    assert found.forces.shape == ((32 + 32 + 8) * 3, 2)
    assert found.energies.shape == (2, 2)
    errors = found.forces[:, 1] - found.forces[:, 0]
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(record.dataset.force_rmse_ev_a, rel=1e-6)


def test_the_worst_come_first_and_are_trained_on(trained):
    worst = parity_of(trained[0], 0).worst
    errors = [atom.error_ev_a for atom in worst]
    assert errors == sorted(errors, reverse=True)
    assert all(atom.atom < 8 for atom in worst if atom.label == "cut")
    assert {atom.symbol for atom in worst} == {"Cu"}


def test_of_many_labels_some_are_taken(trained):
    assert parity_of(trained[0], 0, max_labels=2).forces.shape[0] < parity_of(trained[0], 0).forces.shape[0]


def test_without_a_record_it_is_told(trained):
    with pytest.raises(MlipError, match=r"no whole training\.json"):
        parity_of(trained[0], 7)


@pytest.mark.slow
class TestChild:
    @pytest.fixture
    def instead(self, monkeypatch):
        """Return a function that has children run something else, and the list of the calls."""
        calls, call = [], ForkServer.call
        monkeypatch.setattr(ForkServer, "call", lambda *a, **named: calls.append(a[1]) or call(*a, **named))
        monkeypatch.setattr(parity, "_results", {})
        monkeypatch.setattr(parity, "_failures", {})

        def run(what):
            if what is not None:
                monkeypatch.setattr(parity, "_EVALUATE", f"tests.helpers.children:{what}")
            return calls

        return run

    def test_a_crash_is_a_sentence_and_is_not_tried_again_at_once(self, trained, instead, monkeypatch):
        calls = instead("crash")
        for _ in range(2):
            with pytest.raises(
                MlipError, match="generation 0 can't be compared .* evaluates them was killed by SIGSEGV"
            ):
                parity_of(trained[0], 0)
        assert len(calls) == 1
        monkeypatch.setattr(parity, "_RETRY_AFTER_S", 0.0)
        with pytest.raises(MlipError, match="SIGSEGV"):
            parity_of(trained[0], 0)
        assert len(calls) == 2

    def test_one_that_hangs_is_ended(self, trained, instead, monkeypatch):
        instead("hang_in_campaign")
        monkeypatch.setattr(parity, "TIMEOUT_S", 0.5)
        with pytest.raises(MlipError, match=r"evaluates them took longer than 0\.5 s and was killed"):
            parity_of(trained[0], 0)

    def test_what_ails_its_files_is_said_without_names_of_classes(self, trained, instead):
        instead(None)
        potential = Generations(trained[0].root).potential(0)
        whole = potential.read_text()
        potential.write_text("torn: [")
        try:
            with pytest.raises(MlipError) as raised:
                parity_of(trained[0], 0)
            assert "potential.yaml" in str(raised.value)
            assert "Error" not in str(raised.value)
        finally:
            potential.write_text(whole)
        assert len(parity_of(trained[0], 0).energies) == 2, "a file that is mended is read at once"

    def test_several_who_ask_at_once_have_it_evaluated_once(self, trained, instead):
        calls, found = instead(None), []
        asking = [threading.Thread(target=lambda: found.append(parity_of(trained[0], 0))) for _ in range(3)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        assert [one is found[0] for one in found] == [True] * 3
        assert len(calls) == 1

    def test_other_pages_do_not_wait_for_it(self, trained, instead):
        instead("wait_in_campaign")
        directory = trained[0]
        directory.write_campaign(make_small())
        directory.log_event("run_started", campaign="small", process=1)
        app = create_app([directory.root], timeout_s=None)
        place, page = f"/campaign/{directory.root.name}/", []
        app.test_client().get(place)
        asking = threading.Thread(target=lambda: page.append(app.test_client().get(f"{place}generation/0?parity=1")))
        asking.start()
        while asking.is_alive() and not (directory.root / "began").exists():
            time.sleep(0.02)
        for path in ("", "generation/0", "charts.json"):
            assert app.test_client().get(place + path).status_code == 200
        assert asking.is_alive()
        (directory.root / "go").touch()
        asking.join()
        assert page[0].status_code == 200
        assert "this is the end" in html.unescape(page[0].text)
