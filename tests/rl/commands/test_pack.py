"""``pack`` and ``watch``: a small copy of a run plays what the run plays."""

from __future__ import annotations

import re
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from common.errors import UserError
from common.run_folder import RunFolder
from common.traces import Trace, TracedEpisode, read_episodes
from rl.commands.pack import pack, some_episodes
from rl.commands.watch import watch
from rl.evaluate import evaluate
from rl.options import EvaluateSettings, PackSettings, TrainSettings, WatchSettings
from rl.traces.screens import Terminal
from rl.traces.verification import verify
from rl.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    train(TrainSettings(preset="smoke", timesteps=3_000, n_envs=4, video_every=0, runs=runs, name="a"))
    return runs / "gravitar/a"


@pytest.fixture(scope="module")
def packed(run: Path) -> Path:
    folder = run.parent.parent / "results/small"
    pack(PackSettings(run, folder))
    return folder


def test_the_copy_has_one_checkpoint(run: Path, packed: Path) -> None:
    (checkpoint,) = (packed / "checkpoints").iterdir()
    assert checkpoint.name == max(path.name for path in (run / "checkpoints").glob("step-*"))
    kept = load_file(checkpoint / "policy.safetensors")
    whole = load_file(run / "checkpoints" / checkpoint.name / "policy.safetensors")
    assert kept.keys() == whole.keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in whole.items())
    for name in ("settings.yml", "monitor.csv", "gravitar-log.txt"):
        assert (packed / name).read_bytes() == (run / name).read_bytes()


def test_many_weights_are_kept_with_half_the_bytes(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rl.commands.pack.MOST_BYTES", 1_000)
    pack(PackSettings(run, tmp_path / "small"))
    (checkpoint,) = (tmp_path / "small/checkpoints").iterdir()
    small = load_file(checkpoint / "policy.safetensors")
    whole = load_file(run / "checkpoints" / checkpoint.name / "policy.safetensors")
    assert {tensor.dtype for tensor in small.values()} == {torch.bfloat16}
    for name, tensor in whole.items():
        assert torch.allclose(small[name].float(), tensor, rtol=2**-8, atol=1e-30)


def test_the_best_seconds_are_a_small_animation(packed: Path) -> None:
    file = packed / "highlight.gif"
    assert file.stat().st_size <= 1_000_000
    with Image.open(file) as animation:
        assert (animation.size, animation.format) == ((160, 210), "GIF")
        assert 100 <= animation.n_frames <= 150


def test_its_games_verify_and_evaluate_plays_it(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = len(list(read_episodes(RunFolder(packed).traces)))
    assert 1 <= kept <= 3
    assert not verify(packed, sample=kept).differences
    evaluate(EvaluateSettings(packed, games=2, n_envs=2, json=packed.parent / "evaluation.json"))
    assert "raw scores of whole games" in capsys.readouterr().out


def test_watch_makes_the_video_of_a_game_that_the_seed_decides(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(WatchSettings(packed, output=tmp_path))
    written = capsys.readouterr().out.splitlines()[0]
    screen = MagicMock(Terminal)
    monkeypatch.setattr("rl.commands.watch.open_screen", lambda title, fps: screen)
    watch(WatchSettings(packed))
    shown = capsys.readouterr().out.strip()
    assert re.fullmatch(rf"{shown}, \d+ s", written)
    steps = int(shown.split()[-2])
    assert 4 * steps - 3 <= screen.show.call_count - 1 <= 4 * steps
    screen.close.assert_called_once_with()
    (video,) = (tmp_path / "small").glob("gravitar-video-episode-10742-score-*.mp4")
    assert video.stat().st_size > 10_000


def test_training_begins_with_the_policy_of_a_run(packed: Path, tmp_path: Path) -> None:
    (checkpoint,) = (packed / "checkpoints").iterdir()
    before = load_file(checkpoint / "policy.safetensors")
    # At so small a learning rate the policy stays what it was.
    train(
        TrainSettings(
            preset="smoke", timesteps=256, n_envs=2, set=("learning_rate=1.0e-30",), video_every=0,
            runs=tmp_path, name="on", pretrained=packed,
        )
    )  # fmt: skip
    after = load_file(tmp_path / "gravitar/on/checkpoints/step-000000256/policy.safetensors")
    assert all(torch.equal(after[name], tensor.float()) for name, tensor in before.items())
    with pytest.raises(UserError, match="does not fit the run's settings"):
        train(
            TrainSettings(
                preset="smoke", timesteps=256, n_envs=2, set=("policy_kwargs=dict(net_arch=[32])",), runs=tmp_path,
                name="other", pretrained=packed,
            )
        )  # fmt: skip
    with pytest.raises(UserError, match="nowhere"):
        train(
            TrainSettings(
                preset="smoke", timesteps=256, n_envs=2, runs=tmp_path, name="other", pretrained=tmp_path / "nowhere"
            )
        )
    assert not (tmp_path / "gravitar/other").exists()


def test_which_games_are_kept() -> None:
    def game(number: int, score: float) -> TracedEpisode:
        return TracedEpisode(number, score, 1, Trace(0, np.zeros(0, np.uint8), np.zeros(1, np.uint8)))

    # The best of all came early; of the last hundred, scores 100 to 199, the median is 150 and a bad one 110.
    games = [game(0, 900), game(1, 50), *(game(2 + number, 100 + number) for number in range(100))]
    assert [one.score for one in some_episodes(games)] == [900, 110, 150]
    assert [one.episode for one in some_episodes([game(4, 0)])] == [4]


def test_mistakes(run: Path, packed: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists and is never overwritten"):
        pack(PackSettings(run, packed))
    with pytest.raises(UserError, match="has no checkpoint 'step-5'"):
        pack(PackSettings(run, tmp_path / "b", checkpoint="step-5"))
    with pytest.raises(UserError, match="is not a run folder"):
        watch(WatchSettings(tmp_path / "none"))
    with pytest.raises(UserError, match="no game has finished yet"):
        some_episodes([])
    assert not (tmp_path / "b").exists()
