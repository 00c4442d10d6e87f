"""Scores kept once and read by several callbacks, and the same callbacks each by itself.

Credits: Stable-Baselines3's models and its logger, whose files are read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv

from callbacks.checkpoint import CheckpointCallback
from callbacks.learning_curve import LearningCurveCallback
from callbacks.progress import ProgressCallback
from callbacks.scores import ScoreCallback, ScoreHistory, ScoreScalarsCallback
from common.checkpoints import list_checkpoints

# Games end at steps 2, 4, 6, ... of the first environment and 4, 8, ... of the second: in pairs at 4, 8, 12, ...
TAPES = ([(2, float(score)) for score in (10, 70, 30, 0, 20, 50)], [(4, float(score)) for score in (40, 60, 100)])
# In the order in which they finish, ties by the environment's index.
SCORES = [10.0, 70.0, 40.0, 30.0, 0.0, 60.0, 20.0, 50.0, 100.0]


def readers(folder: Path, history: ScoreHistory | None) -> list[ScoreCallback]:
    return [
        ScoreScalarsCallback(history),
        LearningCurveCallback(folder / "curve.png", every=3, history=history),
        ProgressCallback(24, quiet=True, history=history),
    ]


def state(checkpoint: Path) -> Any:
    return json.loads((checkpoint / "state.json").read_text())


def test_a_history_keeps_all_scores_in_the_order_of_finishing(
    tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    history = ScoreHistory()
    ppo(tape_env(*TAPES)).learn(24, callback=history)
    assert history.scores == SCORES and history.n_episodes == 9 and history.best == 100.0
    assert history.last(3) == [20.0, 50.0, 100.0] and history.last(100) == SCORES
    assert history.state() == {"n_episodes": 9, "scores": SCORES, "best_score": 100.0}


@pytest.mark.parametrize("shared", [True, False], ids=["one history", "each its own"])
def test_readers_find_the_scores_with_a_shared_history_and_by_themselves(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO], shared: bool
) -> None:
    history = ScoreHistory() if shared else None
    callbacks = readers(tmp_path, history)
    model = ppo(tape_env(*TAPES), n_steps=4)
    model.set_logger(configure(str(tmp_path), ["json"]))
    model.learn(24, callback=[*([history] if history else []), *callbacks])
    assert [callback.history.scores for callback in callbacks] == [SCORES] * 3
    rows = [json.loads(line) for line in (tmp_path / "progress.json").read_text().splitlines()]
    # After steps 4, 8 and 12: 3, 6 and 9 games. 120 / 3, 210 / 6, 380 / 9.
    assert [row["games/finished"] for row in rows] == [3, 6, 9]
    assert [row["games/score"] for row in rows] == [40.0, 60.0, 100.0]
    assert [row["games/score_mean_100"] for row in rows] == pytest.approx([40.0, 35.0, 380 / 9])
    assert [row["games/score_best"] for row in rows] == [70.0, 70.0, 100.0]
    progress = callbacks[2]
    assert isinstance(progress, ProgressCallback)
    assert progress.describe(2.0) == "24 steps, 12/s, 9 games, score 42 (last 9), best 100"
    assert (tmp_path / "curve.png").exists()


def test_a_checkpoint_with_a_history_holds_the_scores_once(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    def train(tapes: Any, steps: int, checkpoint: Path | None = None) -> CheckpointCallback:
        history = ScoreHistory()
        watched = [history, *readers(tmp_path, history)]
        saver = CheckpointCallback(tmp_path / "checkpoints", 10**6, window=3, watched=watched, history=history)
        if checkpoint:
            saver.load_states(checkpoint)
        ppo(tape_env(*tapes), n_steps=4).learn(steps, callback=[*watched, saver])
        return saver

    train(TAPES, 16)
    last = list_checkpoints(tmp_path / "checkpoints")[-1]
    # 30, 0 and 60 are the last three.
    assert (state(last)["mean_score"], state(last)["games_in_mean"]) == (30.0, 3)
    assert state(last)["callbacks"] == {
        "ScoreHistory": {"n_episodes": 6, "scores": SCORES[:6], "best_score": 70.0},
        "ScoreScalarsCallback": {"n_episodes": 6},
        "LearningCurveCallback": {"n_episodes": 6},
        "ProgressCallback": {"n_episodes": 6},
        "CheckpointCallback": {"n_episodes": 6, "best": 30.0},
    }
    saver = train([TAPES[0][4:], TAPES[1][2:]], 8, last)
    assert saver.history.scores == SCORES and saver.history.best == 100.0
    # 20, 50 and 100 are the last three.
    assert saver.best == pytest.approx(170 / 3)


def test_a_checkpoint_callback_by_itself_keeps_its_scores(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    saver = CheckpointCallback(tmp_path, every=10**6, window=2)
    ppo(tape_env(*TAPES), n_steps=4).learn(16, callback=saver)
    other = CheckpointCallback(tmp_path, every=10**6, window=2)
    other.load_states(list_checkpoints(tmp_path)[-1])
    assert other.history.scores == SCORES[:6] and other.best == 30.0 and other.n_episodes == 6


def test_states_of_before_there_was_a_history_load() -> None:
    last_100 = [float(score) for score in range(100)]
    old = {
        "ScoreScalarsCallback": {"n_episodes": 150, "last_100": last_100, "best": 700.0},
        "LearningCurveCallback": {"n_episodes": 150, "scores": [700.0] * 50 + last_100},
        "CheckpointCallback": {"n_episodes": 150, "scores": last_100, "best": 49.5},
    }
    history = ScoreHistory()
    history.load_state(history.state_in(old))
    assert history.n_episodes == 150 and history.scores == [700.0] * 50 + last_100 and history.best == 700.0
    # Alone, a callback has the hundred scores that it kept, and the best of all; the next checkpoint has them, too.
    alone = ScoreScalarsCallback()
    alone.load_state(old["ScoreScalarsCallback"])
    again = ScoreScalarsCallback()
    again.load_state(alone.state())
    assert again.n_episodes == 150 and again.history.last(100) == last_100 and again.history.best == 700.0
    saver = CheckpointCallback("unused", every=1)
    saver.load_state(old["CheckpointCallback"])
    assert saver.best == 49.5 and saver.history.last(100) == last_100


def test_closing_is_for_every_callback_and_may_be_repeated(tmp_path: Path) -> None:
    for callback in (ScoreHistory(), *readers(tmp_path, None), CheckpointCallback(tmp_path, every=1)):
        callback.close()
        callback.close()
