"""Videos of episodes as mp4, at the emulator's 60 frames per second.

Credits: the Arcade Learning Environment (ale-py), whose games are deterministic given seed and actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.traces import TracedEpisode, TraceHeader
from common.video import Mp4Writer
from rl.traces.playback import AtariPlayer, Picture, ReplayResult, make_player, play, same_score

ATARI_SCALE = 4
OTHER_SCALE = 2


@dataclass(frozen=True)
class RenderedVideo:
    """A finished video.

    :param frames: number of frames
    :param fps: frames per second
    :param score: score of the replay, points
    """

    path: Path
    frames: int
    fps: float
    score: float


def render_episode(
    header: TraceHeader,
    traced: TracedEpisode,
    path: Path,
    scale: int | None = None,
    show: Callable[[Picture], None] | None = None,
) -> RenderedVideo:
    """Replay an episode and write every frame of it to an mp4.

    The video has the screen on which the first action was chosen, then ``frame_skip`` frames for each action:
    1 + 4 L for a game of L steps. If the game ends during the last action, the emulator repeats its last screen for the
    action's remaining frames (at most three).

    :param path: the mp4
    :param scale: even; by default 4 for Atari (640x840 pixels) and 2 for other environments
    :param show: called with every frame as well
    :raises UserError: when score or length differ from the trace (status 1); then no file is left
    """
    player = make_player(header, render=True)
    usual = ATARI_SCALE if isinstance(player, AtariPlayer) else OTHER_SCALE

    with Mp4Writer(path, player.fps, scale or usual, title=header.note) as video:

        def add(picture: Picture) -> None:
            video.add(picture)
            if show:
                show(picture)

        result = play(player, traced, add)
        refuse_difference(traced, result)
    return RenderedVideo(path, video.frames, player.fps, result.score)


def refuse_difference(traced: TracedEpisode, result: ReplayResult) -> None:
    """Compare a replay with its trace.

    :raises UserError: when score or length differ (status 1); the message has both
    """
    if not same_score(result.score, traced.score) or result.length != traced.length:
        raise UserError(
            f"episode {traced.episode} replays to {result.score:g} points in {result.length} steps, its "
            f"trace says {traced.score:g} points in {traced.length}: no video; --verify checks every game",
            status=1,
        )
