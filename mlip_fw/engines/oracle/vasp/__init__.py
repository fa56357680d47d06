"""Reference calculations by VASP: pymatgen's input sets, custodian's job and handlers.

Written from the documentation of VASP, pymatgen and custodian; not tried with a real VASP.
"""
