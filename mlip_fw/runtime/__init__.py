"""Processes of this machine: how they are started, supervised, interrupted and recorded."""
