"""Thin Firetasks: take the hand-off, call one engine, hand on.

What comes next is not known here: a Firetask is given, as ``then``, the name of a function in
:mod:`mlip_fw.workflows.loop` that turns its result into Fireworks.
"""
