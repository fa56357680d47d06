"""A campaign on disk: its directory, labels, generations of the potential, events and summary."""
