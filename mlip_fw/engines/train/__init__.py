"""From labels to a potential: basis, linear fit, active set."""
