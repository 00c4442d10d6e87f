"""The command ``explore``: search a game for high scores by putting the emulator back, and keep the best game found.

run_gravitar.py explore --timesteps 2000000 --name search
run_gravitar.py replay runs/gravitar/search --verify

Credits: A. Ecoffet et al. 2021 (arXiv 2004.12919), Go-Explore.
"""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path

import numpy as np

from common.append_log import AppendLog
from common.checkpoints import CheckpointClock, check_budget, discard_after, latest_checkpoint, prune, write_checkpoint
from common.errors import UserError, check_at_least
from common.files import write_atomic
from common.npz import pack_arrays
from common.processors import cores
from common.progress import ProgressLine
from common.records import difference
from common.run_folder import RunFolder, check_name, git_commit, package_versions, warn_of_other_versions
from common.signals import StopSignals
from common.traces import Trace, TracedEpisode, read_episodes
from common.video_names import game_name, video_file_name
from rl.envs.make_env import EnvironmentSettings, protocol_of, resolve_obs, trace_header
from rl.exploration.explorer import Explorer
from rl.exploration.games import explored_game
from rl.exploration.settings import ARCHIVE, SearchSettings, check_version, read_archive
from rl.options import ExploreSettings
from rl.registration import find_spec, is_atari
from rl.replay import render_with_bar

TASK = "gravitar"
PACKAGES = ("ale-py", "gymnasium", "numpy")
KEPT = 2  # checkpoints
FOUND = "found by search"
MAY_CHANGE = ("timesteps", "processes", "video", "checkpoint_minutes", "versions", "git_commit")


def explore(user: ExploreSettings) -> None:
    """Search in the folder ``RUNS/gravitar/NAME``.

    :raises UserError: for settings that cannot be used, or a folder that exists
    """
    check_at_least(1, {"--processes": user.processes})
    if user.minutes is not None and not 0 < user.minutes < math.inf:
        raise UserError(f"--minutes must be more than 0, not {user.minutes:g}")
    settings = _resolve(user)
    path = user.runs / TASK / check_name(user.name or f"explore-{user.seed}")
    if user.resume_if_exists and path.exists():
        before = SearchSettings.from_yaml(path / "settings.yml")
        found = difference(before, settings, MAY_CHANGE)
        if found:
            raise UserError(f"the search has {found}; give the setting it began with, or another --name")
        settings = dataclasses.replace(settings, versions=before.versions, git_commit=before.git_commit)
        _search(settings, RunFolder(path), user.minutes)
        return
    folder = RunFolder.create(path, settings.to_yaml())
    print(f"exploring {settings.environment.env_id} in {path}")
    _search(settings, folder, user.minutes)


def resume_search(run: Path, timesteps: int | None = None, checkpoint_minutes: float | None = None) -> None:
    """Go on with a search.

    :param timesteps: another budget
    :param checkpoint_minutes: another interval between checkpoints
    :raises UserError: when it cannot be resumed, or another process searches in its folder
    """
    folder = RunFolder(run)
    before = SearchSettings.from_yaml(folder.settings)
    check_budget(folder.checkpoints, "--timesteps", timesteps, before.timesteps)
    settings = dataclasses.replace(
        before,
        timesteps=before.timesteps if timesteps is None else timesteps,
        checkpoint_minutes=before.checkpoint_minutes if checkpoint_minutes is None else checkpoint_minutes,
    )
    settings.check()
    _search(settings, folder)


def _resolve(user: ExploreSettings) -> SearchSettings:
    if not is_atari(user.env):
        raise UserError(f"{user.env} is not an Atari game; only their emulator can be put back")
    explored_game(find_spec(user.env).kwargs["game"])
    settings = SearchSettings(
        EnvironmentSettings(user.env, resolve_obs(user.env, "ram"), protocol_of(user.env, None, (), {})),
        user.noise,
        user.seed,
        user.timesteps,
        user.cells,
        user.processes,
        user.video,
        user.checkpoint_minutes,
        package_versions(PACKAGES),
        git_commit(),
    )
    settings.check()
    return settings


def _search(settings: SearchSettings, folder: RunFolder, minutes: float | None = None) -> None:
    with folder.lock():
        search = Search(settings, folder)
        write_atomic(folder.settings, settings.to_yaml())
        try:
            finished = search.run(minutes)
        finally:
            search.close()
        print(f"the run is in {folder.path}: exploration.csv, checkpoints/")
        if not finished:
            print(f"stopped after {minutes:g} minutes; go on with: run_gravitar.py resume {folder.path}")
        if settings.noise == "fixed":
            _show_best_game(search)


def _show_best_game(search: Search) -> None:
    best = search.explorer.archive.best()
    traced = next(read_episodes(search.folder.traces))
    steps = len(best.line.all_actions())
    print(f"best game found: {best.moment.score:,} points after {steps:,} steps, as played again from its trace")
    if search.settings.video:
        name = video_file_name(game_name(search.header), traced.episode, traced.score, "video")
        print(render_with_bar(search.header, traced, search.folder.videos / name).path)


class Search:
    """A search in its run folder: progress, checkpoints, the best game's trace, and ``exploration.csv`` with a line for
    each new best score.

    :raises UserError: when the folder's archive is damaged or of another version of ale-py
    """

    def __init__(self, settings: SearchSettings, folder: RunFolder) -> None:
        self.settings = settings
        self.folder = folder
        self.header = dataclasses.replace(trace_header(settings.environment), note=FOUND)
        path = folder.path / "exploration.csv"
        checkpoint = latest_checkpoint(folder.checkpoints)
        if checkpoint is not None:
            check_version(settings, folder.path)
        self.explorer = Explorer(
            settings.game,
            settings.seed,
            settings.noise == "fixed",
            settings.cells,
            cores() if settings.processes is None else settings.processes,
        )
        self._began = time.monotonic()
        if checkpoint is None:  # new, or killed before the first one
            path.unlink(missing_ok=True)
            self._log = AppendLog(path, first_lines="steps,seconds,score,lives,fuel,cells\n")
            self._score = 0
        else:
            self.explorer.archive, counters = read_archive(checkpoint)
            self.explorer.rounds, self.explorer.steps = counters["rounds"], counters["steps"]
            self._began -= counters["seconds"]
            self._log = AppendLog(path, counters["log_length"])
            self._score = self.explorer.archive.best().moment.score
            warn_of_other_versions(settings.versions, PACKAGES)
            discard_after(checkpoint)
            print(f"resuming {folder.path} at {self.explorer.steps:,} steps")

    def run(self, minutes: float | None = None) -> bool:
        """Explore.

        :param minutes: stop after so many
        :return: whether the budget is used up
        :raises Interrupted: after a signal, when the state is saved
        """
        explorer, steps = self.explorer, self.settings.timesteps
        clock = CheckpointClock(self.settings.checkpoint_minutes)
        signals = StopSignals(f"run_gravitar.py resume {self.folder.path}")
        before, began = explorer.steps, time.monotonic()
        line = ProgressLine(
            steps if minutes is None else round(60 * minutes),
            before if minutes is None else 0,
            lambda elapsed: f"{self._describe()}, {(explorer.steps - before) / elapsed:.0f} steps/s",
        )
        end = math.inf if minutes is None else began + 60 * minutes
        signals.open()
        try:
            while explorer.steps < steps and time.monotonic() < end:
                explorer.play_round()
                line.update(explorer.steps if minutes is None else round(time.monotonic() - began))
                if explorer.archive.best().moment.score > self._score:
                    self._note_best()
                if signals.received is not None:
                    raise signals.interrupted(self.save())
                if clock.due:
                    self.save()
                    clock.restart()
        finally:
            signals.close()
            line.close()
        self.save()
        return explorer.steps >= steps

    def save(self) -> Path:
        """Write a checkpoint, and the best game's trace.

        :return: the checkpoint's folder
        :raises UserError: when the disk is full (status 1)
        """
        explorer = self.explorer
        counters = {
            "rounds": explorer.rounds,
            "steps": explorer.steps,
            "seconds": time.monotonic() - self._began,
            "log_length": self._log.synced_length(),
        }
        arrays = {**{name: np.array(value) for name, value in counters.items()}, **explorer.archive.arrays()}
        files = {ARCHIVE: pack_arrays(arrays, compress=False)}
        path = write_checkpoint(self.folder.checkpoints, f"step-{explorer.steps:09d}", files)
        prune(self.folder.checkpoints, KEPT)
        if self.settings.noise == "fixed":
            self._write_best_game()
        return path

    def _write_best_game(self) -> None:
        """Write the best game found as the run's trace. From its best state on random actions end it.

        :raises UserError: when the game does not reach its score again (status 1)
        """
        best = self.explorer.archive.best()
        actions = best.line.all_actions()
        game = self.explorer.game
        game.reset(self.explorer.game_seed)
        generator = np.random.default_rng(self.explorer.game_seed)
        played = bytearray()
        score = 0.0
        over = False
        while not over:
            action = actions[len(played)] if len(played) < len(actions) else int(generator.integers(len(game.actions)))
            reward, terminated, truncated = game.step(action)
            played.append(action)
            score += reward
            over = terminated or truncated
        if score < best.moment.score:
            message = f"{score:g} points, not {best.moment.score}"
            raise UserError(f"the best game of {self.folder.path} plays again to {message}", status=1)
        trace = Trace(self.explorer.game_seed, np.zeros(0, np.uint8), np.frombuffer(bytes(played), np.uint8))
        traced = TracedEpisode(0, score, len(played), trace)
        write_atomic(self.folder.traces, self.header.line() + traced.line())

    def close(self) -> None:
        """End the processes and close the log."""
        self.explorer.close()
        self._log.close()

    def _describe(self) -> str:
        best = self.explorer.archive.best().moment
        return (
            f"{self.explorer.steps:,} steps, best {best.score:,} with {best.lives} lives and {best.fuel:,} fuel, "
            f"{len(self.explorer.archive):,} cells"
        )

    def _note_best(self) -> None:
        best, seconds = self.explorer.archive.best().moment, time.monotonic() - self._began
        cells = len(self.explorer.archive)
        self._log.write(f"{self.explorer.steps},{seconds:.1f},{best.score},{best.lives},{best.fuel},{cells}\n")
        self._score = best.score
