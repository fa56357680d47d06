"""Labelled structures of users: reading of any format, names and units into labels in eV and Å, with an audit."""
