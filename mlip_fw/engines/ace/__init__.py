"""ACE potentials: evaluation, neighbour lists, memory."""
