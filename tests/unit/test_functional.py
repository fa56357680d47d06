"""A functional is the same however a UPF file spells it, and no message denies a file that is there."""

import pytest

from mlip_fw.engines.oracle.espresso.functional import OF_FUNCTIONAL, canonical_functional
from mlip_fw.engines.oracle.espresso.pseudo import choose_pseudopotentials, read_upf
from mlip_fw.errors import WorkerError
from mlip_fw.models.worker import Worker
from tests.helpers.espresso import UPF_1, oracle, upf_of


@pytest.mark.parametrize(
    ("spelled", "functional"),
    [
        (" SLA  PW   PBX  PBC", "PBE"),
        ("SLA-PW-PBX-PBC", "PBE"),
        ("sla+pw+pbx+pbc", "PBE"),
        ("SLA PW PBE PBE", "PBE"),
        ("SLA-PW-PBE-PBE", "PBE"),
        ("pbe", "PBE"),
        (" PBE ", "PBE"),
        ("XC-001I-004I-003I-004I-000I-000I", "PBE"),
        ("XC-000i-000i-101l-130l", "PBE"),
        ("SLA PW PBX PBC NONE NONE", "PBE"),
        ("PBEsol", "PBEsol"),
        ("sla-pw-psx-psc", "PBEsol"),
        ("PZ", "LDA"),
        ("lda", "LDA"),
        ("SLA-PZ-NOGX-NOGC", "LDA"),
        ("SLA PZ", "LDA"),
        ("sla+pw", "LDA"),
    ],
)
def test_spellings_of_a_functional(tmp_path, spelled, functional):
    upf_of(tmp_path, "As.UPF", spelled, element="As")
    upf_of(tmp_path, "Si.UPF", canonical_functional(functional), element="Si")
    for wanted in ("LDA", "PBE", "PBEsol"):
        if wanted == functional:
            choose = choose_pseudopotentials(oracle(functional=wanted), Worker(pseudo_dir=str(tmp_path)), ["As"])
            assert choose["As"].functional in OF_FUNCTIONAL[functional]
        else:
            with pytest.raises(WorkerError, match=r"no pseudopotential of As of functional .*: there is As.UPF"):
                choose_pseudopotentials(oracle(functional=wanted), Worker(pseudo_dir=str(tmp_path)), ["As"])
    if spelled not in ("sla+pw",):
        both = choose_pseudopotentials(oracle(), Worker(pseudo_dir=str(tmp_path)), ["As", "Si"])
        assert both["As"].functional == both["Si"].functional


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("BLYP", "sla+b88+lyp+blyp", True),
        ("BLYP", "SLA LYP B88 BLYP", True),
        ("BP", "BLYP", False),
        ("XC-001I-004I-044I-004I-000I-000I", "xc-001i-004i-044i-004i-000i-000i", True),
        ("XC-001I-004I-003I-004I-001I-000I", "PBE", False),
        ("PBE", "PBESOL", False),
        ("SLA-PW-RPB-PBC", "revPBE", True),
        ("vdw-df2", "VDW DF2", True),
        ("REVPBE", "PBE", False),
    ],
)
def test_same_functional(one, other, is_same):
    assert (canonical_functional(one) == canonical_functional(other)) is is_same


def test_functional_of_the_first_version_of_upf(tmp_path):
    (tmp_path / "Si.UPF").write_text(
        UPF_1.replace(" SLA  PZ   NOGX NOGC   PZ ", " SLA-PW-PBX-PBC   PBE ").format(element="Si", charge="4.0")
    )
    assert read_upf(tmp_path / "Si.UPF", "Si").functional == "SLA PW PBX PBC"
    (tmp_path / "Si.UPF").write_text(
        UPF_1.replace(" SLA  PZ   NOGX NOGC   PZ ", " PBE ").format(element="Si", charge="4.0")
    )
    assert read_upf(tmp_path / "Si.UPF", "Si").functional == "SLA PW PBX PBC"


def test_what_is_there_is_not_denied(tmp_path):
    upf_of(tmp_path, "As.pz.UPF", "PZ", element="As")
    (tmp_path / "As_torn.UPF").write_text("<UPF>")
    upf_of(tmp_path, "As_mute.upf", "", element="As")
    with pytest.raises(WorkerError) as caught:
        choose_pseudopotentials(oracle(functional="PBE"), Worker(pseudo_dir=str(tmp_path)), ["As"])
    for said in ("As.pz.UPF (SLA PZ NOGX NOGC)", "is no whole UPF file", "As_mute.upf (which does not say"):
        assert said in str(caught.value)
