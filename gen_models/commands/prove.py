"""``run_pegasus.py prove``: how often each way of composing gives winged horses, counted on sprites.

A run on sprites is trained on horses, which never have wings, and on birds. A scorer trained on all combinations, and
on wrong drawings, tells for each image whether it shows a horse's head, trunk and legs, and wings. The weights of each
method are chosen in a small fixed sweep. The images that count are then sampled with another seed, and none is left
out. They are also compared with drawn winged horses, which the run never saw, in ways that the scorer has no say in.

Credits: Wilson 1927 (doi 10.1080/01621459.1927.10502953, interval of a share).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from common.checkpoints import choose_checkpoint
from common.errors import UserError, check_counts, nearest
from common.files import new_folder, unwritable, write_atomic
from common.records import plain
from common.run_folder import RunFolder, check_name
from common.tables import print_table
from gen_models.classifiers.sprite_scorer import MISSED, WINGED_HORSE, SpriteScorer, load_scorer
from gen_models.diffusion.samples import Samples
from gen_models.images.grids import grid, save_png, stacked
from gen_models.judging.drawn import Closeness, DrawnWingedHorses
from gen_models.judging.shares import wilson
from gen_models.options import MOST_SAMPLES, ProveSettings, check_batch_size
from gen_models.request import Method, SampleRequest
from gen_models.training.run_sampler import load_run_sampler, sampling_progress
from gen_models.training.settings import RunSettings

Score = Callable[[NDArray[np.uint8]], Mapping[str, NDArray[np.bool_]]]
"""From images uint8 (N, S, S, 3) to bool (N,) for each of ``COUNTED``."""

COUNTED = ("winged horse", *WINGED_HORSE)

Compare = Callable[[NDArray[np.uint8]], Closeness]

# Below this share of right bodies among the images of a class alone, the scorer sees no drawings, and guesses.
LEAST_QUALITY = 0.8
SHOWN = 16  # images of each method in the picture: the first ones
SHEET = 64  # images on the sheet of the best method: the first ones
WORST = 5  # kinds of wrong drawings that are named
DRAWN = "drawn winged horses"


def _sweep(method: Method, *weights: str, switch_at: tuple[float, ...] = (0.8,)) -> list[SampleRequest]:
    return [SampleRequest(text, method, level) for text in weights for level in switch_at]


def _contrasts(base: str, *weights: tuple[float, float], **how: Any) -> list[SampleRequest]:
    contrast = SampleRequest(compose="contrast", base=base, add="spread", from_="bird", **how)
    return [replace(contrast, base_weight=b, add_weight=w) for b, w in weights]


MAP = "label map"  # for runs that have them

# The requests tried for each method.
SWEEP: dict[str, list[SampleRequest]] = {
    "unconditional": _sweep("and", ""),
    "horse alone": _sweep("and", "horse=1", "horse=2", "horse=4"),
    "bird alone": _sweep("and", "bird=1", "bird=2", "bird=4"),
    "and: horse, bird": _sweep(
        "and", "horse=1,bird=1", "horse=2,bird=1", "horse=2,bird=2", "horse=3,bird=2", "horse=4,bird=3"
    ),
    "and: horse, spread wings": _sweep(
        "and", "horse=1,spread=1", "horse=2,spread=2", "horse=2,spread=3.5", "horse=3,spread=3", "horse=3,spread=5"
    ),
    "and: both in one label": _sweep("and", "horse+spread=1", "horse+spread=2", "horse+spread=4"),
    "switch": [
        *_sweep("switch", "bird+spread=2,horse=2", "horse=2,spread=3.5", switch_at=(0.5, 0.7, 0.85, 0.95)),
    ],
    "mix": _sweep("mix", "horse=1,bird+spread=1", "horse=1.5,bird+spread=1", "horse=2,spread=2", "horse=2,spread=4"),
    "contrast": _contrasts("horse", (2, 2), (3, 1.5), (2, 4), (4, 3), (4, 5)),
    "contrast where it is strongest": _contrasts("horse", (2, 2), (3, 3), (3, 5), area=0.3),
    "contrast at high noise": [
        *_contrasts("horse", (2, 2), (3, 3), (3, 5), interval=(0.5, 1.0)),
        *_contrasts("horse", (4, 2), interval=(0.8, 1.0)),
    ],
    MAP: [
        SampleRequest(compose="map", base="horse", add="spread", from_="bird", base_weight=b, add_weight=w)
        for b, w in ((1.0, 1.0), (1.0, 1.5), (1.0, 2.0), (1.0, 3.0))
    ],
    "contrast, and both in one label": _contrasts("horse+spread", (2, 1), (2, 2), (4, 2)),
}


@dataclass(frozen=True)
class Count:
    """The scorer's counts among the images of a request.

    :param method: a key of ``SWEEP``, or ``DRAWN`` for drawings
    :param images: number of images
    :param found: number of images by each of ``COUNTED``
    :param closeness: to drawn winged horses; None in the sweep
    """

    method: str
    request: SampleRequest
    images: int
    found: dict[str, int]
    closeness: Closeness | None = None

    @property
    def share(self) -> float:
        """The share of winged horses, 0 to 1."""
        return self.found["winged horse"] / self.images

    @property
    def words(self) -> str:
        """The weights, and what else of the request makes the method."""
        request = self.request
        at = f" at {request.switch_at:g}" if request.compose == "switch" else ""
        area = f", area {request.area:g}" if request.area < 1 else ""
        interval = f", from noise {request.interval[0]:g}" if request.interval[0] > 0 else ""
        return (request.words or "none") + at + area + interval


def prove(user: ProveSettings) -> None:
    """Sweep, sample, count, and write ``composition.md``, ``composition.json``, pictures and the samples.

    :raises UserError: for a run on other images, and for invalid numbers
    """
    check_batch_size(user.batch_size)
    check_counts(MOST_SAMPLES, {"--images": user.images, "--sweep-images": user.sweep_images})
    for method in user.methods:
        if method not in SWEEP:
            raise UserError(f"unknown method '{method}' (known: {', '.join(SWEEP)}){nearest(method, SWEEP)}")
    if user.seed < 0:
        raise UserError(f"--seed {user.seed} must not be negative")
    if user.scorer is not None and user.scorer.exists() and not user.scorer.is_dir():
        raise UserError(f"--scorer {user.scorer} is a file; give the folder of a scorer, or one to make")
    trained = user.scorer or user.run.parent / "sprite-scorer"
    why = None if trained.exists() else unwritable(trained)
    if why:
        raise UserError(f"cannot make the scorer {trained}: {why}; choose another --scorer")
    folder = user.run / check_name(user.name)
    if folder.exists():
        raise UserError(f"{folder} exists and is not overwritten; choose another --name")
    settings = RunSettings.from_yaml(RunFolder(user.run).settings)
    words = {*settings.vocabulary.classes, *settings.vocabulary.attributes}
    if not {"horse", "bird", "spread"} <= words or any(not spec.startswith("sprites") for spec in settings.data.specs):
        raise UserError(f"{user.run} was not trained on sprites with their attributes, and nothing else can be scored")
    if not user.methods and not settings.vocabulary.regions:
        user = replace(user, methods=tuple(method for method in SWEEP if method != MAP))
    choose_checkpoint(RunFolder(user.run).checkpoints, user.checkpoint)
    with new_folder(folder) as temporary:
        scorer = load_scorer(trained)
        drawn = DrawnWingedHorses(scorer)
        counts, sweep = count_all(user, scorer.score, drawn.closeness, temporary)
        others = drawn.others(user.images)
        counts.append(count(DRAWN, SampleRequest(), others, scorer.score, drawn.closeness))
        write_atomic(temporary / "composition.md", markdown(counts, sweep, scorer))
        content = {
            "run": settings.name,
            "scorer_accuracy": scorer.accuracy,
            "quality": quality(counts),
            "scorer_mistakes": scorer.mistakes,
            "counted": list(map(as_json, counts)),
            "sweep": list(map(as_json, sweep)),
        }
        write_atomic(temporary / "composition.json", json.dumps(content, indent=1) + "\n")
    print_table(Console(), terminal_table(counts))
    if quality(counts) < LEAST_QUALITY:
        print(f"warning: {unfit(counts)}", file=sys.stderr)
    print(f"composition.md, composition.json, composition.png, best.png and the images are in {folder}")


def count_all(user: ProveSettings, score: Score, compare: Compare, folder: Path) -> tuple[list[Count], list[Count]]:
    """Sample and count, first for the sweep, then for the best request of each method.

    :param score: the scorer
    :param compare: compares the images that count with drawings
    :param folder: where ``composition.png``, ``best.png`` and a samples file for each method go
    :return: counts of the images that count, one per method, and counts of the sweep
    """
    sampler = load_run_sampler(user.run, user.checkpoint, True, user.batch_size, user.device)
    asked = {method: SWEEP[method] for method in user.methods or SWEEP}
    trials_in_all = sum(map(len, asked.values()))
    total = (trials_in_all * user.sweep_images + len(asked) * user.images) * user.steps
    rows: list[tuple[Count, Samples]] = []
    sweep: list[Count] = []
    with sampling_progress(total, user.steps) as progress:
        for method, requests in asked.items():
            trials = []
            for request in requests:
                trial = replace(request, steps=user.steps, precision=user.precision, seed=user.seed + 1)
                samples = sampler.sample(trial, range(user.sweep_images), progress)
                trials.append(count(method, samples.request, samples.images, score))
            sweep += trials
            chosen = replace(best(trials).request, seed=user.seed)
            samples = sampler.sample(chosen, range(user.images), progress)
            samples.save(folder / f"{slug(method)}.npz")
            rows.append((count(method, samples.request, samples.images, score, compare), samples))
    save_png(picture(rows), folder / "composition.png")
    _, samples = max(rows, key=lambda row: row[0].share)
    caption = f"The first {min(SHEET, user.images)} of {user.images}, unselected: {samples.caption()}"
    save_png(grid(samples.images[:SHEET], 8, 3, caption), folder / "best.png")
    return [one for one, _ in rows], sweep


def count(
    method: str, request: SampleRequest, images: NDArray[np.uint8], score: Score, compare: Compare | None = None
) -> Count:
    """Count the images that show a winged horse, and each of its parts."""
    scores = score(images)
    found = {name: int(scores[name].sum()) for name in COUNTED}
    return Count(method, request, len(images), found, None if compare is None else compare(images))


def best(trials: Sequence[Count]) -> Count:
    """The trial with most winged horses; among equals, that with most right parts, then the first."""
    return max(trials, key=lambda one: (one.found["winged horse"], sum(one.found.values())))


def quality(counts: Sequence[Count]) -> float:
    """The share of right bodies among the images of one class alone: horses of horse, none of bird; the lesser one."""
    horses = {one.method: one.found["body"] / one.images for one in counts}
    return min(horses.get("horse alone", 1.0), 1 - horses.get("bird alone", 0.0))


def unfit(counts: Sequence[Count]) -> str:
    """What to say of a run whose plain classes are not good enough."""
    return (
        f"the figures mean nothing: of horse or bird alone only {100 * quality(counts):.0f} % of the images show the "
        f"right body, and the scorer guesses about what is no drawing; from {100 * LEAST_QUALITY:.0f} % on it can be "
        "trusted, so train longer"
    )


def slug(method: str) -> str:
    """A method's name as a file name."""
    return re.sub(r"[^a-z]+", "-", method)


HEADER = ("method", "weights", "winged horses", "95 % interval", *WINGED_HORSE)
CLOSENESS = ("Frechet", "kernel", "precision", "recall", "sharpness", "grain")


def cells(one: Count) -> tuple[str, ...]:
    """A row of the table, shares in per cent."""
    low, high = wilson(one.found["winged horse"], one.images)
    interval = f"{100 * low:.1f} - {100 * high:.1f}"
    parts = (f"{100 * one.found[part] / one.images:.1f} %" for part in WINGED_HORSE)
    row = (one.method, one.words, f"{100 * one.share:.1f} %", interval, *parts)
    if one.closeness is None:
        return row
    found = one.closeness
    return (
        *row, f"{found.frechet:.1f}", f"{found.kernel:.2f}", f"{found.precision:.2f}", f"{found.recall:.2f}",
        f"{found.sharpness:.2f}", f"{found.grain:.2f}",
    )  # fmt: skip


def markdown(counts: Sequence[Count], sweep: Sequence[Count], scorer: SpriteScorer) -> str:
    """Both tables for the docs, and how far the scorer can be trusted."""
    settings = counts[0].request
    known = ", ".join(f"{name} {100 * share:.1f} %" for name, share in scorer.accuracy.items())
    wrong = {kind: share for kind, share in scorer.mistakes.items() if kind != MISSED}
    worst = sorted(wrong, key=lambda kind: -wrong[kind])[:WORST]
    named = ", ".join(f"{kind} {100 * wrong[kind]:.1f} %" for kind in worst)
    parts = [
        f"Shares among {counts[0].images} unselected samples of each method ({settings.steps} steps of "
        f"{settings.sampler}, seed {settings.seed}), at the weights that gave most winged horses among "
        f"{sweep[0].images} (seed {sweep[0].request.seed}). The scorer is right on held-out drawings: {known}. It "
        f"misses {100 * scorer.mistakes[MISSED]:.1f} % of drawn winged horses. Of {len(wrong)} kinds of wrong drawings "
        f"it takes most for winged horses of these: {named}.\n",
        _markdown_table(counts),
        "\nThe sweep:\n",
        _markdown_table(sweep),
    ]
    if quality(counts) < LEAST_QUALITY:
        parts.insert(0, f"**{unfit(counts)[0].upper()}{unfit(counts)[1:]}.**\n")
    return "\n".join(parts)


def _markdown_table(counts: Sequence[Count]) -> str:
    header = (*HEADER, *CLOSENESS) if counts[0].closeness else HEADER
    rows = [header, ("---",) * len(header), *map(cells, counts)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def terminal_table(counts: Sequence[Count]) -> Table:
    """The table of the images that count."""
    table = Table(title=f"winged horses among {counts[0].images} unselected samples")
    for name in (*HEADER, *CLOSENESS):
        table.add_column(name)
    for one in counts:
        table.add_row(*cells(one))
    return table


def as_json(one: Count) -> dict[str, Any]:
    """A count with its share and interval."""
    return {**plain(one), "share": one.share, "interval": list(wilson(one.found["winged horse"], one.images))}


def picture(rows: Sequence[tuple[Count, Samples]]) -> Image.Image:
    """The first images of each method, unselected, one method below the other."""
    sheets = [
        grid(samples.images[:SHOWN], SHOWN, 2, f"{one.method} ({one.words}): {100 * one.share:.1f} % winged horses")
        for one, samples in rows
    ]
    return stacked(sheets, 8)
