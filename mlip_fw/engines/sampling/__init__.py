"""Structures that may be labelled after a halt."""
