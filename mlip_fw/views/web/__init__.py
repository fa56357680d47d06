"""Campaigns in the browser, beside FireWorks' own GUI: read-only, and nothing from outside."""
