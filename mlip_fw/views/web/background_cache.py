"""Results that are computed in background threads: a page waits a moment for a new one, then shows the last one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")
PAGE_TIMEOUT_S = 0.6
"""A page waits this long for all of its background work together."""
_MIN_S = 0.05
"""Each result is waited for at least this long."""


class BackgroundTask:
    """A function that runs in a daemon thread."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.is_done = threading.Event()
        self.error: Exception | None = None
        self._work = work
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:
            self.error = error
        finally:
            self.is_done.set()


class BackgroundCache:
    """The last result of each named computation; each name is computed by one thread at a time.

    Parameters
    ----------
    timeout_s
        A page waits this long for all of its results together, s; None: until they are there.
    """

    def __init__(self, timeout_s: float | None = PAGE_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._running: dict[object, BackgroundTask] = {}
        self._results: dict[object, Any] = {}
        self._lock, self._page = threading.Lock(), threading.local()

    def begin(self) -> None:
        """Start the timeout of the page that this thread makes."""
        self._page.since = time.monotonic()

    def known(self, name: object) -> Any:
        """Return the last result, or None."""
        return self._results.get(name)

    def result(self, name: object, work: Callable[[], Result]) -> Result | None:
        """Return the result of ``work``; after the timeout the last one, or None, while the work goes on.

        An exception of the work is raised here if it comes before the timeout.
        """
        with self._lock:
            task = self._running.get(name)
            if task is None or task.is_done.is_set():
                task = self._running[name] = BackgroundTask(lambda: self._store(name, work()))
        if task.is_done.wait(self._remaining_s()) and task.error is not None:
            raise task.error
        return self._results.get(name)

    def _remaining_s(self) -> float | None:
        if self._timeout_s is None:
            return None
        now = time.monotonic()
        return max(_MIN_S, getattr(self._page, "since", now) + self._timeout_s - now)

    def _store(self, name: object, result: object) -> None:
        self._results[name] = result
