"""Names of video files, the same in training and in ``replay``."""

from __future__ import annotations

import math

from common.traces import TraceHeader


def game_name(header: TraceHeader) -> str:
    """The game's name in lower case: ``gravitar``, ``ms_pacman``, ``bipedalwalker``."""
    if header.game is not None:
        return str(header.game.get("game", "game"))
    return header.env_id.split("/")[-1].split("-v")[0].lower()


def video_file_name(game: str, episode: int, score: float, kind: str = "video") -> str:
    """The name of a video, such as ``gravitar-video-episode-1210-score-85.mp4``.

    :param game: the game's name in lower case
    :param score: points; written as an integer if it is one, otherwise with two decimals
    :param kind: ``video`` or ``outtake``
    """
    whole = math.isfinite(score) and score == int(score)
    return f"{game}-{kind}-episode-{episode}-score-{int(score) if whole else format(score, '.2f')}.mp4"
