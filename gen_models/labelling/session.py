"""A session of labelling: screens of images, their answers, what was learned from them, and how good both are.

A screen holds images without a label and, where there are some, two that were labelled a while ago: one yes, one no.
Their second answers are compared with the first, and change nothing. A screen that is confirmed is written at once.

After each hundred new labels a thread learns from all of them, while one more screen is shown; what it found is used
from the second screen on. So the screens depend on images, labels, answers and seed, not on the speed of the machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from gen_models.classifiers.attributes import NO, YES
from gen_models.images.image_set import UNKNOWN, ImageSet
from gen_models.judging.shares import wilson
from gen_models.labelling.label_file import LabelFile
from gen_models.labelling.ranking import Accuracy, Ranking, choose, held_out, learn

TILES = 24  # images of a screen
LEARN_EVERY = 100  # labels
FORGOTTEN = 5  # screens after which an image may be shown again
PACE = 10  # screens over which the speed is averaged

UNSURE = "unsure"
VALUES = {"yes": YES, "no": NO, UNSURE: UNKNOWN}


@dataclass
class Screen:
    """Images that are shown together.

    :param images: their indices, int64 (n,)
    :param again: which of them have a label and are shown for comparison, bool (n,)
    :param answers: keys of ``VALUES``; None until it is confirmed
    """

    images: NDArray[np.int64]
    again: NDArray[np.bool_]
    answers: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Agreement:
    """Second answers, without those that are unsure.

    :param yes: second answers about images labelled yes, and those of them that say so again
    :param no: the same of no
    :param differing: names of the images with another answer
    """

    yes: tuple[int, int]
    no: tuple[int, int]
    differing: tuple[str, ...]


class LabellingSession:
    """The session.

    :param images: the images to label
    :param features: float32 (N, D), from which the classifier learns
    :param labels: what the file says of each image, int8 (N,): 1 yes, 0 no, -1 unknown
    :param file: where labels go
    :param seed: of the order of the images
    :param clock: seconds, for the speed
    """

    def __init__(
        self,
        images: ImageSet,
        features: NDArray[np.float32],
        labels: NDArray[np.int8],
        file: LabelFile,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.images = images
        self.names: list[str] = images.known_names.tolist()
        self.features = features
        self.labels = labels.copy()
        self.file = file
        self.seed = seed
        self.clock = clock
        self.held = held_out(self.names)
        self.screens: list[Screen] = []
        self.place = 0  # of the screen that is shown
        self.ranking = learn(features, self.labels, self.held)
        self._learned_at = self.labelled
        self._worker = ThreadPoolExecutor(1)
        self._learning: tuple[Future[Ranking | None], int] | None = None  # and the screen from which on it counts
        self._last_shown = np.full(len(images), -1, np.int64)  # the screen, by image
        self._again = np.zeros(len(images), np.bool_)
        self._times = [clock()]
        self.screens.append(self._next_screen())

    def close(self) -> None:
        """Wait for the end of the learning."""
        self._worker.shutdown()

    @property
    def labelled(self) -> int:
        """The number of labelled images."""
        return int((self.labels != UNKNOWN).sum())

    @property
    def screen(self) -> Screen:
        """The screen that is shown; empty when there are no more images."""
        return self.screens[self.place]

    def confirm(self, place: int, answers: Sequence[str]) -> None:
        """Write the answers, and show the next screen.

        :param place: the screen's number, from 0
        :param answers: keys of ``VALUES``, one for each image
        :raises UserError: when another screen is shown, or the file cannot be written; nothing is changed then
        """
        screen = self.screen
        if place != self.place or len(answers) != len(screen.images) or not set(answers) <= set(VALUES):
            raise UserError("these are no answers to the screen that is shown, perhaps in another window; reload")
        if len(screen.images) == 0:
            return
        new = {
            index: VALUES[answer]
            for index, answer, again in zip(screen.images.tolist(), answers, screen.again, strict=True)
            if not again
        }
        changed = {index: value for index, value in new.items() if self.labels[index] != value}
        self.file.put({self.names[index]: None if value == UNKNOWN else value for index, value in changed.items()})
        for index, value in changed.items():
            self.labels[index] = value
        screen.answers = tuple(answers)
        self._times.append(self.clock())
        self.place += 1
        if self.labelled - self._learned_at >= LEARN_EVERY and self._learning is None:
            self._learned_at = self.labelled
            work = self._worker.submit(learn, self.features, self.labels.copy(), self.held)
            self._learning = work, len(self.screens) + 1
        if self.place == len(self.screens):
            self.screens.append(self._next_screen())

    def back(self) -> None:
        """Show the screen before, whose answers may be changed."""
        self.place = max(0, self.place - 1)
        self._times = [self.clock()]

    def _next_screen(self) -> Screen:
        number = len(self.screens)
        if self._learning is not None and self._learning[1] <= number:
            self.ranking = self._learning[0].result() or self.ranking
            self._learning = None
        rng = np.random.default_rng((self.seed, number))
        candidates = np.flatnonzero((self.labels == UNKNOWN) & (self._last_shown < 0))
        again = self._some_again(number, rng) if len(candidates) else np.empty(0, np.int64)
        new = choose(self.ranking, candidates, TILES - len(again), rng)
        shown = rng.permutation(np.concatenate([again, new]))
        if self.ranking is not None:
            shown = shown[np.argsort(-self.ranking.probability[shown], kind="stable")]
        self._last_shown[shown] = number
        self._again[again] = True
        return Screen(shown, np.isin(shown, again))

    def _some_again(self, number: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """One image labelled yes and one labelled no that were not shown lately, and never for a second time."""
        ready = ~self._again & ((self._last_shown < 0) | (self._last_shown <= number - FORGOTTEN))
        of_each = [np.flatnonzero(ready & (self.labels == value)) for value in (YES, NO)]
        return np.concatenate([rng.permutation(some)[:1] for some in of_each])

    def agreement(self) -> Agreement:
        """How the second answers agree with the labels."""
        counts = {YES: [0, 0], NO: [0, 0]}
        differing = []
        for screen in self.screens:
            for index, again, answer in zip(screen.images, screen.again, screen.answers or (), strict=False):
                label = int(self.labels[index])
                if again and answer != UNSURE and label != UNKNOWN:
                    counts[label][0] += 1
                    counts[label][1] += VALUES[answer] == label
                    if VALUES[answer] != label:
                        differing.append(self.names[index])
        return Agreement((counts[YES][0], counts[YES][1]), (counts[NO][0], counts[NO][1]), tuple(differing))

    def accuracy(self) -> Accuracy | None:
        """The classifier's on labelled images that are held out; None as long as there is no classifier."""
        return None if self.ranking is None else self.ranking.accuracy(self.labels, self.held)

    def pace(self) -> float | None:
        """Images a minute over the last screens; None before the first."""
        times = self._times[-PACE - 1 :]
        if len(times) < 2:
            return None
        return TILES * (len(times) - 1) * 60 / max(times[-1] - times[0], 1e-9)

    def figures(self) -> list[tuple[str, str]]:
        """What is shown beside the images: names and values."""
        yes, no = int((self.labels == YES).sum()), int((self.labels == NO).sum())
        left = int(((self.labels == UNKNOWN) & (self._last_shown < 0)).sum())
        pace, found, agreed = self.pace(), self.accuracy(), self.agreement()
        lines = [("yes", f"{yes:,}"), ("no", f"{no:,}"), ("not seen yet", f"{left:,}")]
        lines.append(("images a minute", "-" if pace is None else f"{pace:.0f}"))
        lines.append(("learned from", f"{self.ranking.learned:,} labels" if self.ranking else "nothing yet"))
        if found is not None and found.images:
            low, high = wilson(found.right, found.images)
            lines += [
                ("held out: right", f"{100 * found.right / found.images:.1f} %"),
                ("95 % interval", f"{100 * low:.1f} to {100 * high:.1f} %"),
                ("held out: yes", _of(found.yes)),
                ("held out: no", _of(found.no)),
            ]
        if agreed.yes[0] + agreed.no[0]:
            lines += [
                ("same again", _of((agreed.yes[0] + agreed.no[0], agreed.yes[1] + agreed.no[1]))),
                ("same again: yes", _of(agreed.yes)),
                ("same again: no", _of(agreed.no)),
            ]
        return lines


def _of(counts: tuple[int, int]) -> str:
    return f"{counts[1]:,} of {counts[0]:,}"
