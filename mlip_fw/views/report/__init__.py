"""Figures and a page of a campaign."""
