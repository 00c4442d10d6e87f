"""A draft: what a run fills the template with, and the student's own files, which are never overwritten."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import UserError
from common.files import write_atomic
from submission.paper.latex import MAIN

TEMPLATE = Path(__file__).resolve().parent
GENERATED = "generated"
OWN = ("title.tex", "abstract.tex", "methodology.tex", "results.tex", "limitations.tex", "own.bib")
NOTE = "% Yours to write: this file is never overwritten.\n"


@dataclass(frozen=True)
class Draft:
    """What a run gives to a paper.

    :param own: first contents of the student's files, for those that do not exist yet
    :param method: LaTeX after the student's methodology: equations, the architecture, settings
    :param results: LaTeX after the student's results: figures and tables
    :param figures: contents of pictures by name
    """

    own: Mapping[str, str]
    method: str
    results: str
    figures: Mapping[str, bytes] = field(default_factory=dict)


def write_draft(draft: Draft, folder: Path, bonus: str) -> None:
    """Write the generated files of a paper, and those of the student's that are missing.

    :param bonus: LaTeX of the section with the bonus statement; empty for a paper without
    :raises UserError: when the folder cannot be written (status 1)
    """
    for name in OWN:
        if not (folder / name).exists():
            write_atomic(folder / name, NOTE + draft.own.get(name, ""))
    shutil.rmtree(folder / GENERATED, ignore_errors=True)
    generated: dict[str, str | bytes] = {
        "method.tex": draft.method + "\n",
        "results.tex": draft.results + "\n",
        "bonus.tex": bonus + "\n",
        "references.bib": (TEMPLATE / "references.bib").read_text("utf-8"),
        **draft.figures,
    }
    for name, content in generated.items():
        write_atomic(folder / GENERATED / name, content)


def copy_for_compiler(folder: Path, target: Path) -> None:
    """Copy a paper's files and the template to where it is compiled, so that nothing is left among the student's.

    :raises UserError: when a file cannot be read (status 1)
    """
    try:
        shutil.copytree(folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*", "*.pdf.part"))
        shutil.copyfile(TEMPLATE / MAIN, target / MAIN)
    except (OSError, shutil.Error) as error:
        raise UserError(f"cannot copy the paper's files from {folder}: {error}", status=1) from error


def untouched(draft: Draft, folder: Path) -> list[str]:
    """The student's files that are still as the template made them, without the bibliography."""
    return [name for name in OWN[:-1] if (folder / name).read_text("utf-8") == NOTE + draft.own.get(name, "")]
