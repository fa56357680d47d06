"""Database addresses without credentials, for messages and logs."""

from __future__ import annotations


def without_credentials(host: str | None) -> str:
    """Return the hosts of a MongoDB address, without user name, password and options.

    Examples
    --------
    >>> without_credentials("mongodb://me:secret@db1:27017,db2:27017/?tls=true")
    'db1:27017,db2:27017/'
    >>> without_credentials("localhost")
    'localhost'
    """
    return (host or "localhost").rpartition("@")[2].partition("?")[0]
