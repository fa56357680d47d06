"""Campaigns without a shared file system: their files travel through FireWorks' FilePad.

Every machine works in a copy of its own. A Firework first fetches what it needs, and publishes what it
made before FireWorks hears of it. What a *marker* names (``result.json`` with its restart, say) appears
at once, by the one insert of the marker's document, and the first to publish it wins.
"""
