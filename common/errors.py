"""Errors that a user can cause, with messages of one line: what is wrong, where, and what to do.

Credits: Python's difflib for the nearest name.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping


class UserError(Exception):
    """An error that the user can correct; shown as one line, without a traceback.

    :param message: what is wrong, where, and what to do
    :param status: exit status: 2 for bad arguments or bad input files, 1 for a run that failed
    """

    def __init__(self, message: str, status: int = 2) -> None:
        super().__init__(" ".join(message.split()))
        self.status = status


class Interrupted(Exception):
    """The work was stopped by a signal, after its state was saved.

    :param message: what was saved and how to continue
    :param signal_number: the signal; the exit status is 128 plus it, as in shells
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(" ".join(message.split()))
        self.status = 128 + signal_number


def check_at_least(least: int, flags: Mapping[str, float | None]) -> None:
    """Refuse a flag's number that is too small or not finite. None, where nothing was said, passes.

    :param least: 0 or 1
    :param flags: numbers by their flags
    :raises UserError: naming the first flag whose number is refused
    """
    for flag, value in flags.items():
        if value is not None and not least <= value < math.inf:
            bound = f"at least {least}" if least else "0 or more"
            raise UserError(f"{flag} must be {bound}, not {value if isinstance(value, int) else f'{value:g}'}")


def check_counts(most: int, flags: Mapping[str, int | None], least: int = 1) -> None:
    """Refuse a flag's count that is too small, or so large that it makes no sense. None, for nothing said, passes.

    :param least: 0 or 1
    :raises UserError: naming the first flag whose count is refused
    """
    check_at_least(least, flags)
    for flag, value in flags.items():
        if value is not None and value > most:
            raise UserError(f"{flag} {value}: at most {most}")


def check_positive(flags: Mapping[str, float]) -> None:
    """Refuse a flag's number that is not above 0, or not finite.

    :raises UserError: naming the first flag whose number is refused
    """
    for flag, value in flags.items():
        if not 0 < value < math.inf:
            raise UserError(f"{flag} must be a number above 0, not {value:g}")


def check_shares(flags: Mapping[str, float]) -> None:
    """Refuse a flag's number that is not from 0 to 1.

    :raises UserError: naming the first flag whose number is refused
    """
    for flag, value in flags.items():
        if not 0 <= value <= 1:
            raise UserError(f"{flag} goes from 0 to 1, not {value:g}")


def nearest(word: str, choices: Iterable[str]) -> str:
    """A hint for a misspelt name, to be appended to a message.

    :return: ``"; did you mean 'x'?"``, or an empty string when no choice is similar
    """
    names = {name.lower(): name for name in choices}
    near = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.5)
    return f"; did you mean '{names[near[0]]}'?" if near else ""


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or its class name when it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
