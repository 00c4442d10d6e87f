"""How far the scorer of winged horses can be trusted: its mistakes on kinds of wrong drawings that it was never shown.

    python -m bench.scorer                                    # trains one scorer a fold; a table of all kinds
    python -m bench.scorer --sheet docs/pegasus/wrong-drawings.png   # a picture of all kinds, nothing is trained

Each fold trains a scorer from scratch without some kinds, and counts how many drawings of these it takes for winged
horses. The table is written after each fold, so that what is there can be read while the rest is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from common.errors import UserError
from common.files import write_atomic
from common.progress import progress_of
from gen_models.classifiers.sprite_scorer import MISSED, ScorerTraining, held_out_mistakes
from gen_models.classifiers.wrong_drawings import WRONG, wrong_drawings
from gen_models.images.grids import grid, save_png

SHOWN, SHOWN_SEED = 4, 5  # pictures of each kind on the sheet
LETTERS = 11  # of a label that fit under a picture


@dataclass(frozen=True)
class Settings:
    """Count the mistakes of scorers on what they were not shown."""

    folds: int = 6
    """Folds; each leaves out every sixth kind."""
    only: tuple[int, ...] = ()
    """Numbers of the folds to train, from 0. Default: all."""
    output: Path = Path("runs/scorer.md")
    """The table."""
    sheet: Path | None = None
    """Draw some of each kind into this picture, and do nothing else."""


def main(settings: Settings) -> None:
    """Train and count, or draw the sheet.

    :raises UserError: for folds that are not there
    """
    if settings.sheet is not None:
        draw_sheet(settings.sheet)
        return
    folds = settings.only or tuple(range(settings.folds))
    if not all(0 <= fold < settings.folds <= len(WRONG) for fold in folds):
        raise UserError(f"--folds {settings.folds} --only {' '.join(map(str, folds))}: from 0 to the number of folds")
    rows = ["| fold | kind that was left out | taken for winged horses |", "| --- | --- | ---: |"]
    size = ScorerTraining()
    for fold in folds:
        with progress_of(f"fold {fold}") as progress:
            found = held_out_mistakes(fold, settings.folds, size, progress=progress)
        rows += [f"| {fold} | {kind} | {100 * share:.1f} % |" for kind, share in found.items() if kind != MISSED]
        rows.append(f"| {fold} | {MISSED} | {100 * found[MISSED]:.1f} % |")
        write_atomic(settings.output, "\n".join(rows) + "\n")
    print(settings.output.read_text())


def draw_sheet(path: Path) -> None:
    """Some wrong drawings of each kind, with their kinds."""
    images = np.concatenate([wrong_drawings(kind, SHOWN, SHOWN_SEED)[0] for kind in WRONG])
    labels: list[str] = []
    for kind in WRONG:
        part, _, way = kind.partition(": ")
        labels += [f"{part}:", *(way[first * LETTERS :][:LETTERS] for first in range(SHOWN - 1))]
    save_png(grid(images, 4 * SHOWN, 2, labels=labels), path)


if __name__ == "__main__":
    main(tyro.cli(Settings))
