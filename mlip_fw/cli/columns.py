"""A column of a progress line."""

from __future__ import annotations

from rich.progress import MofNCompleteColumn, Task
from rich.text import Text


class Count(MofNCompleteColumn):
    """So many of so many, if that is known."""

    def render(self, task: Task) -> Text:
        """Return the column of a task; it is empty while the total is unknown."""
        return super().render(task) if task.total is not None else Text()
