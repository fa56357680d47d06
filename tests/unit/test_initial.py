"""A given potential is tried as every generation is; of one that is unfit only what is right is kept."""

import numpy as np
import pytest

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.basis import copy_of
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train import initial, stability
from mlip_fw.engines.train.fit_io import read_fit
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.engines.train.initial import import_initial
from mlip_fw.errors import CampaignError
from mlip_fw.io.pace import read_active_set, read_basis, write_active_set, write_basis
from tests.helpers.potentials import labelled, taught


@pytest.fixture(scope="module")
def given(small_campaign, tmp_path_factory):
    """Return a function that writes the same potential, with some coefficients changed, and returns its path."""
    folder = tmp_path_factory.mktemp("given")
    generations, _, _ = taught(folder / "made", 2, small_campaign())
    potential = AcePotential.from_files(generations.potential(0))

    def write(**functions):
        coefficients = np.array(potential.basis.basis_coeffs)
        for name, value in functions.items():
            coefficients[int(name[1:])] = value
        path = folder / f"{len(list(folder.iterdir()))}.yaml"
        write_basis(path, copy_of(potential.basis, coefficients))
        write_active_set(path.with_suffix(".asi"), potential.inverses)
        return path

    return write


def prior_of(generations):
    return read_fit(generations.folder(0), 0)[1]


def test_sound_potential_is_kept(given, small, tmp_path):
    generations, path = Generations(tmp_path), given()
    record = import_initial(generations, path, Dataset(tmp_path), small())
    assert record.stability.sound and generations.refused() == {}
    assert np.array_equal(prior_of(generations), read_basis(path).basis_coeffs)


def test_potential_whose_md_fails_gives_only_its_form(given, small, tmp_path):
    """Coefficients and reference energies come from the labels alone, as if nothing had been given."""
    generations, dataset = Generations(tmp_path), Dataset(tmp_path)
    record = import_initial(generations, given(f1=-6.0, f2=-6.0), dataset, small())
    assert any("600 K" in reason or "1200 K" in reason for reason in record.stability.reasons)
    assert list(generations.refused()) == [0]
    assert not prior_of(generations).any()
    for seed in range(2):
        dataset.add(f"label{seed}", labelled(seed), {})
    repaired = train_generation(generations, dataset, small())
    assert repaired.stability.sound and repaired.dataset.force_rmse_ev_a < 0.05
    fresh = train_generation(Generations(tmp_path / "fresh"), dataset, small())
    assert repaired.reference_energy_ev == pytest.approx(fresh.reference_energy_ev)


def test_what_gamma_watches_for_is_only_a_warning(given, small, tmp_path, monkeypatch):
    monkeypatch.setattr(stability, "_dimers", lambda _: (-1.0, ["two atoms attract each other"]))
    monkeypatch.setattr(stability, "_hot", lambda *_: ["at 1200 K the atoms fly apart"])
    generations, path = Generations(tmp_path), given()
    record = import_initial(generations, path, Dataset(tmp_path), small())
    assert record.stability.warnings == ["two atoms attract each other", "at 1200 K the atoms fly apart"]
    assert record.stability.sound and generations.refused() == {}
    assert np.array_equal(prior_of(generations), read_basis(path).basis_coeffs)
    trained = stability.check_stability(AcePotential(read_basis(path)), [labelled(0)], small())
    assert trained.reasons == record.stability.warnings and not trained.sound


def test_it_is_tried_on_labels_where_there_are_some(given, small, tmp_path, monkeypatch):
    seen, plain = [], initial.check_stability
    monkeypatch.setattr(
        initial,
        "check_stability",
        lambda _, frames, *a, **k: seen.append(frames) or plain(_, frames, *a, **k),
    )
    Dataset(tmp_path).add("label", labelled(3), {})
    import_initial(Generations(tmp_path), given(), Dataset(tmp_path), small())
    assert [len(frames) for frames in seen] == [1]
    assert np.allclose(seen[0][0].get_forces(), labelled(3).get_forces(), atol=1e-6)


@pytest.mark.parametrize(
    "inverse", [np.zeros((2, 2)), np.full((2, 2), np.nan), np.eye(2) * 1j, np.eye(3)[:2], np.ones(4)]
)
def test_active_set_that_would_never_halt_md_is_refused(tmp_path, inverse):
    write_active_set(tmp_path / "p.asi", {"Cu": np.eye(2)})
    assert read_active_set(tmp_path / "p.asi", ["Cu"])["Cu"].shape == (2, 2)
    write_active_set(tmp_path / "p.asi", {"Cu": inverse})
    with pytest.raises(CampaignError, match="no inverse of a matrix for Cu"):
        read_active_set(tmp_path / "p.asi", ["Cu"])


def test_potential_of_another_form_or_without_numbers_is_refused(given, tmp_path):
    with pytest.raises(CampaignError, match="B-basis form, which is a .yaml"):
        read_basis(given().rename(tmp_path / "p.yace"))
    path = given(c0=12345.5)
    path.write_text(path.read_text().replace("12345.5", ".nan"))
    with pytest.raises(CampaignError, match="no finite numbers"):
        read_basis(path)
    with pytest.raises(CampaignError, match="there is no potential"):
        read_basis(tmp_path / "none.yaml")
