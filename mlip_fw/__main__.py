"""``python -m mlip_fw`` is ``mlip-fw``."""

import sys
from pathlib import Path

if not sys.flags.safe_path and Path(sys.path[0]) == Path.cwd():
    del sys.path[0]  # what lies in the current folder may be anybody's

from mlip_fw.cli.main import main

main()
