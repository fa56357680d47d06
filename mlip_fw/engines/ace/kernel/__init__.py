"""ACE potentials, linear or with Finnis-Sinclair embedding, evaluated by compiled code of our own.

``choice`` says whether a potential is evaluated by it, others ask it through ``kernel``, and ``check`` compares it
with pyace. ``radial`` and ``program`` take a potential of pyace apart, ``form`` keeps what they find in the ``layout``
that compiled code takes. ``stages``, ``products``, ``embedding``, ``gradients`` and ``grades`` are the steps of
``energies`` and ``rows``, which numba compiles; ``vector`` lets them work on eight numbers at once. ``ready`` and
``cache`` have that done once for each machine.
"""
