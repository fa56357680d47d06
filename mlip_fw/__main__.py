"""``python -m mlip_fw`` is ``mlip-fw``."""

from mlip_fw.cli.main import main

main()
