"""Exchange-correlation functionals: the many spellings of UPF files, translated into one."""

from __future__ import annotations

import re

from mlip_fw.models.oracle import Functional

OF_FUNCTIONAL: dict[Functional, set[str]] = {
    "LDA": {"SLA PZ NOGX NOGC", "SLA PW NOGX NOGC"},
    "PBE": {"SLA PW PBX PBC"},
    "PBEsol": {"SLA PW PSX PSC"},
}
_BY_SHORT_NAME = {
    "LDA": "SLA PZ NOGX NOGC",
    "PZ": "SLA PZ NOGX NOGC",
    "PW": "SLA PW NOGX NOGC",
    "BP": "SLA PZ B88 P86",
    "PW91": "SLA PW GGX GGC",
    "BLYP": "SLA LYP B88 BLYP",
    "PBE": "SLA PW PBX PBC",
    "REVPBE": "SLA PW REVX PBC",
    "RPBE": "SLA PW HHNX PBC",
    "PW86PBE": "SLA PW PW86 PBC",
    "B86BPBE": "SLA PW B86B PBC",
    "PBESOL": "SLA PW PSX PSC",
    "WC": "SLA PW WCX PBC",
    "HCTH": "NOX NOC HCTH HCTH",
    "OLYP": "NOX LYP OPTX BLYP",
    "TPSS": "SLA PW TPSS TPSS",
    "PBE0": "PB0X PW PB0X PBC",
    "HSE": "SLA PW HSE PBC",
    "B3LYP": "B3LP B3LP B3LP B3LP",
}
"""Short names of Quantum ESPRESSO and what they stand for (Modules/funct.f90)."""
_OLD_WORDS = {
    "PBE": ("PBX", "PBC"),
    "PBES": ("PSX", "PSC"),
    "PBESOL": ("PSX", "PSC"),
    "GGA": ("GGX", "GGC"),
    "RPB": ("REVX", "PBC"),
}
"""Words of older files for a gradient correction: what they mean as exchange and as correlation."""
_BY_NUMBER = {
    "001I 001I 000I 000I": "SLA PZ NOGX NOGC",
    "001L 009L 000I 000I": "SLA PZ NOGX NOGC",
    "001I 004I 000I 000I": "SLA PW NOGX NOGC",
    "001L 012L 000I 000I": "SLA PW NOGX NOGC",
    "001I 004I 003I 004I": "SLA PW PBX PBC",
    "000I 000I 101L 130L": "SLA PW PBX PBC",
    "001I 004I 010I 008I": "SLA PW PSX PSC",
    "000I 000I 116L 133L": "SLA PW PSX PSC",
    "001I 003I 001I 003I": "SLA LYP B88 BLYP",
    "000I 000I 106L 131L": "SLA LYP B88 BLYP",
}
"""Exchange, correlation and their gradient corrections by the numbers of Quantum ESPRESSO (I) and of libxc (L)."""
_IN_ANY_ORDER = {frozenset(long.split()): long for long in _BY_SHORT_NAME.values()}
_N_WORDS = 4
_EMPTY_WORDS = ("NONE", "NOMETA", "NONLOC")
"""Words that say that there is no meta-GGA, or no non-local correlation."""


def canonical_functional(said: str) -> str:
    """Return a functional in one spelling: ``SLA PW PBX PBC`` for PBE.

    As in Quantum ESPRESSO, blanks, ``-`` and ``+`` separate words, and case does not matter. Its short names and the
    numbers of its ``XC-…`` notation are known for the usual functionals; anything else is returned in capitals, with
    single blanks.

    Examples
    --------
    >>> canonical_functional("sla+pw+pbe+pbe")
    'SLA PW PBX PBC'
    >>> canonical_functional("XC-001i-004i-003i-004i-000i-000i")
    'SLA PW PBX PBC'
    """
    words = re.split(r"[-+\s]+", said.strip(" \t\n-+").upper())
    while len(words) > _N_WORDS and words[-1] in _EMPTY_WORDS:
        words.pop()
    if words[0] == "XC":
        return _by_number(words[1:])
    if len(words) == 1:
        return _BY_SHORT_NAME.get(words[0], words[0])
    if len(words) == 2 and words[0] == "SLA":
        words += ["NOGX", "NOGC"]
    if len(words) == _N_WORDS:
        words = [*words[:2], *(_OLD_WORDS.get(word, (word, word))[k] for k, word in enumerate(words[2:]))]
    return _IN_ANY_ORDER.get(frozenset(words), " ".join(words))


def _by_number(words: list[str]) -> str:
    numbers, more = words[:_N_WORDS], words[_N_WORDS:]
    plain = all(word in ("000I", "000L") for word in more)
    known = _BY_NUMBER.get(" ".join("000I" if word == "000L" else word for word in numbers)) if plain else None
    return known or " ".join(["XC", *words])
