"""A compiled evaluator for ACE potentials, linear or with Finnis-Sinclair embedding.

Interface: ``choice`` decides between this kernel and pyace, ``check`` compares the two, and ``kernel`` holds the
class that evaluates. Preparation, in Python: ``radial`` tabulates radial functions, ``program`` factorises the basis
functions into products, and ``form`` packs both into the arrays of ``layout``. Evaluation, compiled by numba:
``energies`` and ``rows`` are the entry points, made of ``stages`` (neighbours to atomic base sums), ``products``,
``embedding``, ``gradients`` and ``grades``, with the SIMD type of ``vector``. ``ready`` and ``cache`` compile once
for each machine.
"""
