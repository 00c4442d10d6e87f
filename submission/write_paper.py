"""The command ``paper``: the paper of a run, from the template, the run's figures and tables, and the student's text.

    python -m submission paper runs/pegasus/cifar --edition 2020
    python -m submission paper runs/gravitar/first --edition 2021 --prose paper/agent

The first call writes files for the student's text into the folder of the prose. They are never overwritten; all else is
made anew. Pages are counted without the references, and marks lost by them are stated and part of the bonus statement.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError
from common.files import write_atomic
from submission.bonus import Decision, TrainedRun, counted_pages, decide, judged_folder, read_run, summary, total
from submission.bundle import part_of
from submission.edition import Edition, edition_of
from submission.options import PaperSettings
from submission.paper.agent import agent_draft
from submission.paper.draft import copy_for_compiler, untouched, write_draft
from submission.paper.images import images_draft
from submission.paper.latex import compile_paper, find_compiler
from submission.paper.text import escaped, table


def paper(settings: PaperSettings) -> None:
    """Write the PDF.

    :raises UserError: for a run that lacks what the paper shows, an error in the text, or no LaTeX
    """
    edition = edition_of(settings.edition)
    part = part_of(settings.run)
    try:
        name = edition.rule(part, "paper").name
    except KeyError as error:
        raise UserError(f"the edition of {edition.year} wants no paper on the agent") from error
    prose = settings.prose or settings.run / "paper"
    output = settings.output or prose / name
    content, pages = paper_of(settings.run, edition, prose, settings.batch)
    write_atomic(output, content)
    over = max(0, pages - edition.most_pages)
    lost = f"{-5 * over} marks for {over} over {edition.most_pages}" if over else "no marks lost"
    print(f"{output}: {pages} pages without the references, {lost}")


def paper_of(run: Path, edition: Edition, prose: Path, batch: str | None = None) -> tuple[bytes, int]:
    """A run's paper as PDF, and its pages without the references. Prints which of the student's files are untouched.

    :param prose: folder of the student's files; those that are missing are written
    :raises UserError: for a run that lacks what the paper shows, an error in the text, or no LaTeX
    """
    compiler = find_compiler()
    trained: TrainedRun | None = None
    if part_of(run) == "images":
        folder = judged_folder(run, batch)
        if folder is None:
            raise UserError(f"{run} has no judged batch to show: run_pegasus.py judge {run}")
        trained = read_run(run, batch)
        draft = images_draft(run, folder, interpolations=edition.interpolations)
    else:
        draft = agent_draft(run)
    pages = edition.most_pages
    # The bonus statement has the pages, which are known when it has been compiled once.
    while True:
        statement = bonus_section(decide(edition, [trained], pages)) if trained else ""
        write_draft(draft, prose, statement)
        with tempfile.TemporaryDirectory(prefix="paper-") as made:
            copy_for_compiler(prose, Path(made))
            content = compile_paper(Path(made), compiler)
            (Path(made) / "made.pdf").write_bytes(content)
            counted = counted_pages(Path(made) / "made.pdf")
        if counted <= max(pages, edition.most_pages) or trained is None:
            break
        pages = counted
    for name in untouched(draft, prose):
        print(f"{prose / name} is still as the template made it")
    return content, counted


def bonus_section(decisions: Sequence[Decision]) -> str:
    """LaTeX of the bonus statement: the rows that apply, and the total."""
    rows = [(one.row.text, f"{one.marks:+d}", one.evidence) for one in decisions if one.applies]
    shown = table(
        ("row", "marks", "because"), rows, "What of the bonus table applies.", "p{0.42\\linewidth}rp{0.4\\linewidth}"
    )
    lines = [
        r"\section*{Bonuses}",
        *([shown] if rows else []),
        f"This submission expects a total of {total(decisions):+d} marks.",
        f"% {escaped(summary(decisions))}",
    ]
    return "\n".join(lines)
