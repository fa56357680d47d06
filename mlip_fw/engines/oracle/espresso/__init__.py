"""Reference calculations by pw.x of Quantum ESPRESSO, under custodian."""
