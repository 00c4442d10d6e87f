"""Progress of a long work on the terminal.

Credits: rich.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressLine:
    """A live bar on a terminal; elsewhere (a SLURM log, a file) one plain line every ``seconds``.

    :param total: when the work is done
    :param done: how much of it was done before
    :param describe: makes the text beside the bar, from the seconds since the beginning (never 0)
    :param seconds: time between plain lines
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
        """Seconds since the beginning."""
        return max(time.monotonic() - self._began, 1e-9)

    def update(self, done: int) -> None:
        """Tell how much is done; shown when it is time to."""
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
        """Show the last state and leave the terminal as it was. May be called again."""
        if self._bar:
            self._show()
            self._bar.stop()
            self._bar = None


@contextlib.contextmanager
def progress_of(text: str) -> Iterator[Callable[[int, int], None]]:
    """A line for work that may turn out to be done already: it begins with the first call.

    :return: to be called with how much is done and the total
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
