"""Finding what faults left behind on a LaunchPad, and mending it."""
