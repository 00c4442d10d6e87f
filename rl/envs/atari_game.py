"""An Atari game that starts from a seed: the same seed and actions always give the same game.

Whatever replays a traced episode (verification, videos) and the workers behind the training environment use this
class. A seed means here what it means to ``gymnasium.make("ALE/...").reset(seed=seed)``, so that anybody can check a
trace with gymnasium alone.

ALE applies a new seed only when it loads the ROM, which takes about 100 ms. Of the state that follows, only the random
generator behind sticky actions depends on the seed (a Mersenne Twister that nothing has drawn from yet), so a reset
restores the saved first state with that generator's state written into it: about 5 ms. The screen is not part of the
state; where the first screen is needed, reset with ``load=True``.

A game can be put back to any of its moments (``save_state``, ``restore_state``). Of what decides how it goes on, only
the last action, which a sticky frame repeats, is not in ALE's state; it is repeated just before the state is restored.

Credits: M. G. Bellemare, Y. Naddaf, J. Veness, M. Bowling 2013 (arXiv 1207.4708) and M. C. Machado et al. 2018
(arXiv 1709.06009) for the Arcade Learning Environment; ale-py's ``AtariEnv`` for the meaning of a seed, frame skip
and truncation; M. Matsumoto, T. Nishimura 1998 for the Mersenne Twister.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ale_py
import numpy as np
from ale_py._ale_py import ALEState
from numpy.typing import NDArray

from common.errors import UserError, nearest
from common.seeds import derive_seeds

# A serialised generator: its 624 words and its position, as text behind a 4-byte length.
_GENERATOR = re.compile(rb"(?:\d+ ){624}\d+")
_FIRST_SEED = 0
NOOP, FIRE = 0, 1  # ALE's indices, in every game's action set
# What an action does in a game, beside ALE's name for it: Pong's paddle goes up to the right.
ALIASES = {"pong": {"UP": "RIGHT", "DOWN": "LEFT"}}
# Where the state keeps the length of the part that encloses the generators; it changes with the text's length.
_OUTER_LENGTH = 24


@dataclass(frozen=True)
class GameSettings:
    """The rules of an ALE game. They, a seed and the actions decide everything.

    :param game: ALE's name of the ROM, such as ``gravitar``
    :param frame_skip: frames for each action; a pair (low, high) draws from low..high-1, as the legacy ids do
    :param sticky: probability that a frame repeats the previous frame's action (Machado et al. 2018, section 5)
    :param max_frames: frames after which a game is truncated (108,000 are 30 minutes)
    :param full_action_space: all 18 actions instead of those that the game uses
    :param actions: names of the actions, in ALE's words, in place of those that the game uses; empty for these
    :param whole_actions: a game is cut at the end of the action that reaches ``max_frames``, as in
        ALE's vector environment, instead of within it, as in gymnasium's ``AtariEnv``
    """

    game: str
    frame_skip: int | tuple[int, int] = 4
    sticky: float = 0.25
    max_frames: int = 108_000
    full_action_space: bool = False
    whole_actions: bool = False
    actions: tuple[str, ...] = ()

    def rules(self) -> dict[str, Any]:
        """The settings for a trace's header, fit for JSON; without ``actions`` where they are the game's own, as in
        traces from before there was a choice.
        """
        content = {**dataclasses.asdict(self), "actions": list(self.actions)}
        return content if self.actions else {name: value for name, value in content.items() if name != "actions"}

    @property
    def max_skip(self) -> int:
        """The largest number of frames that one action takes."""
        return self.frame_skip if isinstance(self.frame_skip, int) else self.frame_skip[1] - 1

    @property
    def mean_skip(self) -> float:
        """The frames that one action takes on average."""
        if isinstance(self.frame_skip, int):
            return self.frame_skip
        low, high = self.frame_skip
        return (low + high - 1) / 2


@cache
def rom_path(game: str) -> Path:
    """The ROM's file in ale-py's wheel.

    :raises UserError: when ALE has no such game; the message names the nearest
    """
    names = ale_py.roms.get_all_rom_ids()
    if game not in names:
        raise UserError(f"unknown Atari game '{game}'{nearest(game, names)}")
    path = ale_py.roms.get_rom_path(game)
    assert path is not None  # it is one of the names
    return Path(path)


def ale_seed(seed: int) -> int:
    """The 32-bit seed that gymnasium's ``AtariEnv.reset(seed=seed)`` hands to ALE (may be negative)."""
    return int(np.random.SeedSequence(seed).generate_state(2)[1].astype(np.int32))


def episode_seed(run_seed: int, environment: int, episode: int) -> int:
    """The seed of one episode, a function of the run's seed, the environment's index and its episode count.

    ALE's vector environment takes a negative seed for "none", so a draw whose ALE seed would be negative is skipped.

    :return: a seed in 0 .. 2**32 - 1
    """
    draws = derive_seeds((run_seed, environment, episode), 64, bits=32)
    return next(draw for draw in draws if ale_seed(draw) >= 0)


class AtariGame:
    """An ALE emulator with one game loaded, seeded at every reset.

    :param settings: the game and its rules
    """

    def __init__(self, settings: GameSettings) -> None:
        self.settings = settings
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self.ale = ale_py.ALEInterface()
        self.ale.setFloat("repeat_action_probability", settings.sticky)
        limit = settings.max_frames + settings.max_skip if settings.whole_actions else settings.max_frames
        self.ale.setInt("max_num_frames_per_episode", limit)
        self._load(_FIRST_SEED)
        self.actions = self._action_set()
        self._first_state = self.ale.cloneState(include_rng=True).serialize()
        # The second generator in the state is the one behind sticky actions; the first does not depend on the seed.
        generators = list(_GENERATOR.finditer(self._first_state))
        self._generator = generators[-1].span() if len(generators) == 2 else None
        if self._generator and self._with_seed(_FIRST_SEED) != self._first_state:
            self._generator = None  # another ale-py keeps its state differently: load the ROM at every reset
        self._random = np.random.default_rng(0)
        self._unsticky_state: ALEState | None = None

    def reset(self, seed: int, start: Sequence[int] = (), load: bool = False) -> None:
        """Begin a new game.

        :param seed: as for ``gymnasium.Env.reset``
        :param start: indices of actions done for one frame each before the agent's first (no-ops, fire)
        :param load: load the ROM again (100 ms), so that the first screen is drawn as well
        """
        words = np.random.SeedSequence(seed).generate_state(2)
        self._random = np.random.default_rng(int(words[0]))
        if load or self._generator is None:
            self._load(ale_seed(seed))
        else:
            self.ale.reset_game()  # forgets the last action, which a sticky first frame would repeat; not in the state
            self.ale.restoreState(ALEState(self._with_seed(ale_seed(seed))))
        for action in start:
            self.ale.act(self.actions[action])

    def save_state(self, with_generator: bool = True) -> bytes:
        """The emulator's state, for ``restore_state`` in any emulator with the same settings.

        :param with_generator: whether the generator behind sticky actions is part of it (14 kB instead of 8 kB)
        """
        return self.ale.cloneState(include_rng=with_generator).serialize()

    def restore_state(self, state: bytes, last_action: int, noise_seed: int | None = None) -> None:
        """Put the game back to where it was saved, from where the same actions make the same game.

        :param state: what ``save_state`` returned
        :param last_action: the action before it
        :param noise_seed: seed of other sticky actions from here on, for a state that was saved without the generator
        :raises ValueError: when the settings draw the frame skip at random, since that generator is not the emulator's
        """
        if not isinstance(self.settings.frame_skip, int):
            raise ValueError("a game with a random frame skip cannot be put back")
        if self._generator is None:
            raise ValueError("this version of ale-py keeps its state in another way")
        if self._unsticky_state is None:
            self._unsticky_state = ALEState(self._with_seed(self._unsticky_seed()))
        self.ale.restoreState(self._unsticky_state)
        self.ale.act(self.actions[last_action])
        if noise_seed is not None:
            self.ale.restoreState(ALEState(self._with_seed(ale_seed(noise_seed))))
        self.ale.restoreState(ALEState(state))

    def step(self, action: int) -> tuple[float, bool, bool]:
        """Do one action for ``frame_skip`` frames.

        :return: raw reward in points; terminated, whether the game is over; truncated, whether it was cut at
            ``max_frames``
        """
        return sum(self.frames(action)), self.game_over(), self.truncated()

    def frames(self, action: int) -> Iterator[float]:
        """As ``step``, but frame by frame: yields the raw reward of each frame."""
        for _ in range(self.draw_frame_skip()):
            yield self.frame(action)

    def draw_frame_skip(self) -> int:
        """The number of frames of the next action, drawn at random where the settings have a range."""
        skip = self.settings.frame_skip
        return skip if isinstance(skip, int) else int(self._random.integers(*skip))

    def frame(self, action: int) -> float:
        """Do one action for one frame.

        :return: raw reward in points
        """
        return float(self.ale.act(self.actions[action]))

    def game_over(self) -> bool:
        """Whether the game has ended by itself (terminated)."""
        return bool(self.ale.game_over(with_truncation=False))

    def truncated(self) -> bool:
        """Whether the game was cut at ``max_frames``."""
        if self.settings.whole_actions:
            return bool(self.ale.getEpisodeFrameNumber() >= self.settings.max_frames) and not self.game_over()
        return bool(self.ale.game_truncated())

    def lives(self) -> int:
        """Lives left."""
        return int(self.ale.lives())

    def ram(self, out: NDArray[np.uint8]) -> None:
        """Copy the 128 bytes of RAM into ``out``, uint8 (128,)."""
        self.ale.getRAM(out)

    def grey(self, out: NDArray[np.uint8]) -> None:
        """Copy the screen in ALE's shades of grey into ``out``, uint8 (210, 160)."""
        self.ale.getScreenGrayscale(out)

    def screen(self) -> NDArray[np.uint8]:
        """The screen in the game's own colours, uint8 (210, 160, 3) RGB."""
        return np.asarray(self.ale.getScreenRGB())

    def _action_set(self) -> list[ale_py.Action]:
        """The actions by their indices.

        :raises UserError: for a name that is none of the game's actions, or stands there twice
        """
        if not self.settings.actions:
            full = self.settings.full_action_space
            return list(self.ale.getLegalActionSet() if full else self.ale.getMinimalActionSet())
        known = {action.name: action for action in self.ale.getMinimalActionSet()}
        for alias, name in ALIASES.get(self.settings.game, {}).items():
            known[alias] = known[name]
        chosen = []
        for word in self.settings.actions:
            if word not in known:
                raise UserError(
                    f"'{word}' is no action of {self.settings.game} (it has: {', '.join(known)}){nearest(word, known)}"
                )
            if known[word] in chosen:
                raise UserError(f"the action '{word}' of {self.settings.game} stands there twice; leave one out")
            chosen.append(known[word])
        if chosen[0] != ale_py.Action.NOOP:
            raise UserError(f"the first action has to be NOOP, with which games begin, not {self.settings.actions[0]}")
        return chosen

    def _load(self, seed: int) -> None:
        self.ale.setInt("random_seed", seed)
        self.ale.loadROM(rom_path(self.settings.game))
        self.ale.reset_game()

    def _unsticky_seed(self) -> int:
        """A seed with which the first frame does not repeat the action before it.

        ALE makes its first random number from the generator's first two words.
        """
        for seed in itertools.count():
            words = np.random.RandomState(seed).randint(0, 2**32, 2, np.uint32)
            if words.min() >= 2**32 * self.settings.sticky:
                return seed
        raise AssertionError

    def _with_seed(self, seed: int) -> bytes:
        """The first state with a freshly seeded generator behind sticky actions."""
        assert self._generator is not None
        begin, end = self._generator
        words = np.random.RandomState(seed % 2**32).get_state(legacy=False)["state"]["key"]
        text = b" ".join(b"%d" % word for word in words.tolist()) + b" 624"
        state = bytearray(self._first_state[: begin - 4] + len(text).to_bytes(4, "little") + text)
        state += self._first_state[end:]
        outer = slice(_OUTER_LENGTH, _OUTER_LENGTH + 4)
        length = int.from_bytes(state[outer], "little") + len(text) - (end - begin)
        state[outer] = length.to_bytes(4, "little")
        return bytes(state)
