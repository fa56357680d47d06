"""Stand-ins for programs, used as worker commands in tests and nowhere else."""
