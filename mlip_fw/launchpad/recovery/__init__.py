"""Recovery: find what faults have left on a LaunchPad, and repair it."""
