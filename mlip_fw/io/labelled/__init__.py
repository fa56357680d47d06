"""Labelled structures of users: any file, its names and units, to labels in eV and Å and what was understood."""
