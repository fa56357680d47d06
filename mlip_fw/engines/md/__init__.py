"""Molecular dynamics in LAMMPS that halts itself on the extrapolation grade."""
