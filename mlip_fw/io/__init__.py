"""Files <-> models, and nothing else."""
