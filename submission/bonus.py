"""The command ``bonus``: what applies of an edition's bonus table, decided from runs and what was measured of them.

    python -m submission bonus runs/pegasus/cifar --edition 2020
    python -m submission bonus runs/pegasus/stl --edition 2021 --paper part1-model-paper.pdf

Each row has its evidence. Where a run's files cannot tell, the row says so, and the total leaves it out.

Credits: the assignments of 2020 and 2021 for the tables.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.checkpoints import latest_checkpoint
from common.errors import UserError
from common.run_folder import ADVERSARIAL, RunFolder, read_settings
from gen_models.classifiers.attributes import MOSTLY_WHITE
from submission.checking.probe import probe
from submission.edition import BonusRow, Edition, edition_of
from submission.options import BonusSettings

JUDGED = "judge"  # the folder in a run into which ``judge`` writes
NEARLY_ALL = 0.9  # share of the batch
TOKEN = 50_000  # images trained on; fewer are no training, whatever their size ("one optimisation step")
UNDECIDED = "cannot be decided here"


@dataclass(frozen=True)
class Decision:
    """A row of the table and whether it applies.

    :param applies: None where it cannot be decided here
    :param marks: what it adds to the total; 0 where it does not apply, or cannot be decided
    """

    row: BonusRow
    applies: bool | None
    marks: int
    evidence: str

    @property
    def answer(self) -> str:
        """``yes``, ``no`` or that it cannot be decided."""
        return UNDECIDED if self.applies is None else "yes" if self.applies else "no"

    def as_json(self) -> dict[str, Any]:
        """The row as plain data."""
        return {
            "row": self.row.key, "text": self.row.text, "each": self.row.marks, "applies": self.applies,
            "marks": self.marks, "evidence": self.evidence,
        }  # fmt: skip


@dataclass(frozen=True)
class TrainedRun:
    """What decides about a run's bonus.

    :param diffusion: whether it is a denoiser trained by a squared error
    :param adversarial: whether it is a DCGAN
    :param sources: image sets by name, such as ``cifar10``, ``stl10``, ``folder:PATH``
    :param size: side of the images in pixels
    :param images: trained on so far, each counted as often as it was seen
    :param whiteness: share of the foreground of the kept images, 0 to 1, the best one first; empty if none is judged
    """

    name: str
    diffusion: bool
    sources: tuple[str, ...]
    size: int
    images: int
    whiteness: tuple[float, ...] = ()
    batch: str = ""
    adversarial: bool = False


def bonus(settings: BonusSettings) -> None:
    """Print the table.

    :raises UserError: for an unknown edition, a missing run, or a paper that cannot be opened
    """
    edition = edition_of(settings.edition)
    runs = [read_run(path, settings.batch) for path in settings.runs]
    pages = None if settings.paper is None else counted_pages(settings.paper)
    decisions = decide(edition, runs, pages)
    if settings.json:
        content = {"edition": edition.year, "total": total(decisions), "rows": [one.as_json() for one in decisions]}
        print(json.dumps(content, indent=1))
        return
    table = Table(title=f"Bonus and penalties, edition {edition.year}", title_justify="left")
    for head in ("row", "marks", "applies", "evidence"):
        table.add_column(head, justify="right" if head == "marks" else "left")
    for one in decisions:
        table.add_row(Text(one.row.text), f"{one.marks:+d}" if one.marks else "", one.answer, Text(one.evidence))
    console = Console()
    console.print(table)
    console.print(summary(decisions), soft_wrap=True)


def decide(edition: Edition, runs: Sequence[TrainedRun], pages: int | None = None) -> list[Decision]:
    """What of the edition's table applies, in its order.

    :param runs: those of one submission, at least one
    :param pages: of the paper without references; None if it is not known
    :raises UserError: without a run
    """
    if not runs:
        raise UserError("name the run of the generative model, whose images the paper shows")
    return [_decision(row, edition, runs, pages) for row in edition.bonus]


def total(decisions: Sequence[Decision]) -> int:
    """The marks of all rows that apply."""
    return sum(one.marks for one in decisions)


def summary(decisions: Sequence[Decision]) -> str:
    """The total, and which rows are left to the reader."""
    open_rows = [one.row.key for one in decisions if one.applies is None]
    undecided = f"; {UNDECIDED}: {', '.join(open_rows)}" if open_rows else ""
    return f"total {total(decisions):+d}{undecided}"


def bonus_markdown(edition: Edition, decisions: Sequence[Decision]) -> str:
    """The table as Markdown, with its total."""
    rows = [f"| {one.row.text} | {one.row.marks:+d} | {one.answer} | {one.evidence} |" for one in decisions]
    head = ["| row | marks | applies | evidence |", "| --- | --- | --- | --- |"]
    return "\n".join([f"Bonus and penalties, edition {edition.year}", "", *head, *rows, "", summary(decisions), ""])


def counted_pages(paper: Path) -> int:
    """The pages of a paper without its references.

    :raises UserError: when it cannot be opened
    """
    found = probe("pdf", paper.resolve())
    if "error" in found:
        raise UserError(f"{paper} cannot be opened as a PDF: {found['error']}")
    return int(found["counted"])


def read_run(path: Path, batch: str | None = None) -> TrainedRun:
    """What a run folder says of itself.

    :param batch: name of the judged batch; None for the last
    :raises UserError: when it is no run folder, or has no such batch
    """
    content = read_settings(RunFolder(path).settings)
    try:
        data = content["data"]
        specs = tuple(str(spec) for spec in data["specs"])
        size = int(data["size"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a run of a generative model: settings.yml does not say its images") from error
    folder = judged_folder(path, batch)
    return TrainedRun(
        name=path.resolve().name,
        diffusion="denoiser" in content and "noise" in content,
        sources=specs,
        size=size,
        images=_images_seen(path),
        whiteness=() if folder is None else _whiteness(folder),
        batch="" if folder is None else folder.name,
        adversarial=ADVERSARIAL in content,
    )


def _images_seen(path: Path) -> int:
    checkpoint = latest_checkpoint(RunFolder(path).checkpoints)
    try:
        return 0 if checkpoint is None else int(json.loads((checkpoint / "state.json").read_text())["images"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def judged_folder(path: Path, batch: str | None) -> Path | None:
    """The folder of a run's judged batch.

    :param batch: its name; None for the last one
    :return: None where no batch was named and none has been judged
    :raises UserError: when the run has no batch of that name
    """
    judged = sorted((file.parent for file in (path / JUDGED).glob("*/selection.csv")), key=_by_number)
    if batch is None:
        return judged[-1] if judged else None
    for folder in judged:
        if folder.name == batch:
            return folder
    names = ", ".join(folder.name for folder in judged) or "none"
    raise UserError(f"{path / JUDGED} has no batch {batch} (there are: {names})")


def _by_number(folder: Path) -> tuple[str, int]:
    stem, number = re.fullmatch(r"(.*?)(?:-(\d+))?", folder.name).groups()  # type: ignore[union-attr]
    return str(stem), int(number or 1)


def _whiteness(folder: Path) -> tuple[float, ...]:
    """Of the kept images, in the order in which they were kept: the first is the best."""
    try:
        with (folder / "selection.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["kept"]]
        return tuple(float(row["whiteness"]) for row in sorted(rows, key=lambda row: int(row["kept"])))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / 'selection.csv'} is damaged; judge the batch again") from error


def _decision(row: BonusRow, edition: Edition, runs: Sequence[TrainedRun], pages: int | None) -> Decision:
    if row.key == "pages":
        over = None if pages is None else max(0, pages - edition.most_pages)
        evidence = "no paper was given" if pages is None else f"{pages} pages without the references"
        return Decision(row, None if over is None else over > 0, row.marks * (over or 0), evidence)
    applies, evidence = _answer(row.key, edition, runs)
    return Decision(row, applies, row.marks if applies else 0, evidence)


def _answer(key: str, edition: Edition, runs: Sequence[TrainedRun]) -> tuple[bool | None, str]:
    if key == "adversarial":
        return _adversarial(runs)
    if key in ("48", "64", "96"):
        return _trained_at(int(key), edition, runs)
    if key in ("cifar only", "other data"):
        return _data(key, edition, runs)
    if key in ("all white", "not white"):
        return _white(key, runs)
    evidence = {
        "edited": "the pictures are those that the run's samples.npz gives again; who changed them later is not known",
        "uncited": "who wrote what cannot be read from a run; the credits stand at the top of the code",
        "pre-trained": "training begins with random weights from its seed, and has no option to load others",
    }[key]
    ours = all(run.diffusion or run.adversarial for run in runs)
    return (False if key == "pre-trained" and ours else None), evidence


def _adversarial(runs: Sequence[TrainedRun]) -> tuple[bool | None, str]:
    rivals = [run.name for run in runs if run.adversarial]
    if rivals:
        return True, f"{', '.join(rivals)}: a DCGAN, whose generator learns against a discriminator"
    if all(run.diffusion for run in runs):
        return False, "the denoiser learns by a squared error alone, without an opponent"
    return None, "settings.yml is not that of a denoiser"


def _high_resolution(run: TrainedRun, edition: Edition) -> bool:
    """Whether one of the run's sources is one of the edition's sets of high resolution."""
    return bool(set(map(_kind, run.sources)) & set(edition.datasets[1:]))


def _kind(source: str) -> str:
    """The name of a source without its path: that of the data set, or folder, npz."""
    return source.partition(":")[0]


def _unnamed(runs: Sequence[TrainedRun]) -> list[str]:
    """Sources whose content their name does not tell: folders and files."""
    return [source for run in runs for source in run.sources if _kind(source) in ("folder", "npz")]


def _trained_at(size: int, edition: Edition, runs: Sequence[TrainedRun]) -> tuple[bool | None, str]:
    """The rows add up: who trained at 96 pixels has those of 48 and 64 too, as in the assignment's example."""
    large = [run for run in runs if run.size >= size]
    named = [run for run in large if _high_resolution(run, edition)]
    enough = [run for run in named if run.images >= TOKEN]
    if enough:
        run = max(enough, key=lambda one: one.images)
        return True, f"{run.name}: {', '.join(run.sources)} at {run.size} pixels, {run.images:,} images seen"
    if named:
        seen = max(run.images for run in named)
        return None, f"trained at {named[0].size} pixels on {seen:,} images only; fewer than {TOKEN:,} may not count"
    if unnamed := _unnamed(large):
        return None, f"what {', '.join(unnamed)} holds is not known"
    sizes = ", ".join(f"{', '.join(run.sources)} at {run.size} pixels" for run in runs)
    return False, sizes


def _data(key: str, edition: Edition, runs: Sequence[TrainedRun]) -> tuple[bool | None, str]:
    sources = list(dict.fromkeys(source for run in runs for source in run.sources))
    evidence = f"trained on {', '.join(sources)}"
    other = [source for source in sources if _kind(source) not in edition.datasets]
    unnamed = _unnamed(runs)
    if key == "other data":
        if set(other) - set(unnamed):
            return True, f"{evidence}, of which {', '.join(sorted(set(other) - set(unnamed)))} is in neither data set"
        return (None, f"what {', '.join(unnamed)} holds is not known") if unnamed else (False, evidence)
    if unnamed:
        return None, f"what {', '.join(unnamed)} holds is not known"
    return sources == [edition.datasets[0]], evidence


def _white(key: str, runs: Sequence[TrainedRun]) -> tuple[bool | None, str]:
    judged = [run for run in runs if run.whiteness]
    if not judged:
        return None, "no batch of the run has been judged: run_pegasus.py judge"
    run = judged[-1]
    if key == "not white":
        best = run.whiteness[0]
        return best <= MOSTLY_WHITE, f"{best:.0%} of the best image's foreground is white ({run.batch})"
    white = sum(value > MOSTLY_WHITE for value in run.whiteness)
    evidence = (
        f"{white} of {len(run.whiteness)} images have a foreground more than {MOSTLY_WHITE:.0%} white ({run.batch}); "
        "that they are winged horses is for the eye"
    )
    return white >= NEARLY_ALL * len(run.whiteness), evidence
