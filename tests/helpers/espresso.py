"""Settings and pseudopotential files of Quantum ESPRESSO, without Quantum ESPRESSO."""

from mlip_fw.models.oracle import EspressoOracle

UPF = """<UPF version="2.0.1">
<PP_HEADER element="{element}" z_valence="{charge}" functional="{functional}"
 is_paw="false"/>
</UPF>
"""
UPF_1 = """<PP_HEADER>
   0                   Version Number
  {element}                   Element
   NC                  Norm - Conserving pseudopotential
    F                  Nonlinear Core Correction
 SLA  PZ   NOGX NOGC   PZ   Exchange-Corr  functional
    {charge}000000000      Z valence
</PP_HEADER>
<PP_RHOATOM>
</PP_RHOATOM>
"""


def oracle(**settings):
    return EspressoOracle(**{"kind": "espresso", "ecutwfc_ry": 30.0, "kpoint_spacing_1_a": 0.3, **settings})


def upf_of(folder, name, functional, element="Si"):
    header = f'<PP_HEADER element="{element}" z_valence="4.0" functional="{functional}"/>'
    (folder / name).write_text(f'<UPF version="2.0.1">{header}</UPF>')
