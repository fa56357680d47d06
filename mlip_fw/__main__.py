"""``python -m mlip_fw`` is ``mlip-fw``."""

import os
import sys

try:
    here = os.getcwd()  # noqa: PTH109  pathlib is imported after this
except OSError:
    here = ""  # the current folder is gone
if not sys.flags.safe_path and sys.path[0] == here:
    del sys.path[0]  # what lies in the current folder may be anybody's

from mlip_fw.cli.main import main

main()
