"""Energy, forces, stress and gamma of a structure by {{ card.campaign }}, generation {{ card.generation }}.

Needs ASE and python-ace: pip install ase 'python-ace>=0.4.0rc1'
"""

import json
from pathlib import Path

from ase.io import read
from pyace import PyACECalculator

here = Path(__file__).parent
# pyace, because that is all this needs. Where mlip_fw is installed, AceCalculator(here / "potential.yaml") from mlip_fw
# gives the same, gamma included, an order of magnitude faster once it is compiled: worth it for MD.
calculator = PyACECalculator(str(here / "potential.yaml"))
calculator.set_active_set(str(here / "potential.asi"))

atoms = read(here / "structure.extxyz")
atoms.calc = calculator
energy = atoms.get_potential_energy()
reference = json.loads((here / "model.json").read_text())["reference_energy_ev"]
print(f"energy         {energy:.12f} eV")
print(f"with reference {energy + sum(reference[s] for s in atoms.get_chemical_symbols()):.12f} eV")
print(f"largest force  {abs(atoms.get_forces()).max():.6f} eV/Å")
print(f"largest stress {abs(atoms.get_stress()).max():.6f} eV/Å³")
print(f"largest gamma  {calculator.results['gamma'].max():.3f}")
