"""The command ``pack``: a small copy of a run, with all that shows and plays it, to keep among results.

run_gravitar.py pack runs/gravitar/long results/gravitar/ppo-ram

The copy is a run folder itself: ``watch``, ``evaluate``, ``replay`` and ``inspect`` take it. It has the weights of one
checkpoint, in bfloat16 where they have more than 4 MB, of the traces those of the best, a typical and a bad game, and
of an Atari game the best one's best seconds as a GIF. Its logs are of all games, so ``replay --verify`` finds the
others missing; ``--sample 3`` checks those that are there. It cannot be resumed.

Credits: safetensors.
"""

from __future__ import annotations

import json
import shutil

import numpy as np

from callbacks.checkpoint import STATE, WEIGHTS
from common.checkpoints import choose_checkpoint, steps_of, write_checkpoint
from common.errors import UserError
from common.files import check_new_output, new_folder
from common.run_folder import RunFolder
from common.traces import TracedEpisode, TraceHeader, read_episodes, read_header
from common.video_names import first_episode, game_name
from common.weights import small_weights
from rl.options import PackSettings
from rl.registration import is_atari
from rl.settings import RunSettings
from rl.tasks import TASKS
from rl.traces.playback import Picture, make_player, play
from rl.traces.preview import Preview

COPIED = ("settings.yml", *(task.log_name for task in TASKS.values()), "monitor.csv", "learning-curve.png")
HIGHLIGHT = "highlight.gif"
HIGHLIGHT_SECONDS = 15
MOST_BYTES = 4_000_000  # of weights in full precision; rounded ones make a walker fall now and then
LAST_GAMES = 100  # of which a typical and a bad one are chosen


def pack(user: PackSettings) -> None:
    """Make the copy.

    :raises UserError: for a missing run or checkpoint, or an output that exists or cannot be written
    """
    run = RunFolder(user.run)
    settings = RunSettings.from_yaml(run.settings)
    checkpoint = choose_checkpoint(run.checkpoints, user.checkpoint)
    check_new_output(user.output)
    with new_folder(user.output) as folder:
        for name in COPIED:
            if (run.path / name).exists():
                shutil.copyfile(run.path / name, folder / name)
        if (run.path / "evaluations").exists():
            shutil.copytree(run.path / "evaluations", folder / "evaluations")
        packed = RunFolder(folder)
        packed.traces.parent.mkdir()
        header = read_header(run.traces)
        chosen = some_episodes(list(read_episodes(run.traces)))
        packed.traces.write_text(header.line() + "".join(one.line() for one in chosen))
        if is_atari(settings.environment.env_id):
            best = max(chosen, key=lambda one: one.score)
            (folder / HIGHLIGHT).write_bytes(highlight(header, best))
        state = {"timesteps": steps_of(checkpoint), "packed_from": checkpoint.name}
        weights = checkpoint / WEIGHTS
        whole = weights.stat().st_size <= MOST_BYTES
        kept = {weights.name: weights.read_bytes()} if whole else small_weights(weights)
        files = {**kept, STATE: json.dumps(state).encode()}
        name = f"step-{steps_of(checkpoint):09d}"
        packed.checkpoints.mkdir()
        write_checkpoint(packed.checkpoints, name, files)
    size = sum(path.stat().st_size for path in user.output.rglob("*") if path.is_file())
    first = first_episode(game_name(header))
    games = ", ".join(f"{one.episode + first} ({one.score:g})" for one in chosen)
    print(f"{user.output}: {size / 1e6:.1f} MB, games {games}")


def highlight(header: TraceHeader, traced: TracedEpisode) -> bytes:
    """The fifteen seconds of a game in which it made most points, at the game's own speed, as a GIF of at most 1 MB."""
    player = make_player(header)
    player.begin(traced.trace)
    rewards = [reward for action in traced.trace.actions for reward in player.frames(action)]
    length = round(HIGHLIGHT_SECONDS * player.fps)
    gains = np.convolve(rewards, np.ones(min(length, len(rewards))), "valid")
    windows = np.flatnonzero(gains == gains.max())
    first = int(windows[len(windows) // 2])  # of the equally good ones that in the middle, so that it begins before
    preview = Preview(player.fps, length)
    count = 0

    def show(picture: Picture) -> None:
        nonlocal count
        if first <= count < first + length:
            preview.add(picture)
        count += 1

    play(make_player(header, render=True), traced, show)
    return preview.gif()[0]


def some_episodes(episodes: list[TracedEpisode]) -> list[TracedEpisode]:
    """The best of all games, and of the last hundred the one of the median score and the one at a tenth from below.

    :return: at most three, in the order of their numbers
    :raises UserError: when there is none
    """
    if not episodes:
        raise UserError("no game has finished yet; train longer")
    last = sorted(episodes[-LAST_GAMES:], key=lambda one: (one.score, one.episode))
    chosen = [max(episodes, key=lambda one: one.score), last[len(last) // 2], last[len(last) // 10]]
    return sorted({one.episode: one for one in chosen}.values(), key=lambda one: one.episode)
