"""A worker process of ``mlip-fw run --workers N``: ``python -m mlip_fw.cli.worker LAUNCHPAD WORKER``.

Started by the worker pool only; nothing stored or queued names this module.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mlip_fw.cli.common import load_fworker, load_launchpad, log_to_stderr
from mlip_fw.interrupts import Interrupted
from mlip_fw.workflows.crew import be_a_hand

if __name__ == "__main__":
    log_to_stderr()
    launchpad, worker = (Path(argument) for argument in sys.argv[1:])
    try:
        be_a_hand(load_launchpad(launchpad), load_fworker(worker))
    except Interrupted as interrupted:
        sys.exit(128 + interrupted.number)
