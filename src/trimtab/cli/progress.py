"""Progress of long work: a bar for each stage, and above them what the loop did."""

from __future__ import annotations

import time
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from trimtab.cli.story import STYLES

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_SILENT = ("collect", "recalibrate")


class Stage:
    """One bar."""

    def __init__(self, progress: Progress | None, title: str) -> None:
        self._progress = progress
        self._task: TaskID | None = progress.add_task(title, total=None, at="") if progress is not None else None

    def show(self, moment: datetime, done: int, steps: int) -> None:
        """The stage has come to `moment`, `done` of `steps`."""
        self.tell(f"{moment:%Y-%m-%d}", done, steps)

    def tell(self, at: str, done: int, steps: int) -> None:
        """The stage is at what `at` names, `done` of `steps`."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=steps, at=at)

    def end(self) -> None:
        """The stage has come to its end, maybe before its last step."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, total=self._progress.tasks[self._task].completed, at="")


class Board:
    """Bars at the foot of the terminal, lines above. Quiet when nobody reads it."""

    def __init__(self, *, quiet: bool) -> None:
        self._progress: Progress | None = None
        self._verb = ""
        self._at = ""
        if not quiet:
            # Rich is imported here: no other verb pays for it.
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[at]}"),
                TimeElapsedColumn(),
                console=Console(highlight=False),
            )

    def __enter__(self) -> Board:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def stage(self, title: str) -> Stage:
        """Another bar."""
        return Stage(self._progress, title)

    def say(self, verb: str, text: str) -> None:
        """One line on what the loop began, or what it came to."""
        if verb in STYLES:
            style, silent = STYLES[verb], self._verb in _SILENT and verb == "done"
        else:
            self._verb, style, silent = verb, "bold", True
        if self._progress is not None and not silent:
            self._progress.console.print(f"  [{style}]{self._verb}[/] {_escaped(text)}", highlight=False)

    def wait(self, seconds: float) -> None:
        """Let time pass while another process works."""
        time.sleep(seconds)


def _escaped(text: str) -> Any:
    from rich.markup import escape

    return escape(text)
