"""Names of video files, the same in training and in ``replay``, and the numbers of episodes in them."""

from __future__ import annotations

import math

from common.traces import TraceHeader

# Games whose videos are named as the 2021 assignment says; it counts episodes from 1, as its log does.
WALKERS = {"bipedalwalker": "", "bipedalwalkerhardcore": "-hardcore"}


def game_name(header: TraceHeader) -> str:
    """The game's name in lower case: ``gravitar``, ``ms_pacman``, ``bipedalwalker``."""
    if header.game is not None:
        return str(header.game.get("game", "game"))
    name = header.env_id.split("/")[-1].split("-v")[0].lower()
    return f"{name}hardcore" if name in WALKERS and header.env_kwargs.get("hardcore") else name


def first_episode(game: str) -> int:
    """The number that a user gives the first episode: 1 for the walkers, else 0, as in traces."""
    return int(game in WALKERS)


def video_file_name(game: str, episode: int, score: float, kind: str = "video") -> str:
    """The name of a video, such as ``gravitar-video-episode-1210-score-85.mp4``.

    For the walkers it is that of the 2021 assignment, ``part2-agent-video,episode=225,score=-70.mp4``.

    :param game: the game's name in lower case
    :param episode: its number in the trace, from 0
    :param score: points; written as an integer if it is one, otherwise with two decimals; rounded for the walkers
    :param kind: ``video`` or ``outtake``
    """
    if game in WALKERS:
        return f"part2-agent-{kind}{WALKERS[game]},episode={episode + first_episode(game)},score={round(score)}.mp4"
    whole = math.isfinite(score) and score == int(score)
    return f"{game}-{kind}-episode-{episode}-score-{int(score) if whole else format(score, '.2f')}.mp4"
