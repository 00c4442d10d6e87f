"""``run_pegasus.py figures``: what it leaves, and what bad input gets."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from common.errors import UserError
from common.run_folder import RunFolder
from gen_models.commands.figures import default_weights, figures, swept_conditions
from gen_models.diffusion.conditions import Vocabulary
from gen_models.images.grids import save_png
from gen_models.options import FiguresSettings
from gen_models.training.loss_log import FIRST_LINE
from gen_models.training.preview import preview
from gen_models.training.state import load_denoiser
from tests.untrained_run import untrained_run

OPTIONS: dict[str, Any] = {"steps": 1, "sweep_weights": (0, 2), "device": "cpu"}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run with random weights and a loss."""
    made = untrained_run(tmp_path / "first")
    (made.path / "loss.csv").write_text(FIRST_LINE + "320,0.5,0.001,99.0\n640,0.4,0.001,99.0\n")
    return made


def test_all_figures(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    denoiser, vocabulary, noise, settings = load_denoiser(run)
    picture = preview(denoiser, vocabulary, noise, settings.seed, "float32")
    save_png(picture, run.path / "samples" / "samples-000000320.png")
    figures(FiguresSettings(run.path, **OPTIONS))
    folder = run.path / "figures" / "paper"
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "architecture.pdf", "architecture.png", "guidance-sweep.png", "interpolations.png", "loss.pdf", "loss.png",
        "sample-progress.png",
    ]  # fmt: skip
    assert capsys.readouterr().out == f"{', '.join(names)} are in {folder}\n"
    for name, inches in {"architecture": 3.3, "loss": 3.3, "guidance-sweep": 6.75, "sample-progress": 3.3}.items():
        with Image.open(folder / f"{name}.png") as shown:
            assert shown.width / shown.info["dpi"][0] == pytest.approx(inches, rel=0.01)


def test_what_a_young_run_lacks_is_left_out_with_a_line(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    (run.path / "loss.csv").write_text(FIRST_LINE)
    figures(FiguresSettings(run.path, name="early", **OPTIONS))
    printed = capsys.readouterr().out
    assert "no loss.pdf: " in printed and "no sample-progress.png: " in printed
    assert not list((run.path / "figures" / "early").glob("loss*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "hrose=1"}, "unknown condition 'hrose' .*did you mean 'horse'"),
        ({"weights": "horse=1", "to": "bird=2"}, "--to bird=2: an interpolation from horse=1 needs as many"),
        ({"sweep": ("horse", "wngs")}, "unknown condition 'wngs'"),
        ({"sweep": ("horse", "bird"), "from_": "bird"}, "--add bird changes nothing in --from bird"),
        ({"sweep_weights": ()}, "--sweep-weights needs one weight at least"),
        ({"steps": 30}, "for ddim they have to divide 1000; the nearest is 25"),
        ({"batch_size": 0}, "--batch-size must be at least 1"),
        ({"checkpoint": "step-7"}, "has no checkpoint 'step-7'"),
        ({"name": "../there"}, "--name '../there'"),
    ],
)
def test_what_cannot_be_leaves_nothing(run: RunFolder, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        figures(FiguresSettings(run.path, **{**OPTIONS, **options}))
    assert not list(run.path.glob("figures/*"))


def test_runs_without_a_checkpoint_or_a_loss_and_folders_that_are_none(run: RunFolder, tmp_path: Path) -> None:
    (run.path / "loss.csv").unlink()
    with pytest.raises(UserError, match=r"cannot read .*loss\.csv"):
        figures(FiguresSettings(run.path, **OPTIONS))
    shutil.rmtree(run.checkpoints)
    with pytest.raises(UserError, match="has no checkpoint yet; train it first"):
        figures(FiguresSettings(run.path, **OPTIONS))
    assert not list(run.path.glob("figures/*"))
    with pytest.raises(UserError, match="is not a run folder"):
        figures(FiguresSettings(tmp_path / "absent", **OPTIONS))
    assert not (tmp_path / "absent").exists()


def test_figures_are_not_overwritten(run: RunFolder) -> None:
    (run.path / "figures" / "paper").mkdir(parents=True)
    with pytest.raises(UserError, match="exists and is not overwritten; choose another --name"):
        figures(FiguresSettings(run.path, **OPTIONS))


def test_defaults_come_from_the_words_of_the_run() -> None:
    full, one = Vocabulary(("horse", "bird"), ("white",)), Vocabulary(("horse",))
    assert default_weights(full) == "horse=2,bird=2" and default_weights(one) == "horse=2"
    assert swept_conditions("horse=2, white=3,bird=1", full) == ("horse", "white")
    assert swept_conditions("horse+white=2", full) == ("horse", "bird")
    assert swept_conditions("", one) is None
