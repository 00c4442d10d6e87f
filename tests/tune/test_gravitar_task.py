"""A real study of the real game: the same bit for bit, in run folders that everything else reads, whatever stops it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import FixedTrial, TrialState

from common.checkpoints import latest_checkpoint
from common.errors import UserError
from common.run_folder import Exists, Locked, RunFolder
from rl.options import ReplaySettings
from rl.replay import replay
from tune import game_scores, plan
from tune.game_scores import NoGames, read_score
from tune.gravitar_task import GravitarTask, full_steps
from tune.search import open_study, run_trial, trial_seeds
from tune.settings import GravitarStudy, from_text
from tune.task import Pruned

optuna.logging.set_verbosity(optuna.logging.WARNING)
TINY = GravitarStudy(
    name="tiny", trials=2, seeds=2, steps=3_000, last=0.5, n_envs=4, pruner="none", device="cpu",
    search=("learning_rate", "n_steps_log2", "width_log2"), range=("n_steps_log2=5:7", "width_log2=7:8"),
    set=("n_epochs=1", "policy_kwargs=dict(net_arch=[128])", "batch_size=64"),
)  # fmt: skip


def search(settings: GravitarStudy) -> optuna.Study:
    study = open_study(settings, InMemoryStorage())
    while run_trial(study, settings):
        pass
    return study


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[GravitarStudy, optuna.Study]:
    settings = dataclasses.replace(TINY, runs=str(tmp_path_factory.mktemp("first")))
    return settings, search(settings)


def files(settings: GravitarStudy, number: int, seed: int) -> list[bytes]:
    """The files of a training as bytes: marking log, traces and weights."""
    run = settings.folder / "trials" / f"trial-{number:04d}" / f"seed-{seed}"
    latest = latest_checkpoint(run / "checkpoints")
    assert latest is not None
    names = (run / "gravitar-log.txt", run / "traces/episodes.jsonl", latest / "policy.safetensors")
    return [path.read_bytes() for path in names]


def test_the_same_study_again_gives_the_same_trials_bit_for_bit(
    first: tuple[GravitarStudy, optuna.Study], tmp_path: Path
) -> None:
    settings, study = first
    again_settings = dataclasses.replace(settings, runs=str(tmp_path))
    again = search(again_settings)
    assert [one.state for one in study.trials] == [TrialState.COMPLETE] * 2
    for one, other in zip(study.trials, again.trials, strict=True):
        assert (one.params, one.values, one.intermediate_values) == (
            other.params, other.values, other.intermediate_values,
        )  # fmt: skip
        assert one.user_attrs["per_seed"] == other.user_attrs["per_seed"]
    assert study.trials[0].params != study.trials[1].params
    for number in range(2):
        for seed in range(2):
            assert files(settings, number, seed) == files(again_settings, number, seed)


def test_a_trial_is_worth_the_games_of_the_last_part_over_all_seeds(first: tuple[GravitarStudy, optuna.Study]) -> None:
    settings, study = first
    trial = study.trials[1]
    scores = []
    cuts = 0
    for seed in range(2):
        run = settings.folder / "trials" / "trial-0001" / f"seed-{seed}"
        latest = latest_checkpoint(run / "checkpoints")
        assert latest is not None
        kept = json.loads((latest / "state.json").read_text())["callbacks"]["GameScores"]
        logged = [float(line.split(",")[0]) for line in (run / "monitor.csv").read_text().splitlines()[2:]]
        assert kept["scores"] == logged and len(logged) >= 4
        late = sorted(score for step, score in zip(kept["steps"], logged, strict=True) if step > 1_500)
        cut = len(late) // 4
        cuts += cut
        scores.append(np.mean(late[cut : len(late) - cut]))
        text = (run / "settings.yml").read_text()
        assert f"seed: {trial_seeds(742, 1, 2)[seed]}" in text
    assert cuts > 0  # there were enough games to trim
    assert [values[0] for values in trial.user_attrs["per_seed"]] == pytest.approx(scores)
    assert trial.value == pytest.approx(np.mean(scores))
    assert trial.user_attrs[plan.STEPS] >= 2 * 3_000


def test_a_trials_games_can_be_replayed_and_verified(first: tuple[GravitarStudy, optuna.Study]) -> None:
    settings, _ = first
    replay(ReplaySettings(settings.folder / "trials" / "trial-0000" / "seed-1", verify=True))


class Recorder:
    """Records what is reported, and stops the work at a number of steps."""

    def __init__(self, stop_at: int | None = None, prune_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.prune_at = prune_at
        self.reports: list[tuple[int, float]] = []
        self.steps = 0

    def report(self, budget: int, value: float) -> bool:
        self.reports.append((budget, value))
        return budget == self.prune_at

    def spent(self, steps: int) -> None:
        self.steps = steps
        if self.stop_at is not None and steps >= self.stop_at:
            raise KeyboardInterrupt


def test_a_trial_that_was_stopped_goes_on_to_the_same_value(
    first: tuple[GravitarStudy, optuna.Study], tmp_path: Path
) -> None:
    settings, study = first
    trial = study.trials[1]
    task = GravitarTask(settings)
    params, seeds = task.space(FixedTrial(trial.params)), trial_seeds(742, 1, 1)
    folder = tmp_path / "trial-0001"
    recorder = Recorder(stop_at=2_000)
    with pytest.raises(KeyboardInterrupt):
        task.run(params, seeds, folder, recorder)
    rest = Recorder()
    outcome = task.run(params, seeds, folder, rest)
    assert list(outcome.values) == trial.user_attrs["per_seed"][0]
    assert rest.reports == [(3_000, outcome.values[0])]
    assert 0 < rest.steps < 3_000 - 750  # only what came after the last checkpoint
    done = Recorder()
    assert task.run(params, seeds, folder, done) == outcome  # all is there
    assert done.steps == 0


def test_a_training_that_another_process_has_just_begun_is_gone_on_with_or_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(settings: Any, path: Path, *_: Any, **__: Any) -> None:
        raise Exists(path)

    def find_locked(settings: Any, folder: RunFolder, *_: Any, **__: Any) -> None:
        raise Locked(str(folder.path))

    monkeypatch.setattr("tune.gravitar_task.train_new", lose)
    monkeypatch.setattr("tune.gravitar_task.train_on", find_locked)
    study = dataclasses.replace(TINY, runs=str(tmp_path))
    task = GravitarTask(study)
    with pytest.raises(Locked):
        task.run(task.space(FixedTrial(task.defaults())), [1], tmp_path / "run", Recorder())


@pytest.mark.slow
def test_seeds_side_by_side_give_what_they_give_one_after_the_other(
    first: tuple[GravitarStudy, optuna.Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, study = first
    monkeypatch.setattr("tune.gravitar_task.rungs", lambda pruner, steps: (2_600, steps))
    task = GravitarTask(dataclasses.replace(settings, pruner="median"))
    params, seeds = task.space(FixedTrial(study.trials[1].params)), trial_seeds(742, 1, 2)
    pruned = Recorder(prune_at=2_600)
    with pytest.raises(Pruned):
        task.run(params, seeds, tmp_path / "trial-0001", pruned)
    assert [budget for budget, _ in pruned.reports] == [2_600] and pruned.steps < 2 * 3_000
    rest = Recorder()
    assert task.run(params, seeds, tmp_path / "trial-0001", rest).values == tuple(study.trials[1].values)
    assert rest.reports[0] == pruned.reports[0]
    again = dataclasses.replace(settings, runs=str(tmp_path / "elsewhere"))
    (again.folder / "trials").mkdir(parents=True)
    (tmp_path / "trial-0001").rename(again.folder / "trials" / "trial-0001")
    for seed in range(2):
        assert files(settings, 1, seed) == files(again, 1, seed)


def test_a_folder_with_other_values_is_refused(first: tuple[GravitarStudy, optuna.Study]) -> None:
    settings, _ = first
    task = GravitarTask(settings)
    folder = settings.folder / "trials" / "trial-0000"
    with pytest.raises(UserError, match="learning_rate"):
        task.run(task.space(FixedTrial({**task.defaults(), "learning_rate": 1e-4})), trial_seeds(742, 0, 2), folder,
                 Recorder())  # fmt: skip


def checkpoint_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[int], scores: list[float],
                  weight: float = 1.0) -> Path:  # fmt: skip
    from safetensors.numpy import save_file

    checkpoint = tmp_path / "run" / "checkpoints" / "step-000000001"
    checkpoint.mkdir(parents=True, exist_ok=True)
    states: dict[str, Any] = {"GameScores": {"steps": steps, "scores": scores}}
    (checkpoint / "state.json").write_text(json.dumps({"callbacks": states, "timesteps": 1}))
    save_file({"w": np.array([weight], np.float32)}, checkpoint / "policy.safetensors")
    monkeypatch.setattr(game_scores, "latest_checkpoint", lambda folder: checkpoint)
    return checkpoint.parent


def test_the_score_of_a_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [100, 510, 600, 700, 800, 900, 1_010]
    scores = [9e9, 10.0, 20.0, 30.0, 1_000.0, 40.0, 60.0]
    folder = checkpoint_of(tmp_path, monkeypatch, steps, scores)
    # Of 10, 20, 30, 1000, 40, 60 one is cut at each end.
    assert read_score(folder, 1_000, 0.5, 1_000) == 37.5
    assert read_score(folder, 1_000, 0.5, 2_000) == 30.0  # on the way, the game that ended later is not counted
    assert read_score(folder, 600, 0.25, 2_000) == 15.0
    with pytest.raises(UserError, match=r"no game finished in the last 20% of 400 steps"):
        read_score(folder, 400, 0.2, 2_000)


def test_scores_and_weights_that_are_not_finite_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoint_of(tmp_path, monkeypatch, [10], [5.0], weight=float("nan"))
    with pytest.raises(UserError, match="the weights w are not finite"):
        read_score(folder, 10, 1.0, 10)
    folder = checkpoint_of(tmp_path, monkeypatch, [10], [float("inf")])
    with pytest.raises(UserError, match="a score is not finite"):
        read_score(folder, 10, 1.0, 10)


class Told:
    """A training that only says what it was asked, and whose score is its seed."""

    tape: ClassVar[list[Any]] = []

    def __init__(self, settings: Any, path: Path) -> None:
        self.seed, self.folder = settings.seed, RunFolder(path)

    def reach(self, budget: int, trainings: Any, progress: Any) -> None:
        self.tape.append((self.seed, budget))

    def score(self, budget: int, last: float) -> float:
        return float(self.seed)


@pytest.mark.parametrize(
    ("pruner", "tape", "reports"),
    [
        ("none", [(10, 3_000), (20, 3_000), (60, 3_000)], [(3_000, 30.0)]),
        ("wilcoxon", [(10, 3_000), (20, 3_000), (60, 3_000)], [(0, 10.0), (1, 20.0), (2, 60.0)]),
        (
            "median",
            [(seed, budget) for budget in (750, 1_500, 3_000) for seed in (10, 20, 60)],
            [(750, 30.0), (1_500, 30.0), (3_000, 30.0)],
        ),
        (
            "successive-halving",
            [(seed, budget) for budget in (333, 1_000, 3_000) for seed in (10, 20, 60)],
            [(333, 30.0), (1_000, 30.0), (3_000, 30.0)],
        ),
    ],
)
def test_the_order_in_which_seeds_and_budgets_are_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pruner: str, tape: list[Any], reports: list[Any]
) -> None:
    monkeypatch.setattr("tune.gravitar_task._Training", Told)
    monkeypatch.setattr(Told, "tape", [])
    task = GravitarTask(dataclasses.replace(TINY, pruner=pruner))
    recorder = Recorder(prune_at=reports[-1][0])  # at the end there is nothing left to save
    outcome = task.run(task.space(FixedTrial(task.defaults())), [10, 20, 60], tmp_path, recorder)
    assert (outcome.values, outcome.per_seed) == ((30.0,), ((10.0,), (20.0,), (60.0,)))
    assert Told.tape == tape and recorder.reports == reports


class Slow(Told):
    """A training whose second seed finishes its first game late."""

    first_game = 1_200

    def score(self, budget: int, last: float) -> float:
        if self.seed == 20 and budget < self.first_game:
            raise NoGames("no game finished")
        return super().score(budget, last)


def test_a_budget_before_the_first_game_is_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune.gravitar_task._Training", Slow)
    monkeypatch.setattr(Slow, "tape", [])
    task = GravitarTask(dataclasses.replace(TINY, pruner="median"))
    recorder = Recorder()
    params = task.space(FixedTrial(task.defaults()))
    assert task.run(params, [10, 20, 60], tmp_path, recorder).values == (30.0,)
    assert recorder.reports == [(1_500, 30.0), (3_000, 30.0)]
    monkeypatch.setattr(Slow, "first_game", 9_000)
    with pytest.raises(NoGames):  # at the end it is no value
        task.run(params, [10, 20, 60], tmp_path, Recorder())


def test_settings_are_read_back_as_they_were() -> None:
    assert from_text(TINY.to_yaml(), "here") == TINY
    with pytest.raises(UserError, match="does not hold a study's settings"):
        from_text(TINY.to_yaml().replace("trials: 2", "trials: many"), "here")


def test_the_full_budget_is_the_configurations() -> None:
    assert full_steps(TINY) == 6_000_000
