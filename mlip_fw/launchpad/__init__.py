"""A campaign in the database: queries, archiving, recovery, files in the FilePad, the one-machine server."""
