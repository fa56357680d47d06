"""Code uses the field's terms and Python's: private words that were given up do not come back."""

import ast
import io
import re
import tokenize

import pytest

from tests.helpers.programs import ROOT

INSTEAD = {
    **dict.fromkeys(["attendance", "attend", "attendant", "dismiss"], "worker record, write, clear"),
    **dict.fromkeys(["nursery", "obituary"], "fork server"),
    **dict.fromkeys(["crew", "bury", "hands"], "worker pool, worker, record death"),
    **dict.fromkeys(["canary", "sing", "hear"], "engine check, run"),
    **dict.fromkeys(["mend", "mends", "mended", "mending"], "retrain, recover, repair, retry"),
    **dict.fromkeys(
        ["polish", "polishes", "polished", "polishing", "closer", "rehearsal", "rehearse"], "refine, backtrack, prerun"
    ),
    **dict.fromkeys(["errand", "errands", "want"], "staging spec, file set"),
    **dict.fromkeys(["baton"], "carry-over"),
    **dict.fromkeys(["story", "stories", "tale", "ledger"], "analysis, costs"),
    **dict.fromkeys(["desk", "sight", "glance", "harmless"], "view model, view, status view, allowed"),
    **dict.fromkeys(["shelve", "shelved", "shelving", "shelf"], "archive"),
    **dict.fromkeys(["lesson", "lessons", "triangle", "triangles"], "design rows, R factor"),
    **dict.fromkeys(["most", "least", "fewest"], "max, min, limit"),
}
"""A word of an identifier, and what to say instead."""
STAY = {
    *("PolishPotential", "after_polish", "POLISHED", "polish", "polished", "rehearsal", "is_rehearsal", "story"),
    *("least_dimer_slope_ev_a", "most_common", "_most_informative", "_least_absolute_deviation"),
}
"""What is stored, part of the public interface or Python's own."""
IN_TEXT = re.compile(
    r"\b(attendan\w+|nurser\w+|obituar\w+|crews?|bur(?:y|ied)|tales?|batons?|errands?|shelv\w+|mend(?:s|ed|ing)?)\b",
    re.IGNORECASE,
)
MODULES = sorted((ROOT / "mlip_fw").rglob("*.py"))


def words_of(identifier):
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)]


def identifiers_of(text):
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.string for token in tokens if token.type == tokenize.NAME}


def texts_of(text):
    """Return docstrings and comments."""
    nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
    comments = [t.string for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT]
    return [*(ast.get_docstring(node) or "" for node in nodes), *comments]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_identifiers(path):
    found = {*identifiers_of(path.read_text()), path.stem} - STAY
    old = {name: INSTEAD[word] for name in found for word in words_of(name) if word in INSTEAD}
    assert not old, f"{path.name}: use instead {old}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_and_comments(path):
    assert [match[0] for text in texts_of(path.read_text()) for match in IN_TEXT.finditer(text)] == []


def test_the_test_sees_old_words():
    text = "class TaleOfCrew:\n    '''Mend a shelved errand.'''\n    most_labels = 1  # attendance\n"
    assert {w for name in identifiers_of(text) for w in words_of(name) if w in INSTEAD} == {"crew", "tale", "most"}
    assert [m[0] for part in texts_of(text) for m in IN_TEXT.finditer(part)] == [
        "Mend",
        "shelved",
        "errand",
        "attendance",
    ]
