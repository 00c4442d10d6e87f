"""Screens, answers, what is written, agreement, and that all of it follows from seed and answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import UserError
from gen_models.classifiers.hand_labels import read_labels
from gen_models.images.image_set import ImageSet
from gen_models.labelling.label_file import LabelFile
from gen_models.labelling.session import TILES, LabellingSession

COUNT = 600
TRUTH = np.arange(COUNT) % 10 == 0  # one in ten
IMAGES = ImageSet(
    np.zeros((COUNT, 8, 8, 3), np.uint8), np.zeros(COUNT, np.int64), ("bird",), np.zeros(COUNT, np.int64), ("a",)
)
FEATURES = np.column_stack([np.where(TRUTH, 3, 0), np.random.default_rng(0).standard_normal(COUNT)]).astype(np.float32)


class Person:
    """Answers truly, except where told otherwise."""

    def __init__(self, path: Path, known: NDArray[np.int8] | None = None, seed: int = 0) -> None:
        self.time = 0.0
        labels = np.full(COUNT, -1, np.int8) if known is None else known
        self.session = LabellingSession(IMAGES, FEATURES, labels, LabelFile(path, "spread"), seed, lambda: self.time)

    def answers(self) -> list[str]:
        return ["yes" if TRUTH[index] else "no" for index in self.session.screen.images]

    def confirm(self, answers: list[str] | None = None) -> None:
        self.time += 4.8
        self.session.confirm(self.session.place, self.answers() if answers is None else answers)


def values(path: Path) -> dict[int, int]:
    return {int(label.image): label.value for label in read_labels([str(path)])}


def test_each_confirmed_screen_is_written_and_rare_ones_are_found(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    person = Person(path)
    assert not path.exists()
    for number in range(1, 15):
        person.confirm()
        assert values(path) == {index: int(TRUTH[index]) for index in np.flatnonzero(person.session.labels >= 0)}
        assert len(values(path)) == sum(int((~one.again).sum()) for one in person.session.screens[:number])
    session = person.session
    assert session.ranking is not None and session.ranking.learned > 150
    assert sum(values(path).values()) == 60  # all of them, in 14 of 25 screens
    accuracy = session.accuracy()
    assert accuracy is not None and accuracy.right == accuracy.images == int(
        (session.held & (session.labels >= 0)).sum()
    )
    assert session.pace() == pytest.approx(300)
    figures = dict(session.figures())
    assert (figures["yes"], figures["images a minute"], figures["held out: right"]) == ("60", "300", "100.0 %")


def test_the_same_answers_give_the_same_screens_and_another_seed_others(tmp_path: Path) -> None:
    tapes = []
    for number, seed in enumerate((3, 3, 4)):
        person = Person(tmp_path / f"{number}.csv", seed=seed)
        for _ in range(10):
            person.confirm()
        tapes.append(np.stack([one.images for one in person.session.screens]))
        person.session.close()
    np.testing.assert_array_equal(tapes[0], tapes[1])
    assert (tapes[0] != tapes[2]).any()


def test_the_classifier_is_used_from_the_second_screen_after_each_hundred_on(tmp_path: Path) -> None:
    person = Person(tmp_path / "labels.csv")
    learned = []
    for _ in range(8):
        learned.append(0 if person.session.ranking is None else person.session.ranking.learned)
        person.confirm()
    assert learned[:6] == [0] * 6  # 120 labels after screen 4; screen 5 is shown meanwhile
    held = person.session.held
    first_five = np.concatenate([one.images for one in person.session.screens[:5]])
    assert learned[6] == learned[7] == int((~held[first_five]).sum())


def test_second_answers_are_compared_and_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("index,spread\n" + "".join(f"{index},{'yes' if TRUTH[index] else 'no'}\n" for index in range(100)))
    known = np.where(np.arange(COUNT) < 100, TRUTH, -1).astype(np.int8)
    person = Person(path, known)
    seen = []
    for number in range(6):
        screen = person.session.screen
        again = screen.images[screen.again]
        assert sorted(TRUTH[again]) == [False, True] and (person.session.labels[again] >= 0).all()
        seen += again.tolist()
        answers = person.answers()
        place = int(np.flatnonzero(screen.again & TRUTH[screen.images])[0])
        if number == 2:
            answers[place] = "no"
            differing = str(screen.images[place])
        if number == 3:
            answers[place] = "unsure"
        person.confirm(answers)
    assert len(set(seen)) == len(seen) == 12
    agreement = person.session.agreement()
    assert (agreement.yes, agreement.no, agreement.differing) == ((5, 4), (6, 6), (differing,))
    assert dict(person.session.figures())["same again"] == "10 of 11"
    assert all(value == TRUTH[index] for index, value in values(path).items())


def test_going_back_changes_answers_and_unsure_is_no_label(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    person = Person(path)
    first = person.session.screen.images
    person.confirm(["yes"] * TILES)
    second = person.session.screen.images
    person.confirm(["no"] * TILES)
    third = person.session.screen.images
    for _ in range(3):  # once more than there are screens
        person.session.back()
    assert person.session.place == 0 and person.session.screen.answers == ("yes",) * TILES
    person.confirm(["unsure", "no"] + ["yes"] * (TILES - 2))
    assert person.session.screen.images is second and person.session.screen.answers == ("no",) * TILES
    person.confirm(["no"] * TILES)
    np.testing.assert_array_equal(person.session.screen.images, third)
    found = values(path)
    assert first[0] not in found and found[first[1]] == 0 and [found[index] for index in first[2:]] == [1] * (TILES - 2)
    assert [found[index] for index in second] == [0] * TILES
    shown = np.concatenate([one.images for one in person.session.screens])
    assert len(set(shown.tolist())) == len(shown)  # also what was unsure is not shown again


@pytest.mark.parametrize(
    ("place", "answers"),
    [(1, ["no"] * TILES), (-1, ["no"] * TILES), (0, ["no"] * (TILES - 1)), (0, ["maybe"] * TILES), (0, [])],
)
def test_answers_to_something_else_are_refused(place: int, answers: list[str], tmp_path: Path) -> None:
    person = Person(tmp_path / "labels.csv")
    with pytest.raises(UserError, match="no answers to the screen that is shown"):
        person.session.confirm(place, answers)
    assert person.session.place == 0 and not (tmp_path / "labels.csv").exists()


def test_a_file_that_cannot_be_written_loses_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    person = Person(path)
    shown = person.session.screen
    path.write_text("index,spread\n1,maybe\n")
    with pytest.raises(UserError, match="'maybe' is neither yes nor no"):
        person.confirm()
    assert person.session.screen is shown and person.session.labelled == 0
    path.unlink()
    person.confirm()
    assert len(values(path)) == TILES


def test_the_end(tmp_path: Path) -> None:
    known = np.full(COUNT, 0, np.int8)
    known[:30] = -1
    (tmp_path / "labels.csv").write_text("index,spread\n" + "".join(f"{index},no\n" for index in range(30, COUNT)))
    person = Person(tmp_path / "labels.csv", known)
    person.confirm()
    assert len(person.session.screen.images) == 8  # 30 less the 23 that came beside one for comparison; and another
    person.confirm()
    assert len(person.session.screen.images) == 0 and person.session.labelled == COUNT
    person.confirm([])
    assert person.session.place == 2
    person.session.back()
    assert len(person.session.screen.images) == 8
