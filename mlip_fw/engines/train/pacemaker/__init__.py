"""Training by pacemaker: a non-linear potential, fitted by its own program."""
