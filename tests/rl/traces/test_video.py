"""Videos: every frame, the game's own colours, and whole files or none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ale_py
import av
import gymnasium as gym
import numpy as np
import pytest

from common.errors import UserError
from common.traces import Trace, TracedEpisode, TraceHeader, read_header
from common.video import Mp4Writer
from common.video_names import game_name, video_file_name
from rl.traces.playback import game_settings, make_player, play
from rl.traces.video import render_episode
from tests.traced_games import GRAVITAR, SHORT, header, random_game

gym.register_envs(ale_py)

# The score as it stands in the picture, a pixel of the game each.
FIVE_HUNDRED = """\
######...####....####.
##......##..##..##..##
##......##..##..##..##
#####...##..##..##..##
....##..##..##..##..##
#...##..##..##..##..##
#####....####....####."""


def decode(path: Path) -> Iterator[np.ndarray]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def error_of(decoded: np.ndarray, picture: np.ndarray, scale: int) -> int:
    large = picture.repeat(scale, axis=0).repeat(scale, axis=1)
    assert decoded.shape == large.shape
    return int(np.abs(decoded.astype(int) - large).max())


@pytest.fixture(scope="module")
def short_video(tmp_path_factory: pytest.TempPathFactory) -> tuple[TracedEpisode, Path]:
    traced = random_game(11, SHORT)
    path = tmp_path_factory.mktemp("short") / "videos" / "game.mp4"
    rendered = render_episode(header(SHORT), traced, path)
    assert (rendered.frames, rendered.fps, rendered.score) == (401, 60, traced.score)
    return traced, path


def test_every_frame_has_the_colours_that_gymnasium_shows(short_video: tuple[TracedEpisode, Path]) -> None:
    traced, path = short_video
    # Frame skip 1 and each action four times: the same game, frame by frame, from gymnasium alone.
    env = gym.make("ALE/Gravitar-v5", frameskip=1, render_mode="rgb_array", max_num_frames_per_episode=400)
    env.reset(seed=traced.trace.seed)
    pictures = [np.asarray(env.render())]
    for action in traced.trace.actions.repeat(4):
        env.step(action)
        pictures.append(np.asarray(env.render()))
    count = 0
    for decoded, picture in zip(decode(path), pictures, strict=True):
        if count % 20 == 0 or count == 400:
            assert error_of(decoded, picture, 4) <= 8, count
        count += 1
    assert count == 1 + 4 * traced.length == 401
    # There are colours to get wrong.
    assert len({colour for picture in pictures[::20] for row in picture[::3] for colour in map(bytes, row)}) > 20


def test_the_file_says_how_to_show_it(short_video: tuple[TracedEpisode, Path]) -> None:
    path = short_video[1]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p") and stream.average_rate == 60
        # ITU-T H.273: 1 is BT.709 for primaries, transfer and matrix; FFmpeg's range 1 is limited.
        tags = (context.color_primaries, context.color_trc, context.colorspace, context.color_range)
        assert [int(tag) for tag in tags] == [1, 1, 1, 1]
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # the index comes first
    assert path.stat().st_mode & 0o777 == 0o644
    assert [other.name for other in path.parent.iterdir()] == [path.name]


def test_a_game_that_ends_inside_an_action_and_its_last_picture(tmp_path: Path) -> None:
    traced = random_game(22, GRAVITAR)
    player = make_player(header())
    result = play(player, traced)
    assert (result.score, result.length, result.terminated, result.truncated) == (500, 616, True, False)
    emulated = player.game.ale.getEpisodeFrameNumber()  # type: ignore[attr-defined]
    assert emulated == 4 * 616 - 1  # it ends inside its last action

    path = tmp_path / "game.mp4"
    tail: deque[np.ndarray] = deque(maxlen=3)
    assert render_episode(header(), traced, path, scale=2, show=tail.append).frames == 1 + 4 * 616
    assert (tail[0] != tail[1]).any()
    np.testing.assert_array_equal(tail[1], tail[2])  # the emulator repeats its last screen
    with av.open(str(path)) as container:
        *_, frame = container.decode(video=0)
        last = frame.to_ndarray(format="rgb24")
    assert error_of(last, tail[2], 2) <= 8
    rows = (last[11:25:2, 161:205:2].max(axis=2) > 30).tolist()  # one of the four copies of each pixel
    assert "\n".join("".join("#" if lit else "." for lit in row) for row in rows) == FIVE_HUNDRED


def test_a_score_or_length_that_differs_leaves_no_file(tmp_path: Path) -> None:
    traced = random_game(11, SHORT)
    for wrong in (replace(traced, score=traced.score + 250), replace(traced, length=99)):
        with pytest.raises(UserError) as caught:
            render_episode(header(SHORT), wrong, tmp_path / "game.mp4", scale=2)
        assert caught.value.status == 1
        assert f"replays to {traced.score:g} points in 100 steps" in str(caught.value)
        assert f"{wrong.score:g} points in {wrong.length}:" in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("skip, frames", [(1, 401), ((2, 5), 401), (3, 1 + 3 * 134)])
def test_other_frame_skips(skip: Any, frames: int, tmp_path: Path) -> None:
    # Whole actions only: 134 actions of three frames are needed for 400.
    settings = replace(SHORT, frame_skip=skip)
    traced = random_game(3, settings)
    written = render_episode(header(settings), traced, tmp_path / "game.mp4", scale=2).frames
    assert frames <= written <= frames + (2 if skip == (2, 5) else 0)
    (tmp_path / "episodes.jsonl").write_text(header(settings).line())
    read = game_settings(read_header(tmp_path / "episodes.jsonl"))
    assert read is not None and written == pytest.approx(1 + traced.length * read.mean_skip, abs=30)


def test_actions_of_another_game_are_refused() -> None:
    pong = TraceHeader("ALE/Pong-v5", game={"game": "pong", "frame_skip": 4, "sticky": 0.25})
    with pytest.raises(UserError, match=r"episode 0 cannot be played: its actions are not those of pong, .* 0 to 5"):
        play(make_player(pong), random_game(11, SHORT))
    with pytest.raises(UserError, match="unknown emulator settings"):
        make_player(TraceHeader("ALE/Pong-v5", game={"game": "pong", "colour": 1}))
    with pytest.raises(UserError, match="did you mean 'pong'"):
        make_player(TraceHeader("ALE/Pong-v5", game={"game": "pnog"}))


def picture_of(value: int, height: int = 10, width: int = 6) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_a_file_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "game.mp4"
    with pytest.raises(RuntimeError, match="the emulator broke"), Mp4Writer(path) as video:
        video.add(picture_of(0))
        raise RuntimeError("the emulator broke")
    with pytest.raises(UserError, match="no pictures"), Mp4Writer(path):
        pass
    with pytest.raises(UserError, match="is of size"), Mp4Writer(path) as video:
        video.add(picture_of(0))
        video.add(picture_of(0, height=12))
    for scale in (0, 1, 3):
        with pytest.raises(UserError, match="even number"):
            Mp4Writer(path, scale=scale)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write") as caught, Mp4Writer(tmp_path / "file" / "game.mp4"):
        pass
    assert caught.value.status == 1
    with Mp4Writer(path, fps=30) as video:
        video.add(picture_of(9))
        video.add(picture_of(200))
    assert video.frames == 2
    assert [round(picture.mean()) for picture in decode(tmp_path / "game.mp4")] == [9, 200]


def test_a_killed_process_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    endless = (
        "import sys, numpy as np; from pathlib import Path; from common.video import Mp4Writer\n"
        "with Mp4Writer(Path(sys.argv[1])) as video:\n"
        "    while True:\n"
        "        video.add(np.zeros((210, 160, 3), np.uint8))\n"
        "        print(video.frames, flush=True)\n"
    )
    path = tmp_path / "game.mp4"
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", endless, str(path)], stdout=subprocess.PIPE, text=True, cwd=root
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) > 100:
                break
        os.kill(process.pid, signal.SIGKILL)
    assert not path.exists()
    assert all(other.name.startswith(".game.mp4-") for other in tmp_path.iterdir())


class Lamp(gym.Env[np.ndarray, np.int64]):
    """Ten steps of a lamp whose brightness grows by the action; the reward is half the action."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012  (gymnasium's interface)
    observation_space = gym.spaces.Box(0, 255, (1,), np.float32)
    action_space = gym.spaces.Discrete(10)

    def __init__(self, render_mode: str | None = None, dim: int = 0) -> None:
        self.render_mode = render_mode
        self.dim = dim

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.level, self.steps = 50 - self.dim, 0
        return np.array([self.level], np.float32), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.level += int(action)
        self.steps += 1
        return np.array([self.level], np.float32), action / 2, self.steps == 10, False, {}

    def render(self) -> np.ndarray:
        return picture_of(self.level, 31, 21)


gym.register("TracedLamp-v3", Lamp)  # type: ignore[arg-type]  # EnvCreator takes **kwargs alone


def test_an_environment_that_is_not_atari(tmp_path: Path) -> None:
    actions = np.array([9, 0, 9, 0, 9, 0, 9, 0, 9, 0], np.uint8)
    traced = TracedEpisode(7, 22.5, 10, Trace(5, np.zeros(0, np.uint8), actions))
    lamp = TraceHeader("TracedLamp-v3", {"dim": 10})
    rendered = render_episode(lamp, traced, tmp_path / "lamp.mp4")
    assert (rendered.frames, rendered.fps, rendered.score) == (11, 20, 22.5)
    levels = [40, 49, 49, 58, 58, 67, 67, 76, 76, 85, 85]
    for decoded, level in zip(decode(tmp_path / "lamp.mp4"), levels, strict=True):
        assert error_of(decoded, picture_of(level, 31, 21), 2) <= 3
    assert game_name(lamp) == "tracedlamp"


def test_continuous_and_unknown_environments() -> None:
    swing_up = TraceHeader("Pendulum-v1")
    env = gym.make("Pendulum-v1")
    env.reset(seed=4)
    actions = np.random.default_rng(1).uniform(-2, 2, (200, 1)).astype(np.float32)
    score = sum(float(env.step(action)[1]) for action in actions)
    traced = TracedEpisode(0, score, 200, Trace(4, np.zeros(0, np.uint8), actions))
    result = play(make_player(swing_up), traced)
    assert result.score == pytest.approx(score) and (result.length, result.truncated) == (200, True)
    with pytest.raises(UserError, match="Box"):
        play(make_player(swing_up), random_game(11, SHORT))
    with pytest.raises(UserError, match="cannot make the environment Pendulun-v1"):
        make_player(TraceHeader("Pendulun-v1"))


@pytest.mark.parametrize(
    "score, kind, name",
    [
        (85.0, "video", "gravitar-video-episode-1210-score-85.mp4"),
        (50, "outtake", "gravitar-outtake-episode-1210-score-50.mp4"),
        (-91.8401, "video", "gravitar-video-episode-1210-score--91.84.mp4"),
        (float("nan"), "video", "gravitar-video-episode-1210-score-nan.mp4"),
    ],
)
def test_file_names(score: float, kind: str, name: str) -> None:
    assert video_file_name(game_name(header()), 1210, score, kind) == name
