"""Each diagnosis, from numbers that leave no doubt."""

import pytest

from mlip_fw.engines.train.diagnosis import FitEvidence, OtherBasis, PartError, diagnose, power_law

FLAT = [(4.0, 0.0505), (8.0, 0.0502), (12.0, 0.0501), (16.0, 0.05)]
PLAIN = {
    "error": 0.05,
    "wanted": 0.025,
    "n_labels": 20,
    "curve": FLAT,
    "training_error": 0.01,
    "cv_error": 0.05,
    "larger_basis": OtherBasis(200, 0.049),
    "longer_cutoff": OtherBasis(7.5, 0.051),
    "n_functions": 100,
    "cutoff_a": 6.0,
    "n_frames": 3,
}


def said(**changes):
    return diagnose(FitEvidence(**{**PLAIN, **changes}))


def test_too_few_labels_says_how_many_more():
    falling = [(n, 0.2 * n**-0.5) for n in (4.0, 8.0, 12.0, 16.0)]
    text = said(curve=falling)
    # half of the error needs four times the labels
    assert "too few labels" in text and "n^-0.5" in text and "about 60 more would do" in text
    assert power_law(falling).exponent == pytest.approx(0.5)
    assert power_law([(4.0, 0.1)]) is None


def test_labels_that_help_too_slowly_promise_nothing():
    slow = [(n, 0.2 * n**-0.16) for n in (4.0, 8.0, 12.0, 16.0)]
    assert "too slowly" in said(curve=slow, wanted=0.005)


def test_more_labels_do_not_help_where_the_learnt_ones_are_as_wrong():
    """Noise: the error of others falls with the number of labels, but never below what is left of the learnt ones."""
    falling = [(n, 0.04 + 0.2 / n) for n in (4.0, 8.0, 12.0, 16.0)]
    text = said(curve=falling, training_error=0.04)
    assert "too few labels" not in text and "Labels contradict each other" in text
    assert "too few labels" in said(curve=falling)


def test_too_small_a_basis():
    text = said(larger_basis=OtherBasis(200, 0.03))
    assert "basis is too small" in text and "200 functions per element instead of 100" in text
    assert "set potential.functions_per_element to 200" in text
    assert "labels" not in text.partition("basis is too small")[0]


def test_a_larger_basis_that_auto_leaves_out_for_its_cost():
    text = said(larger_basis=OtherBasis(400, 0.03, over_limit_us_atom=41.2))
    assert "basis is too small" in text and "raise potential.md_cost_limit above 42 µs" in text
    assert "functions_per_element" not in text


def test_too_short_a_cutoff():
    text = said(longer_cutoff=OtherBasis(7.5, 0.03))
    assert "cutoff is too short" in text and "7.5 Å instead of 6" in text and "thick" not in text
    thin = said(longer_cutoff=OtherBasis(7.5, 0.03, needs_cell_a=7.5))
    assert "set potential.cutoff_a to 7.5 and structure to cells at least 7.5 Å thick" in thin


def test_with_few_labels_more_of_them_are_the_first_remedy():
    falling = [(n, 0.2 * n**-0.5) for n in (1.0, 2.0)]
    text = said(curve=falling, n_labels=3, longer_cutoff=OtherBasis(7.5, 0.03))
    assert text.index("too few labels") < text.index("cutoff is too short")


def test_of_basis_and_cutoff_what_helps_most_is_first():
    both = {"larger_basis": OtherBasis(200, 0.04), "longer_cutoff": OtherBasis(7.5, 0.02)}
    assert said(**both).index("cutoff is too short") < said(**both).index("basis is too small")


def test_labels_that_contradict_each_other():
    text = said(training_error=0.045, n_down_weighted=2)
    assert "contradict each other" in text and "45 meV/Å" in text and "2 of them" in text
    assert "contradict" not in said()


@pytest.mark.parametrize(("ridge", "edge"), [(0.1, "upper"), (1e-8, "lower"), (1e-4, None)])
def test_a_fit_at_the_edge_of_its_ridge(ridge, edge):
    text = said(ridge=ridge, ridges=(1e-8, 0.1), larger_basis=None)
    assert (f"{edge} edge" in text) if edge else ("edge" not in text)


def test_the_lower_edge_is_not_said_where_more_functions_are_no_better():
    assert "edge" in said(ridge=1e-8, ridges=(1e-8, 0.1), larger_basis=None)
    assert "edge" not in said(ridge=1e-8, ridges=(1e-8, 0.1))


def parts(**shares_and_errors):
    return {name: PartError(*both) for name, both in shares_and_errors.items()}


def test_an_element_that_stands_out():
    text = said(by_element=parts(Mg=(0.08, 0.04), O=(0.2, 0.1)))
    assert "Element O is what fails: 20 % of its forces against 8 %" in text
    assert "Element" not in said(by_element=parts(Mg=(0.08, 0.04), O=(0.1, 0.05)))


def test_a_temperature_that_stands_out():
    cold, hot = "300 to 600 K", "900 to 1200 K"
    text = said(by_range=parts(**{cold: (0.05, 0.02), hot: (0.2, 0.2)}))
    assert "range 900 to 1200 K is what fails" in text


def test_the_same_error_is_not_what_fails_in_the_cold():
    assert "range" not in said(by_range=parts(**{"300 K": (0.4, 0.2), "1000 K": (0.2, 0.2)}))


def test_too_few_frames_and_nothing_at_all():
    assert "too small to be sure" in said(error=0.02, is_undecided=True)
    assert "No single cause stands out" in said()
    assert said().startswith("The force error of 3 audited frames is 50 meV/Å, the target 25.")


def test_what_stands_out_is_said_before_contradictions_and_after_remedies():
    found = {"training_error": 0.045, "by_element": parts(Mg=(0.08, 0.04), O=(0.2, 0.1))}
    assert said(**found).index("Element O") < said(**found).index("contradict")
    better = said(**found, larger_basis=OtherBasis(200, 0.03))
    assert better.index("basis is too small") < better.index("Element O")
    assert "contradict" not in better
