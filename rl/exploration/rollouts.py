"""Random play from a state of the archive, in a process of its own.

Credits: A. Ecoffet et al. 2021 (arXiv 2004.12919), Go-Explore without a policy: restore, then random actions that
repeat.
"""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass

import numpy as np

from common.signals import SIGNALS
from rl.envs.atari_game import AtariGame, GameSettings
from rl.envs.atari_worker import end_with_parent
from rl.exploration.archive import State, StateParts
from rl.exploration.games import Cell, Moment, explored_game

MEAN_REPEATS = 5.0  # steps for which a drawn action is repeated, on average
RARE_WEIGHT = 0.25  # of rare actions, against 1 for the others


@dataclass(frozen=True)
class Start:
    """Where a rollout starts.

    :param state: of the emulator
    :param last_action: the action before it
    :param lives: left
    :param seed: of the rollout's actions, and of its sticky actions if the state has no generator
    """

    state: State
    last_action: int
    lives: int
    seed: int


@dataclass(frozen=True)
class Found:
    """A state that a rollout reached, the best of its cell there.

    :param moment: what the RAM says of it
    :param state: of the emulator
    :param step: number of the rollout's actions before it
    """

    moment: Moment
    state: State
    step: int


@dataclass(frozen=True)
class Rollout:
    """What a rollout did.

    :param actions: indices, uint8, as bytes
    :param found: in the order of their steps
    """

    actions: bytes
    found: list[Found]


class RolloutPlayer:
    """Plays rollouts.

    :param game: the game and its settings
    :param fixed_noise: whether the generator behind sticky actions belongs to a state
    """

    def __init__(self, game: GameSettings, fixed_noise: bool) -> None:
        self.game = AtariGame(game)
        self._fixed_noise = fixed_noise
        self._read = explored_game(game.game).read
        rare = explored_game(game.game).rare
        weights = [RARE_WEIGHT if any(name in action.name for name in rare) else 1.0 for action in self.game.actions]
        self._thresholds = np.cumsum(weights) / sum(weights)
        self._ram = np.zeros(128, np.uint8)
        self._parts = StateParts(self.game.save_state(fixed_noise))

    def moment(self) -> Moment:
        """What the RAM says now."""
        self.game.ram(self._ram)
        return self._read(self._ram.tobytes())

    def state(self) -> State:
        """The emulator's state now."""
        return self._parts.split(self.game.save_state(self._fixed_noise))

    def restore_state(self, start: Start) -> None:
        """Put the emulator where a rollout starts."""
        noise_seed = None if self._fixed_noise else start.seed
        self.game.restore_state(self._parts.join(start.state), start.last_action, noise_seed)

    def play(self, start: Start, steps: int) -> Rollout:
        """Random actions from a state, until a life is lost, the game is over, or the steps are used up.

        :param steps: at most so many
        """
        generator = np.random.default_rng(start.seed)
        self.restore_state(start)
        actions = bytearray()
        found: dict[Cell, Found] = {}
        repeats, action = 0, 0
        while len(actions) < steps:
            if repeats == 0:
                action = int(np.searchsorted(self._thresholds, generator.random(), side="right"))
                repeats = int(generator.geometric(1 / MEAN_REPEATS))
            repeats -= 1
            _, terminated, truncated = self.game.step(action)
            actions.append(action)
            if terminated or truncated:
                break
            moment = self.moment()
            if moment.lives < start.lives:
                break
            known = found.get(moment.cell)
            if known is None or moment.reserve > known.moment.reserve:
                found[moment.cell] = Found(moment, self.state(), len(actions))
        return Rollout(bytes(actions), sorted(found.values(), key=lambda one: one.step))


_player: RolloutPlayer | None = None


def init_worker(game: GameSettings, fixed_noise: bool) -> None:
    """Make a process ready for ``play_rollout``; it ends with the one that started it."""
    global _player
    for number in SIGNALS:  # Ctrl-C reaches the whole group; the explorer decides
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    _player = RolloutPlayer(game, fixed_noise)


def play_rollout(start: Start, steps: int) -> Rollout:
    """A rollout in a process that ``init_worker`` has made ready."""
    assert _player is not None
    return _player.play(start, steps)
