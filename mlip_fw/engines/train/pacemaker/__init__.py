"""Training by pacemaker, a program of its own that fits non-linear potentials."""
