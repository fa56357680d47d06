"""Campaigns without a shared file system (``files: filepad``): their files are exchanged through FireWorks' FilePad.

Every machine works in a local copy of the campaign directory. Before its work a Firework fetches the files that it
needs, and after it publishes those that it made, before FireWorks is told of the result. Files that belong together,
such as ``result.json`` and its restart file, are published with a *marker*: they become visible at once, when the
document of the marker is inserted. The first machine that publishes a marker wins; the others take over its files.
"""
