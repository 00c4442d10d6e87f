"""The command ``mark``: a table of all submissions in a folder, as a page that needs no server, and as CSV.

    python -m submission mark submissions/ --edition 2020 --means 200 300 500

Each zip and each folder in it is a submission. Of each: the check, the bonus that its paper states, the best score, the
episodes to given means, the learning curve, and the audit's flags with their evidence. Nothing in them is run. One that
cannot be opened has a line that says so.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from common.errors import UserError, first_line
from common.files import write_atomic
from common.scores.curves import Curve, learning_curve
from submission.audit.audited import audit_log
from submission.audit.command import safe_name
from submission.audit.evidence import Audit
from submission.audit.figure import save_audit_figure
from submission.checking.check import Report, check_submission
from submission.edition import edition_of
from submission.options import MarkSettings

TEMPLATE = Path(__file__).resolve().parent / "mark.html"
PAGE, TABLE, EVIDENCE = "index.html", "submissions.csv", "evidence"
CURVE_POINTS = 200
_STATED = re.compile(r"(?:total|bonus|penalty)[^.;]{0,100}?([+\-\u2212\u2013]?\s?\d+)\s*marks?\b", re.IGNORECASE)
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Marked:
    """A submission with all that was found.

    :param audit: None where it has no log that can be read
    :param figure: path of the audit's figure, relative to the page
    """

    path: Path
    report: Report
    audit: Audit | None
    figure: str | None
    to_means: tuple[int | None, ...]
    curve: Curve | None


def mark(settings: MarkSettings) -> None:
    """Write the page, the table and the figures.

    :raises UserError: when the folder has no submission, or the output cannot be written
    """
    if settings.edition is not None:
        edition_of(settings.edition)
    if not settings.folder.is_dir():
        raise UserError(f"{settings.folder} is not a folder of submissions")
    output = settings.output
    paths = [path for path in sorted(settings.folder.iterdir()) if path.resolve() != output.resolve()]
    paths = [path for path in paths if path.suffix.lower() == ".zip" or (path.is_dir() and not path.is_symlink())]
    if not paths:
        raise UserError(f"{settings.folder} holds no submission: no zip and no folder")
    reports = [_checked(path, settings.edition) for path in paths]
    marked = [_marked(report, reports, number, settings) for number, report in enumerate(reports)]
    columns = columns_of(settings.means)
    write_atomic(output / PAGE, page(marked, columns, output))
    write_atomic(output / TABLE, table(marked, columns))
    named = sum(one.audit is not None and one.audit.odd for one in marked)
    faulty = sum(bool(one.report.findings.of("fault")) for one in marked)
    print(f"{len(marked)} submissions, {faulty} with faults, {named} logs worth a second look: {output / PAGE}")


def _checked(path: Path, year: int | None) -> Report:
    """The check of a submission; whatever happens with one, the others are marked all the same."""
    try:
        return check_submission(path, year)
    except Exception as error:
        report = Report(path)
        report.findings.fault(path.name, f"could not be checked: {first_line(error)}")
        return report


def _marked(report: Report, reports: Sequence[Report], number: int, settings: MarkSettings) -> Marked:
    log = report.log
    if log is None:
        return Marked(report.path, report, None, None, (None,) * len(settings.means), None)
    others = [other.log for other in reports if other.log is not None and other is not report]
    audit = audit_log(log, settings.step, others)
    figure = f"{EVIDENCE}/{number:03d}-{safe_name(report.path.stem)}.png"
    save_audit_figure(log, audit, None, settings.output / figure)
    curve = learning_curve(log)
    return Marked(
        report.path, report, audit, figure, tuple(_episodes_to(curve, mean) for mean in settings.means), curve
    )


def _episodes_to(curve: Curve, mean: float) -> int | None:
    """The first episode at which the mean of the last 100 reaches a value; None where it never does."""
    reached = np.flatnonzero(curve.means >= mean) if curve.complete else np.empty(0, np.int64)
    return int(curve.episodes[reached[0]]) if reached.size else None


def stated_bonus(text: str) -> int | None:
    """The total that a paper states, such as ``a total bonus of +1 mark``; None where none is found."""
    found = _STATED.findall(" ".join(text.split()))
    return int(re.sub(r"[\u2212\u2013]", "-", found[-1]).replace(" ", "")) if found else None


def columns_of(means: Sequence[float]) -> list[str]:
    """The table's columns, the first the submission's name."""
    reached = [f"episodes to {mean:g}" for mean in means]
    return ["submission", "edition", "faults", "warnings", "pages", "bonus stated", "episodes", "best score",
            "best mean of 100", *reached, "flags"]  # fmt: skip


def cells(one: Marked) -> list[str | float | None]:
    """A submission's cells; None where there is nothing to say."""
    report, log = one.report, one.report.log
    pages = max((counted for _, counted in report.papers.values()), default=None)
    best = None if one.curve is None else float(one.curve.means.max())
    return [
        one.path.name,
        report.edition.year if report.edition else None,
        len(report.findings.of("fault")),
        len(report.findings.of("warning")),
        pages,
        stated_bonus(report.stated_text),
        None if log is None else log.games,
        None if log is None else float(log.scores.max()),
        None if best is None else round(best, 2),
        *one.to_means,
        None if one.audit is None else ", ".join(sorted({e.test for e in one.audit.evidence if e.chance < 1})),
    ]


def table(marked: Sequence[Marked], columns: Sequence[str]) -> str:
    """The table as CSV, in which no text is taken for a formula."""
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(columns)
    for one in marked:
        rows.writerow(["" if cell is None else f"'{cell}" if _is_formula(cell) else cell for cell in cells(one)])
    return written.getvalue()


def _is_formula(cell: str | float) -> bool:
    return isinstance(cell, str) and cell.startswith(_FORMULA)


def page(marked: Sequence[Marked], columns: Sequence[str], output: Path) -> str:
    """The page: the template with the data in it."""
    rows = [_row(one, number, output) for number, one in enumerate(marked)]
    numeric = [name not in ("submission", "flags", "edition") for name in columns]
    data = json.dumps({"columns": columns, "formats": numeric, "rows": rows})
    # Nothing in the data ends the script's element.
    return TEMPLATE.read_text("utf-8").replace("DATA", data.replace("<", "\\u003c").replace("&", "\\u0026"), 1)


def _row(one: Marked, number: int, output: Path) -> dict[str, Any]:
    findings = [{"level": each.level, "text": str(each)} for each in sorted(one.report.findings, key=_by_level)]
    odd = one.audit is not None and one.audit.odd
    reasons = []
    if one.audit is not None:
        reasons.append({"level": "warning" if odd else "note", "text": f"audit: {one.audit.likelihood}"})
        for each in sorted(one.audit.evidence, key=lambda each: each.chance):
            otherwise = f"; or: {each.otherwise}" if each.otherwise else ""
            level = "warning" if each.chance < 1 else "note"
            reasons.append({"level": level, "text": f"{each.test}: {each.words} (chance {each.chance:.1g}){otherwise}"})
    links = [{"text": "figure", "href": quote(one.figure)}] if one.figure else []
    links.append({"text": "submission", "href": one.path.resolve().as_uri()})
    values = cells(one)
    return {
        "number": number,
        "cells": values,
        "faults": values[2],
        "odd": odd,
        "summary": f"{len(findings)} findings, {len(reasons)} of the audit",
        "evidence": [*reasons, *findings],
        "links": links,
        "curve": _thinned(one.curve),
        "search": " ".join([one.path.name, *(each["text"] for each in (*reasons, *findings))]),
    }


def _by_level(finding: Any) -> int:
    return ("fault", "warning", "note").index(finding.level)


def _thinned(curve: Curve | None) -> list[list[float]]:
    if curve is None:
        return []
    chosen = np.unique(np.linspace(0, curve.episodes.size - 1, CURVE_POINTS).astype(int))
    return [[int(curve.episodes[k]), round(float(curve.means[k]), 2)] for k in chosen]
