"""A LaunchPad server for one machine: MongoDB's wire protocol on a loopback port, one SQLite file on disk.

It serves the commands that FireWorks, pymongo and GridFS use, for one user. Queries and updates follow MongoDB's
rules, by code of this package or by mongomock's engine; what is not supported is refused with MongoDB's error codes.

The package is a guest: it imports nothing else of mlip_fw and could be a distribution of its own. Its errors are
:class:`~mlip_fw.launchpad.server.system.ServerError` and, towards clients, ``CommandError``.
"""

HOST = "127.0.0.1"
"""The only address that the server listens on."""

NAME = "fireworks"
"""Name of the LaunchPad's database."""

USER = "mlip_fw"
"""The only user."""
