"""The processes that run Fireworks: on this machine, on clusters, offline."""
