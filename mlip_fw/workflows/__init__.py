"""The Fireworks and workflows of a campaign: how they are built, and what follows each result."""
