"""How the Fireworks hang together."""
