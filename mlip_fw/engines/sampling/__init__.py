"""Structures to label: the first ones, candidates after a halt, cut-outs of large cells, and the D-optimal choice."""
