"""ACE potentials: basis, evaluation, neighbour lists, ASE calculator."""
