"""Finding what faults left behind on a LaunchPad, and putting it right."""
