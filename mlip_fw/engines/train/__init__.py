"""From labels to a potential: linear fit, active set, stability test, and trainers that refine (pacemaker)."""
