"""Progress of long work in the terminal.

Credits: rich.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressLine:
    """A progress bar in a terminal; elsewhere (a SLURM log, a file) a line every ``seconds``.

    :param total: the amount of work
    :param done: the part that was done before
    :param describe: returns the text beside the bar, from the seconds since the start (never 0)
    :param seconds: time between the lines
    """

    def __init__(self, total: int, done: int, describe: Callable[[float], str], seconds: float = 30.0) -> None:
        self.total = total
        self.describe = describe
        self.seconds = seconds
        self.console = Console(stderr=True)
        self._began = self._shown = time.monotonic()
        self._before = self._done = done
        self._bar: Progress | None = None
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:.0f}%"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.console,
                refresh_per_second=2,
            )
            self._task = self._bar.add_task(describe(self.elapsed), total=total, completed=done)
            self._bar.start()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return max(time.monotonic() - self._began, 1e-9)

    def update(self, done: int) -> None:
        """Set the amount of work that is done, and refresh the display if that is due."""
        self._done = done
        now = time.monotonic()
        if now - self._shown >= (0.5 if self._bar else self.seconds):
            self._shown = now
            self._show()

    def _show(self) -> None:
        elapsed = self.elapsed
        text = self.describe(elapsed)
        if self._bar:
            self._bar.update(self._task, completed=self._done, description=text)
        else:
            left = elapsed * max(0, self.total - self._done) / max(1, self._done - self._before)
            self.console.print(f"{text} | {elapsed / 60:.1f} min, {left / 60:.1f} min left", soft_wrap=True)

    def close(self) -> None:
        """Show the last numbers and restore the terminal. May be called again."""
        if self._bar:
            self._show()
            self._bar.stop()
            self._bar = None


@contextlib.contextmanager
def progress_of(text: str) -> Iterator[Callable[[int, int], None]]:
    """Progress of work that may already be done; nothing is shown before the first call.

    :param text: shown beside the bar
    :return: function of the amount of work done and the total
    """
    line: ProgressLine | None = None

    def progress(done: int, total: int) -> None:
        nonlocal line
        line = line or ProgressLine(total, 0, lambda elapsed: text)
        line.update(done)

    try:
        yield progress
    finally:
        if line is not None:
            line.close()
