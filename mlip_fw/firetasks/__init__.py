"""Thin Firetasks: take the hand-off, call one step, hand on.

What comes next is not known here: a Firetask is given, as ``then``, the name of a function of
:mod:`mlip_fw.workflows.loop` that turns the step's result into Fireworks.
"""
