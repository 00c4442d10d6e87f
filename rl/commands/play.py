"""The command ``play``: a person plays, with the keyboard, and every game is recorded like an agent's.

run_gravitar.py play
run_gravitar.py replay runs/gravitar/played --best

Credits: M. Towers et al. 2024 (arXiv 2407.17032) for the meaning of a seed, gymnasium's ``play`` for the idea.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from common.errors import UserError, check_at_least
from common.run_folder import RunFolder, check_name
from common.traces import Trace, TracedEpisode, TraceHeader, read_episodes, read_header
from rl.envs.atari_game import AtariGame, episode_seed
from rl.envs.make_env import EnvironmentSettings, trace_header
from rl.envs.protocols import protocol
from rl.options import PlaySettings
from rl.registration import is_atari
from rl.traces.playback import AtariPlayer, game_settings
from rl.traces.screens import Closed, Window

KEYS = "arrows or WASD steer, space fires, Escape ends"


def play(user: PlaySettings) -> None:
    """Play games in a window until the window is closed, and append each that was finished to the traces.

    :raises UserError: for an environment that is not Atari's, a folder with traces of other rules, or no display
    """
    check_at_least(0, {"--seed": user.seed, "--sticky": user.sticky})
    if user.speed <= 0 or user.sticky > 1:
        raise UserError("--speed is above 0, and --sticky a probability from 0 to 1")
    if not is_atari(user.env):
        raise UserError(f"{user.env} is not an Atari game; play has keys for those alone")
    rules = dataclasses.replace(protocol("v5"), sticky=user.sticky)
    header = dataclasses.replace(
        trace_header(EnvironmentSettings(user.env, "ram", rules, (), {})), note="played by hand"
    )
    folder = RunFolder(user.runs / "gravitar" / check_name(user.name))
    number = _games_so_far(folder.traces, header)
    settings = game_settings(header)
    assert settings is not None
    game = AtariGame(settings)
    window = Window(f"{user.env}: {KEYS}.", AtariPlayer.fps * user.speed)
    print(f"{user.env}: {KEYS}")
    try:
        while True:
            traced = play_one_game(game, window, number, episode_seed(user.seed, 0, number))
            _append(folder.traces, header, traced)
            print(f"game {number}: {traced.score:g} points. To see it again: replay {folder.path} --episode {number}")
            number += 1
    except Closed:
        print("the game that was not finished is not kept")
    finally:
        window.close()


def play_one_game(game: AtariGame, window: Window, number: int, seed: int) -> TracedEpisode:
    """Play until the game is over.

    :param number: of the episode that is returned
    :raises Closed: when the window was closed before
    """
    indices = {str(action).rpartition(".")[2]: index for index, action in enumerate(game.actions)}
    game.reset(seed, load=True)
    window.show(game.screen())
    actions: list[int] = []
    score = 0.0
    while not (game.game_over() or game.truncated()):
        actions.append(indices[pressed(window, indices)])
        for reward in game.frames(actions[-1]):
            score += reward
            window.show(game.screen())
        window.caption(f"Game {number}: {score:g} points")
    trace = Trace(seed, np.zeros(0, np.uint8), np.array(actions, np.uint8))
    return TracedEpisode(number, score, len(actions), trace)


def pressed(window: Window, known: dict[str, int]) -> str:
    """ALE's name of the action for the keys that are held, such as ``UPRIGHTFIRE``.

    :param known: the game's actions; where it lacks one, parts of it are left out: first up or down, then left or right
    """
    vertical = "UP" * window.held("up", "w") or "DOWN" * window.held("down", "s")
    horizontal = "RIGHT" * window.held("right", "d") or "LEFT" * window.held("left", "a")
    fire = "FIRE" * window.held("space")
    wanted = (vertical + horizontal + fire, horizontal + fire, vertical + fire, fire, vertical + horizontal)
    return next((name for name in (*wanted, horizontal, vertical) if name in known), "NOOP")


def _games_so_far(traces: Path, header: TraceHeader) -> int:
    if not traces.exists():
        return 0
    if read_header(traces) != header:
        raise UserError(f"{traces} has games of other rules or versions; choose another --name")
    return sum(1 for _ in read_episodes(traces))


def _append(traces: Path, header: TraceHeader, traced: TracedEpisode) -> None:
    try:
        traces.parent.mkdir(parents=True, exist_ok=True)
        first = "" if traces.exists() else header.line()
        with traces.open("a") as file:
            file.write(first + traced.line())
    except OSError as error:
        raise UserError(f"cannot write {traces}: {error.strerror}", status=1) from error
