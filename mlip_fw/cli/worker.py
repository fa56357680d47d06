"""A worker process of ``mlip-fw run --workers N``: ``python -m mlip_fw.cli.worker LAUNCHPAD WORKER``.

Started by the worker pool only; nothing stored or queued names this module.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mlip_fw.cli.common import load_fworker, load_launchpad, log_to_stderr
from mlip_fw.launcher.worker_pool import run_worker
from mlip_fw.runtime.signals import InterruptedBySignal

if __name__ == "__main__":
    log_to_stderr()
    launchpad, worker = (Path(argument) for argument in sys.argv[1:])
    try:
        run_worker(load_launchpad(launchpad), load_fworker(worker))
    except InterruptedBySignal as interrupted:
        sys.exit(128 + interrupted.number)
