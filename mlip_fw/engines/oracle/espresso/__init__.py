"""Labels from pw.x of Quantum ESPRESSO, under custodian."""
