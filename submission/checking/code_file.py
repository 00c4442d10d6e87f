"""The text of a code file, a notebook or a script, and what its text shows. Nothing in it is run."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import UserError
from submission.edition import MARKING_PRINT

MOST_BYTES = 50_000_000
TOP = 12_000  # characters at the top among which credits are looked for

_CREDITS = re.compile(
    r"https?://|\b(?:arxiv|credits?|references?|cited?|citations?|adapted from|based on)\b|\bsource:",
    re.IGNORECASE,
)
_STEPS = re.compile(r"\bmax_?(?:episode_)?(?:time_?)?steps\b\s*(?::\s*\w+\s*)?=\s*(\d[\d_]*)", re.IGNORECASE)


@dataclass(frozen=True)
class CodeFile:
    """A code file.

    :param text: all of it; of a notebook the sources of its cells, one after the other
    :param cells: number of cells; 0 for a script
    """

    text: str
    cells: int

    @property
    def has_credits(self) -> bool:
        """Whether something at its top looks like the credits."""
        return _CREDITS.search(self.text[:TOP]) is not None

    @property
    def marking_print(self) -> bool | None:
        """Whether the assignment's ``marking`` line is printed unchanged; None where nothing says ``marking``."""
        if MARKING_PRINT in self.text:
            return True
        return False if re.search(r"['\"]\s*marking\b", self.text) else None

    @property
    def most_steps(self) -> int | None:
        """The largest number that is given for the steps of an episode; None where none is found."""
        return max((int(found.replace("_", "")) for found in _STEPS.findall(self.text)), default=None)


def read_code(path: Path, name: str) -> CodeFile:
    """Read a script or a notebook.

    :param name: of the file in the submission, for its suffix and for messages
    :raises UserError: when it is too large, empty or not a notebook
    """
    data = path.read_bytes() if path.stat().st_size <= MOST_BYTES else None
    if data is None:
        raise UserError(f"{name} has more than {MOST_BYTES / 1e6:g} MB; it is not read")
    text = data.decode("utf-8-sig", "replace")
    if not text.strip():
        raise UserError(f"{name} is empty")
    if not name.lower().endswith(".ipynb"):
        return CodeFile(text, 0)
    try:
        cells = json.loads(text)["cells"]
        sources = [_source(cell) for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{name} is not a notebook; it cannot be opened") from error
    return CodeFile("\n".join(sources), len(sources))


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(map(str, source))
