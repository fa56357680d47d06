"""Frozen models of everything that is written down: campaign, hand-offs, results."""
