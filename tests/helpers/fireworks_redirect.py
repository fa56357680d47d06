"""A plugin of pytest for FireWorks' own tests: the MongoDB that they expect on this machine is our server.

Never imported here: it changes pymongo for the whole process.
"""

import os
from pathlib import Path

import pymongo
from ruamel.yaml import YAML

_GIVEN = YAML(typ="safe").load(Path(os.environ["MLIP_FW_TEST_LAUNCHPAD"]))


class Redirected(pymongo.MongoClient):
    """A client that goes to our server instead of port 27017."""

    def __init__(self, host=None, port=None, **options):
        if host in (None, "localhost") and port in (None, 27017):
            host, port = _GIVEN["host"], _GIVEN["port"]
            if options.get("username") is None:
                options |= {"username": _GIVEN["username"], "password": _GIVEN["password"], "authSource": "admin"}
        super().__init__(host, port, **options)


pymongo.MongoClient = Redirected
