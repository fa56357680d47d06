"""How good a potential is: held-out frames and the quantities that people look at, against the oracle."""
