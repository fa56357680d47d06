"""Validation of a potential against its oracle: held-out frames, and properties of the crystal and of the MD."""
