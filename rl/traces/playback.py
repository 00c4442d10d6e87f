"""Replay of traced episodes: in the emulator for Atari games, otherwise through ``gymnasium.make``.

It needs only the trace file's header, a seed and the actions, not the agent.

Credits: the Arcade Learning Environment through ale-py (M. G. Bellemare et al. 2013, arXiv 1207.4708);
gymnasium (M. Towers et al. 2024, arXiv 2407.17032).
"""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import ale_py
import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from common.errors import UserError, first_line
from common.extras import check_installed
from common.traces import Trace, TracedEpisode, TraceHeader
from rl.envs.atari_game import AtariGame, GameSettings
from rl.registration import needs_box2d

Picture = NDArray[np.uint8]  # (H, W, 3) RGB

# Scores of Atari games are integers. Those of other environments may have been rounded to six decimals.
SCORE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class ReplayResult:
    """The result of replaying an episode.

    :param score: sum of the raw rewards, points
    :param length: agent steps until the end, at most the number of actions
    :param terminated: whether the episode terminated
    :param truncated: whether it was truncated at a time limit
    """

    score: float
    length: int
    terminated: bool
    truncated: bool


class Player(Protocol):
    """An environment in which traces are replayed. ``fps`` is its number of frames per second."""

    fps: float

    def begin(self, trace: Trace) -> None:
        """Reset the environment with the trace's seed, after a check that it has the trace's actions."""

    def frames(self, action: Any) -> Iterator[float]:
        """Take one action; yields the raw reward of each of its frames."""

    def over(self) -> tuple[bool, bool]:
        """Whether the episode has terminated, and whether it was truncated."""

    def picture(self) -> Picture:
        """The current frame."""


class AtariPlayer:
    """The Atari emulator, with every frame that it emulates.

    :param settings: the game and its settings
    :param render: whether ``picture`` will be called; only then is the first screen right (takes 100 ms longer)
    """

    fps = 60.0

    def __init__(self, settings: GameSettings, render: bool) -> None:
        self.game = AtariGame(settings)
        self.render = render

    def begin(self, trace: Trace) -> None:
        """Start the game.

        :raises UserError: when the game does not have one of the actions
        """
        count = len(self.game.actions)
        for actions in (trace.start, trace.actions):
            known = (actions >= 0) & (actions < count)
            if actions.ndim != 1 or actions.dtype.kind not in "ui" or not known.all():
                name = self.game.settings.game
                raise UserError(f"its actions are not those of {name}, which are 0 to {count - 1}")
        self.game.reset(trace.seed, trace.start.tolist(), load=self.render)

    def frames(self, action: Any) -> Iterator[float]:
        """Take one action, frame by frame."""
        return self.game.frames(int(action))

    def over(self) -> tuple[bool, bool]:
        """Whether the game is over, and whether it was truncated."""
        return self.game.game_over(), self.game.truncated()

    def picture(self) -> Picture:
        """The screen, uint8 (210, 160, 3)."""
        return self.game.screen()


class GymPlayer:
    """Any other gymnasium environment, with one frame per step.

    :param header: describes the environment
    :param render: whether ``picture`` will be called
    :raises UserError: when gymnasium cannot make it
    :raises ModuleNotFoundError: when a library that only some environments need is not installed
    """

    def __init__(self, header: TraceHeader, render: bool) -> None:
        gym.register_envs(ale_py)
        self._header, self._render = header, render
        self.env = self._make()
        self.fps = float(self.env.metadata.get("render_fps", 30))
        self._over = (False, False)

    def begin(self, trace: Trace) -> None:
        """Start the episode.

        :raises UserError: when the actions do not fit the environment's action space
        """
        space = self.env.action_space
        if isinstance(space, spaces.Discrete):
            fits = trace.actions.ndim == 1 and all(space.contains(int(action)) for action in trace.actions)
        else:
            fits = trace.actions.shape[1:] == space.shape and all(space.contains(action) for action in trace.actions)
        if not fits:
            raise UserError(f"its actions are not those of the environment, which are {space}")
        # A new one, as in training: Box2D's worlds remember the episodes before (rl.envs.gym_vec_env).
        self.env.close()
        self.env = self._make()
        self.env.reset(seed=trace.seed)
        self._over = (False, False)
        for action in trace.start:
            self.env.step(int(action))

    def _make(self) -> gym.Env[Any, Any]:
        if self._header.env_id in gym.registry and needs_box2d(self._header.env_id):
            for library in ("Box2D", "pygame") if self._render else ("Box2D",):
                check_installed(library)
        kwargs = {**self._header.env_kwargs, "render_mode": "rgb_array" if self._render else None}
        try:
            # The checker's warnings are for authors of environments.
            return gym.make(self._header.env_id, disable_env_checker=True, **kwargs)
        except Exception as error:
            raise UserError(f"cannot make the environment {self._header.env_id}: {first_line(error)}") from error

    def frames(self, action: Any) -> Iterator[float]:
        """Take one action; yields its reward."""
        choice = int(action) if isinstance(self.env.action_space, spaces.Discrete) else action
        _, reward, terminated, truncated, _ = self.env.step(choice)
        self._over = (bool(terminated), bool(truncated))
        yield float(reward)

    def over(self) -> tuple[bool, bool]:
        """Whether the last step terminated the episode, and whether it truncated it."""
        return self._over

    def picture(self) -> Picture:
        """The rendered frame, uint8 (H, W, 3).

        :raises UserError: when the environment renders anything else (status 1)
        """
        picture = np.asarray(self.env.render())
        if picture.ndim != 3 or picture.dtype != np.uint8:
            raise UserError("the environment renders no pictures of uint8 (H, W, 3)", status=1)
        return picture


def make_player(header: TraceHeader, render: bool = False) -> Player:
    """The environment of a trace file.

    :param render: whether ``picture`` will be called
    :raises UserError: when there is no such game or environment, or the header's settings are invalid
    """
    settings = game_settings(header)
    return GymPlayer(header, render) if settings is None else AtariPlayer(settings, render)


def game_settings(header: TraceHeader) -> GameSettings | None:
    """The emulator settings in a trace file's header; None for an environment that is not an Atari game.

    :raises UserError: when they are invalid
    """
    if header.game is None:
        return None
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in header.game.items()
    }
    try:
        return GameSettings(**fields)
    except (TypeError, ValueError) as error:
        raise UserError(f"the trace's header has unknown emulator settings ({first_line(error)})") from error


def play(player: Player, traced: TracedEpisode, show: Callable[[Picture], None] | None = None) -> ReplayResult:
    """Play an episode until it is over or its actions are used up.

    :param show: called with every frame: the first screen, then those of each action. If a game ends during an action,
        the emulator repeats its last screen for the action's remaining frames
    :raises UserError: when the actions do not fit the environment; the message names the episode
    """
    trace = traced.trace
    try:
        player.begin(trace)
    except (UserError, ValueError) as error:
        raise UserError(f"episode {traced.episode} cannot be played: {first_line(error)}") from error
    if show:
        show(player.picture())
    score, length, over = 0.0, 0, (False, False)
    for action in trace.actions:
        for reward in player.frames(action):
            score += reward
            if show:
                show(player.picture())
        length += 1
        over = player.over()
        if any(over):
            break
    return ReplayResult(score, length, *over)


def same_score(one: float, other: float) -> bool:
    """Whether two scores are equal up to rounding."""
    return math.isclose(one, other, rel_tol=SCORE_TOLERANCE, abs_tol=SCORE_TOLERANCE)


def check_versions(header: TraceHeader, where: str) -> None:
    """Refuse a trace made with other versions than the installed ones, with which the replay may differ.

    For an Atari game only the version of ale-py is compared.

    :param where: the trace's file, for the error message
    :raises UserError: when a version differs
    """
    for package, version in header.versions.items():
        if header.game is not None and package != "ale-py":
            continue
        try:
            installed = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            installed = "missing"
        if installed != version:
            raise UserError(
                f"{where} was made with {package} {version}, installed is {installed}: it may play "
                f"differently; install {package}=={version}, or try with --force"
            )
