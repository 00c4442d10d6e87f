"""Traced episodes played again: in the emulator for Atari games, else through ``gymnasium.make``.

Nothing but the trace file's header, a seed and the actions is needed; the agent is not.

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
from common.traces import Trace, TracedEpisode, TraceHeader
from rl.envs.atari_game import AtariGame, GameSettings

Picture = NDArray[np.uint8]  # (H, W, 3) RGB

# Scores of Atari games are whole numbers. Those of other environments may have been rounded to six decimals.
SCORE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class ReplayResult:
    """What an episode's actions gave when they were played again.

    :param score: sum of the raw rewards, points
    :param length: agent steps until the end, at most the number of actions
    :param terminated: whether the game was over by itself
    :param truncated: whether it was cut at its time limit
    """

    score: float
    length: int
    terminated: bool
    truncated: bool


class Player(Protocol):
    """An environment that plays traces."""

    fps: float

    def begin(self, trace: Trace) -> None:
        """Start the trace's episode and check that its actions are the environment's."""

    def frames(self, action: Any) -> Iterator[float]:
        """Do one action; yields the raw reward of each picture that it takes."""

    def over(self) -> tuple[bool, bool]:
        """Whether the episode has terminated, whether it was truncated."""

    def picture(self) -> Picture:
        """What is on the screen."""


class AtariPlayer:
    """The emulator, one picture for each of its frames.

    :param settings: the game and its rules
    :param draw: whether pictures will be asked for; only then is the first screen right (100 ms longer)
    """

    fps = 60.0

    def __init__(self, settings: GameSettings, draw: bool) -> None:
        self.game = AtariGame(settings)
        self.draw = draw

    def begin(self, trace: Trace) -> None:
        """Start the game.

        :raises UserError: when an action is none of the game's
        """
        count = len(self.game.actions)
        for actions in (trace.start, trace.actions):
            known = (actions >= 0) & (actions < count)
            if actions.ndim != 1 or actions.dtype.kind not in "ui" or not known.all():
                name = self.game.settings.game
                raise UserError(f"its actions are not those of {name}, which are 0 to {count - 1}")
        self.game.reset(trace.seed, trace.start.tolist(), load=self.draw)

    def frames(self, action: Any) -> Iterator[float]:
        """Do one action, frame by frame."""
        return self.game.frames(int(action))

    def over(self) -> tuple[bool, bool]:
        """Whether the game is over, whether it was cut."""
        return self.game.game_over(), self.game.truncated()

    def picture(self) -> Picture:
        """The screen, uint8 (210, 160, 3)."""
        return self.game.screen()


class GymPlayer:
    """Any other gymnasium environment, one picture for each step.

    :param header: the environment
    :param draw: whether pictures will be asked for
    :raises UserError: when gymnasium cannot make it
    """

    def __init__(self, header: TraceHeader, draw: bool) -> None:
        gym.register_envs(ale_py)
        kwargs = {**header.env_kwargs, "render_mode": "rgb_array" if draw else None}
        try:
            # The checker's warnings are for who writes an environment.
            self.env = gym.make(header.env_id, disable_env_checker=True, **kwargs)
        except Exception as error:
            raise UserError(f"cannot make the environment {header.env_id}: {first_line(error)}") from error
        self.fps = float(self.env.metadata.get("render_fps", 30))
        self._over = (False, False)

    def begin(self, trace: Trace) -> None:
        """Start the episode.

        :raises UserError: when an action is none of the environment's
        """
        space = self.env.action_space
        if isinstance(space, spaces.Discrete):
            fits = trace.actions.ndim == 1 and all(space.contains(int(action)) for action in trace.actions)
        else:
            fits = trace.actions.shape[1:] == space.shape
        if not fits:
            raise UserError(f"its actions are not those of the environment, which are {space}")
        self.env.reset(seed=trace.seed)
        self._over = (False, False)
        for action in trace.start:
            self.env.step(int(action))

    def frames(self, action: Any) -> Iterator[float]:
        """Do one action."""
        choice = int(action) if isinstance(self.env.action_space, spaces.Discrete) else action
        _, reward, terminated, truncated, _ = self.env.step(choice)
        self._over = (bool(terminated), bool(truncated))
        yield float(reward)

    def over(self) -> tuple[bool, bool]:
        """How the last step ended."""
        return self._over

    def picture(self) -> Picture:
        """What the environment renders.

        :raises UserError: when it renders no picture
        """
        picture = np.asarray(self.env.render())
        if picture.ndim != 3 or picture.dtype != np.uint8:
            raise UserError("the environment renders no pictures of uint8 (H, W, 3)", status=1)
        return picture


def make_player(header: TraceHeader, draw: bool = False) -> Player:
    """The environment that a trace file belongs to.

    :param draw: whether pictures will be asked for
    :raises UserError: when there is no such game or environment, or the header garbles its settings
    """
    settings = game_settings(header)
    return GymPlayer(header, draw) if settings is None else AtariPlayer(settings, draw)


def game_settings(header: TraceHeader) -> GameSettings | None:
    """The emulator's settings of a trace file; None where it is not of an Atari game.

    :raises UserError: when the header garbles them
    """
    if header.game is None:
        return None
    skip = header.game.get("frame_skip")
    fields = {**header.game, "frame_skip": tuple(skip) if isinstance(skip, list) else skip}
    try:
        return GameSettings(**fields)
    except (TypeError, ValueError) as error:
        raise UserError(f"the trace's header has unknown emulator settings ({first_line(error)})") from error


def play(player: Player, traced: TracedEpisode, show: Callable[[Picture], None] | None = None) -> ReplayResult:
    """Play an episode until it is over or its actions are used up.

    :param show: takes every picture: the first screen, then those of each action. Where a game ends inside an
        action, the emulator repeats its last screen for the action's remaining frames.
    :raises UserError: when the actions do not fit the environment; names the episode
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
    """Whether two scores are equal but for rounding."""
    return math.isclose(one, other, rel_tol=SCORE_TOLERANCE, abs_tol=SCORE_TOLERANCE)


def check_versions(header: TraceHeader, where: str) -> None:
    """Refuse a trace that other versions than the installed ones have made: they may play it differently.

    For an Atari game only ale-py counts.

    :param where: names the trace in the message
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
