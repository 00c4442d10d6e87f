"""The bonus table: the assignments' own examples, and what runs and measurements decide."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import submission.bonus as bonus_module
from common.checkpoints import write_checkpoint
from common.errors import UserError
from common.run_folder import RunFolder
from gen_models.judging.judge import FOLDER
from gen_models.judging.selection import Selection
from gen_models.training.settings import RunSettings
from submission.bonus import TrainedRun, bonus, counted_pages, decide, read_run, summary, total
from submission.edition import EDITIONS
from submission.options import BonusSettings
from tests.submission.made_submissions import pdf
from tests.untrained_run import untrained_adversarial_run, untrained_run

ROOT = Path(__file__).resolve().parents[2]
WHITE, BROWN = (0.9,) * 64, (0.2,) * 64


def run(
    sources: str = "cifar10", size: int = 32, images: int = 1_000_000, white: tuple[float, ...] = WHITE
) -> TrainedRun:
    return TrainedRun("run", True, tuple(sources.split()), size, images, white, "batch")


def marks(year: int, *runs: TrainedRun, pages: int | None = 4) -> dict[str, int]:
    return {one.row.key: one.marks for one in decide(EDITIONS[year], runs, pages) if one.marks}


@pytest.mark.parametrize(
    ("year", "one", "expected"),
    [
        # The assignment of 2020: STL-10 at 96 x 96 counts 1 + 1 + 3, and nearly all white makes it 6.
        (2020, run("cifar10 stl10", 96, white=(0.9, *BROWN[1:])), {"48": 1, "64": 1, "96": 3}),
        (2020, run("cifar10 stl10", 96), {"48": 1, "64": 1, "96": 3, "all white": 1}),
        (2020, run("stl10", 64), {"48": 1, "64": 1, "all white": 1}),
        (2020, run("stl10", 48, white=BROWN), {"48": 1, "not white": -2}),
        (2020, run("stl10", 32), {"all white": 1}),
        (2020, run("cifar10", 32), {"cifar only": -2, "all white": 1}),
        (2020, run("cifar10", 96), {"cifar only": -2, "all white": 1}),  # enlarging CIFAR-10 is not STL-10
        (2020, run("sprites:256", 16), {"other data": -50, "all white": 1}),
        # The assignment of 2021: 1 + 1 for STL-10 at 64 x 64.
        (2021, run("cifar10 stl10", 64), {"48": 1, "64": 1}),
        (2021, run("stl10", 96), {"48": 1, "64": 1, "96": 2}),
        (2021, run("cifar10", 32), {"cifar only": -2}),
    ],
)
def test_tables(year: int, one: TrainedRun, expected: dict[str, int]) -> None:
    assert marks(year, one) == expected


def test_totals_with_pages_over_the_limit() -> None:
    assert total(decide(EDITIONS[2020], [run("cifar10 stl10", 96)], 4)) == 6
    assert total(decide(EDITIONS[2020], [run("cifar10 stl10", 96)], 7)) == 6 - 15


def test_several_runs_of_one_submission_accumulate() -> None:
    assert marks(2020, run("cifar10", 32), run("stl10", 48)) == {"48": 1, "all white": 1}


def test_a_token_step_does_not_count() -> None:
    few = decide(EDITIONS[2020], [run("stl10", 96, images=256)], 4)
    rows = {one.row.key: one for one in few}
    assert [rows[key].applies for key in ("48", "64", "96")] == [None, None, None]
    assert "256 images only" in rows["96"].evidence


def test_what_cannot_be_decided_is_said() -> None:
    one = dataclasses.replace(run("npz:cifar10.npz", 96, white=()), diffusion=False)
    decisions = decide(EDITIONS[2020], [one])
    assert {one.row.key for one in decisions if one.applies is not None} == set()
    assert total(decisions) == 0
    assert summary(decisions).startswith("total +0; cannot be decided here: adversarial, cifar only, ")


@pytest.mark.parametrize(("white", "applies"), [(58, True), (57, False)])
def test_nearly_all_is_nine_in_ten(white: int, applies: bool) -> None:
    shares = (0.66,) * white + (0.65,) * (64 - white)  # 0.65 itself is not mostly white
    found = {one.row.key: one for one in decide(EDITIONS[2020], [run(white=shares)], 4)}
    assert found["all white"].applies is applies
    assert found["all white"].evidence.startswith(f"{white} of 64 images")
    assert found["not white"].applies is False


@pytest.fixture
def trained(tmp_path: Path) -> RunFolder:
    """A run of random weights that says that it saw CIFAR-10 and STL-10, and a judged batch of four."""
    folder = untrained_run(tmp_path / "stl")
    settings = RunSettings.from_yaml(folder.settings)
    data = dataclasses.replace(settings.data, specs=("cifar10", "stl10"), size=96)
    folder.settings.write_text(dataclasses.replace(settings, data=data).to_yaml())
    write_checkpoint(folder.checkpoints, "step-000060000", {"state.json": b'{"images": 60000}'})
    judged(folder.path, "batch-9", [0.1] * 4)
    judged(folder.path, "batch-10", [0.9, 0.8, 0.95, 0.1])
    return folder


def judged(path: Path, name: str, whiteness: list[float]) -> None:
    """What ``judge`` writes: of four images two are kept, the third and the first."""
    nothing = np.zeros(4)
    selection = Selection(np.array([2, 0]), nothing, np.array(whiteness), nothing, nothing, nothing.astype(bool))
    (path / "judge" / name).mkdir(parents=True)
    (path / "judge" / name / "selection.csv").write_text(selection.to_csv([0, 1, 2, 3]))


def test_a_run_folder_is_read(trained: RunFolder) -> None:
    expected = TrainedRun("stl", True, ("cifar10", "stl10"), 96, 60_000, (0.95, 0.9), "batch-10")
    assert read_run(trained.path) == expected
    assert read_run(trained.path, "batch-9").whiteness == (0.1, 0.1)
    with pytest.raises(UserError, match="has no batch other"):
        read_run(trained.path, "other")


def test_the_command(trained: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paper = tmp_path / "paper.pdf"
    paper.write_bytes(pdf(6))
    bonus(BonusSettings((trained.path,), 2020, paper=paper, json=True))
    content = json.loads(capsys.readouterr().out)
    rows = {row["row"]: row for row in content["rows"]}
    assert (rows["pages"]["marks"], rows["all white"]["marks"]) == (-10, 1)
    assert content["total"] == 1 + 1 + 3 + 1 - 10
    bonus(BonusSettings((trained.path,), 2020))
    assert "total +6; cannot be decided here" in capsys.readouterr().out


def test_judged_batches_are_where_judge_puts_them() -> None:
    assert bonus_module.JUDGED == FOLDER


def test_bad_input(tmp_path: Path) -> None:
    for folder, message in (
        (tmp_path, "is not a run folder"),
        (ROOT / "results" / "gravitar" / "ppo-ram", "not a run of a generative"),
    ):
        with pytest.raises(UserError, match=message):
            read_run(folder)
    with pytest.raises(UserError, match="--edition 1999"):
        bonus(BonusSettings((), 1999))
    with pytest.raises(UserError, match="name the run"):
        decide(EDITIONS[2020], [])
    (tmp_path / "paper.pdf").write_bytes(b"x")
    with pytest.raises(UserError, match="cannot be opened as a PDF"):
        counted_pages(tmp_path / "paper.pdf")


def test_a_dcgan_takes_its_marks(tmp_path: Path) -> None:
    folder = untrained_adversarial_run(tmp_path / "rival")
    rival = read_run(folder.path)
    assert (rival.adversarial, rival.diffusion, rival.images) == (True, False, 60_000)
    rows = {one.row.key: one for one in decide(EDITIONS[2021], [rival])}
    assert (rows["adversarial"].applies, rows["adversarial"].marks) == (True, -4)
    assert rows["adversarial"].evidence == "rival: a DCGAN, whose generator learns against a discriminator"
    assert rows["pre-trained"].applies is False
    # The assignment's own example: a GAN, CIFAR-10 and STL-10 at 64 pixels.
    example = dataclasses.replace(rival, sources=("cifar10", "stl10"), size=64)
    assert total(decide(EDITIONS[2021], [example], 4)) == -2


@pytest.mark.parametrize(
    ("source", "expected"), [("ffhq:faces", {"48": 1, "64": 1}), ("lsun:data/church", {"48": 1, "64": 1})]
)
def test_folders_of_the_editions_data_sets_count(source: str, expected: dict[str, int]) -> None:
    assert marks(2021, dataclasses.replace(run("stl10", 64), sources=(source,))) == expected
    assert marks(2020, dataclasses.replace(run("stl10", 64), sources=(source,)))["other data"] == -50
