"""Where a game is shown while it is played: a window, or a terminal without a display.

Credits: pygame for window and keyboard.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from rl.traces.playback import Picture

WINDOW_HEIGHT = 630  # pixels; smaller pictures are enlarged by a whole number
TERMINAL_FPS = 20.0  # more than most terminals draw


class Closed(Exception):
    """The user has closed the window, or pressed Escape."""


class Screen(Protocol):
    """Shows pictures at a game's own speed."""

    def show(self, picture: Picture) -> None:
        """Show a picture, uint8 (H, W, 3), and wait until the next is due.

        :raises Closed: when the user has had enough
        """

    def close(self) -> None:
        """Give the window or the terminal back."""


def has_display() -> bool:
    """Whether a window could be opened."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class Pace:
    """Waits for the next picture's time.

    :param fps: pictures per second; infinity for no waiting
    """

    def __init__(self, fps: float) -> None:
        self.seconds = 1 / fps
        self._due = time.monotonic()

    def wait(self) -> None:
        """Sleep until the next picture is due. Time that was lost is not caught up with."""
        self._due = max(self._due + self.seconds, time.monotonic())
        time.sleep(max(0.0, self._due - time.monotonic()))


class Window:
    """A window with a keyboard.

    :param title: of the window
    :param fps: pictures per second
    :raises UserError: when there is no display (status 1)
    :raises ModuleNotFoundError: when pygame is not installed
    """

    def __init__(self, title: str, fps: float) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        import pygame  # in the extra "window"

        self._pygame: Any = pygame
        self._title = title
        self._pace = Pace(fps)
        self._surface: Any = None
        self._held: set[int] = set()
        try:
            pygame.display.init()
        except pygame.error as error:
            raise UserError(f"no window can be opened: {error}", status=1) from error

    def show(self, picture: Picture) -> None:
        """Show a picture, uint8 (H, W, 3)."""
        height, width = picture.shape[:2]
        if self._surface is None:
            scale = max(1, WINDOW_HEIGHT // height)
            self._surface = self._pygame.display.set_mode((width * scale, height * scale))
            self.caption("")
        small = self._pygame.surfarray.make_surface(picture.swapaxes(0, 1))
        self._pygame.transform.scale(small, self._surface.get_size(), self._surface)
        self._pygame.display.flip()
        self._events()
        self._pace.wait()

    def caption(self, text: str) -> None:
        """Add a text to the window's title."""
        self._pygame.display.set_caption(f"{self._title} {text}".strip())

    def held(self, *names: str) -> bool:
        """Whether one of these keys is held down.

        :param names: pygame's, such as ``up`` and ``space``
        """
        return any(self._pygame.key.key_code(name) in self._held for name in names)

    def close(self) -> None:
        """Close the window."""
        self._pygame.display.quit()

    def _events(self) -> None:
        for event in self._pygame.event.get():
            if event.type == self._pygame.QUIT:
                raise Closed
            if event.type == self._pygame.KEYDOWN:
                if event.key == self._pygame.K_ESCAPE:
                    raise Closed
                self._held.add(event.key)
            elif event.type == self._pygame.KEYUP:
                self._held.discard(event.key)
            elif event.type == self._pygame.WINDOWFOCUSLOST:
                self._held.clear()


class Terminal:
    """A terminal with 24-bit colours, each character cell showing two pixels, one above the other.

    :param fps: pictures per second; some are left out, since terminals draw slowly
    :raises UserError: when the terminal cannot show the character
    """

    def __init__(self, fps: float) -> None:
        try:
            "▀".encode(sys.stdout.encoding)
        except UnicodeEncodeError as error:
            raise UserError(f"a terminal of encoding {sys.stdout.encoding} shows no pictures; add --output") from error
        self._pace = Pace(fps)
        self._every = max(1, round(fps / TERMINAL_FPS)) if np.isfinite(fps) else 1
        self._count = 0
        self._brightest: Picture | None = None
        sys.stdout.write("\x1b[?25l\x1b[2J")  # hides the cursor, clears the screen

    def show(self, picture: Picture) -> None:
        """Show a picture, uint8 (H, W, 3), or take it into the next: games draw some things on every other one."""
        self._brightest = picture if self._brightest is None else np.maximum(self._brightest, picture)
        self._count += 1
        if self._count % self._every == 0:
            sys.stdout.write("\x1b[H" + "\n".join(self._lines(self._brightest)) + "\x1b[0m")
            sys.stdout.flush()
            self._brightest = None
        self._pace.wait()

    def close(self) -> None:
        """Show the cursor again, below the picture."""
        sys.stdout.write("\x1b[0m\x1b[?25h\n")
        sys.stdout.flush()

    def _lines(self, picture: Picture) -> list[str]:
        columns, lines = shutil.get_terminal_size()
        height, width = picture.shape[:2]
        scale = min(columns / width, 2 * (lines - 1) / height, 1.0)
        shown = reduced(picture, max(2, int(height * scale) // 2 * 2), max(1, int(width * scale)))
        return [
            "".join(
                "\x1b[38;2;{};{};{};48;2;{};{};{}m▀".format(*upper, *lower)
                for upper, lower in zip(shown[row].tolist(), shown[row + 1].tolist(), strict=True)
            )
            for row in range(0, len(shown), 2)
        ]


def reduced(picture: Picture, height: int, width: int) -> NDArray[np.uint8]:
    """A smaller picture of which each pixel is the brightest of those it stands for, so that thin lines stay.

    :param picture: uint8 (H, W, 3)
    :param height: at most H
    :param width: at most W
    :return: uint8 (height, width, 3)
    """
    rows = np.arange(height) * picture.shape[0] // height
    columns = np.arange(width) * picture.shape[1] // width
    small: NDArray[np.uint8] = np.maximum.reduceat(np.maximum.reduceat(picture, rows, axis=0), columns, axis=1)
    return small
