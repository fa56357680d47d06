"""ACE potentials that are linear in their coefficients, evaluated by compiled code of our own.

``radial`` and ``program`` take a potential of pyace apart, ``form`` keeps what they find, ``stages``, ``energies``
and ``rows`` are compiled by numba, and ``kernel`` is what others use. ``vector`` lets compiled code work on eight
numbers at once.
"""
