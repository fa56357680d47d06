"""Immutable pydantic models of everything that is stored: the campaign, specs of Fireworks, results, records."""
