"""Work that may take longer than a page should: the page waits a moment, and then shows what was known before."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")
PATIENCE_S = 0.6
_LEAST_S = 0.05


class Errand:
    """One piece of work in a thread of its own, which ends with the process at the latest."""

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


class Errands:
    """Results by name; of each name, one piece of work at a time.

    Parameters
    ----------
    patience_s
        So long a page waits for all of its work together; None: until it is done.
    """

    def __init__(self, patience_s: float | None = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._running: dict[object, Errand] = {}
        self._known: dict[object, Any] = {}
        self._lock, self._page = threading.Lock(), threading.local()

    def begin(self) -> None:
        """Begin a page in this thread: what it waits for is counted from now on."""
        self._page.since = time.monotonic()

    def known(self, name: object) -> Any:
        """Return the last result, or None."""
        return self._known.get(name)

    def result(self, name: object, work: Callable[[], Result]) -> Result | None:
        """Return what ``work`` comes to; if it takes too long the result before, or None, and it goes on meanwhile.

        An error of the work is raised to who waited for it.
        """
        with self._lock:
            errand = self._running.get(name)
            if errand is None or errand.is_done.is_set():
                errand = self._running[name] = Errand(lambda: self._keep(name, work()))
        if errand.is_done.wait(self._left()) and errand.error is not None:
            raise errand.error
        return self._known.get(name)

    def _left(self) -> float | None:
        if self._patience_s is None:
            return None
        now = time.monotonic()
        return max(_LEAST_S, getattr(self._page, "since", now) + self._patience_s - now)

    def _keep(self, name: object, result: object) -> None:
        self._known[name] = result
