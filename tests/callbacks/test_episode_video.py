"""Videos beside a training: which games, in which order, and what happens when the renderer or the training dies."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from stable_baselines3 import PPO
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks.episode_trace import EpisodeTraceCallback
from callbacks.episode_video import EpisodeVideoCallback, RenderQueue, VideoJob
from callbacks.render_process import RenderProcess
from common.errors import UserError
from common.traces import read_episodes
from rl.envs.atari_env import AtariVecEnv
from rl.envs.protocols import PROTOCOLS
from rl.traces.verification import verify
from rl.train import RENDERER
from tests.traced_games import SHORT, header, random_game, write_run

ROOT = Path(__file__).resolve().parents[2]
# Games of 100 steps.
PROTOCOL = replace(PROTOCOLS["ram"], max_frames=400)


@pytest.fixture
def model() -> Iterator[PPO]:
    env = AtariVecEnv("gravitar", 2, "ram", PROTOCOL, seed=5, workers=1)
    small: dict[str, Any] = {"n_steps": 50, "batch_size": 50, "n_epochs": 1, "policy_kwargs": {"net_arch": [8]}}
    yield PPO("MlpPolicy", env, seed=5, device="cpu", **small)
    env.close()


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A trace file of two short games."""
    games = [random_game(seed, SHORT, number) for number, seed in enumerate((11, 12))]
    return write_run(tmp_path / "run", header(SHORT), games) / "traces" / "episodes.jsonl"


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and whose parent has not asked is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def job(episode: int, kind: str) -> VideoJob:
    return VideoJob(episode, 0.0, regular="r" in kind, best="b" in kind)


def test_the_order_of_rendering() -> None:
    queue = RenderQueue()
    tape = []
    for episode, kind in ((0, "rb"), (3, "b"), (7, "b"), (25, "r"), (31, "b"), (50, "r")):
        queue.add(job(episode, kind))
    tape += [queue.take(), queue.take()]
    queue.add(job(60, "b"))
    queue.add(job(75, "r"))
    while queue.waiting:
        tape.append(queue.take())
    # The newest best, the newest regular game, then the new best; regular ones; bests that were beaten, newest first.
    assert [taken.episode for taken in tape if taken] == [31, 50, 60, 75, 25, 0, 7, 3]
    assert queue.take() is None


def test_a_training_leaves_videos_of_every_tenth_game_and_each_best(
    model: PPO, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "traces" / "episodes.jsonl"
    videos = EpisodeVideoCallback(trace, tmp_path / "videos", RENDERER, every=10, tensorboard=tmp_path / "tb", wait=120)
    model.learn(2_400, callback=[EpisodeTraceCallback(trace, header(SHORT)), videos])

    games = list(read_episodes(trace))
    assert [game.length for game in games] == [100] * 24
    bests = [game.episode for game in games if game.score > max((g.score for g in games[: game.episode]), default=-1)]
    expected = sorted({0, 10, 20, *bests})
    names = [f"gravitar-video-episode-{number}-score-{games[number].score:.0f}.mp4" for number in expected]
    assert sorted(path.name for path in (tmp_path / "videos").iterdir()) == sorted(names)
    assert sorted(videos.rendered) == expected
    for name in names:
        with av.open(str(tmp_path / "videos" / name)) as container:
            assert sum(1 for _ in container.demux(video=0)) - 1 == 401  # the last packet is empty
    assert capsys.readouterr().err == f"{len(expected)} videos in {tmp_path / 'videos'}\n"
    assert verify(tmp_path).differences == []

    events = EventAccumulator(str(tmp_path / "tb"), size_guidance={"images": 0}).Reload()
    images = events.Images("games/video")
    assert sorted(image.step for image in images) == [200 * (number // 2 + 1) for number in expected]
    animation = Image.open(io.BytesIO(images[0].encoded_image_string))
    assert (animation.format, animation.size) == ("GIF", (160, 210))
    assert isinstance(animation, GifImageFile)
    assert animation.n_frames > 10 and len(images[0].encoded_image_string) < 1_000_000


def test_missing_videos_are_named_with_the_command_that_makes_them(
    model: PPO, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "episodes.jsonl"
    videos = EpisodeVideoCallback(trace, tmp_path / "videos", RENDERER, 2, False, wait=0, replay="replay x --episode N")
    model.learn(1_200, callback=[EpisodeTraceCallback(trace, header(SHORT)), videos])
    done = set(videos.rendered)
    missing = ", ".join(str(number) for number in range(0, 12, 2) if number not in done)
    first = missing.partition(",")[0]
    line = rf"{6 - len(done)} videos are missing \(episodes {missing}\); make one with: replay x --episode {first}\n"
    assert re.search(line, capsys.readouterr().err)
    finished = [path for path in (tmp_path / "videos").glob("*") if not path.name.startswith(".")]
    assert len(finished) == len(done)


def test_training_without_traces_is_refused_at_its_start(model: PPO, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the trace"):
        model.learn(100, callback=EpisodeVideoCallback(tmp_path / "absent.jsonl", tmp_path / "videos", RENDERER))
    with pytest.raises(ValueError, match="-1"):
        EpisodeVideoCallback(tmp_path / "absent.jsonl", tmp_path / "videos", RENDERER, every=-1)


def test_a_training_goes_on_when_a_video_cannot_be_made(
    model: PPO, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "videos").touch()  # a file where the folder should be
    trace = tmp_path / "episodes.jsonl"
    videos = EpisodeVideoCallback(trace, tmp_path / "videos", RENDERER, every=3, best=False)
    model.learn(1_200, callback=[EpisodeTraceCallback(trace, header(SHORT)), videos])
    assert model.num_timesteps == 1_200 and videos.n_episodes == 12
    warning, missing = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"warning: no video of episode [0369] \(cannot write .*\); the training goes on", warning)
    assert missing.startswith("4 videos are missing (episodes 0, 3, 6, 9)")


def test_a_renderer_that_dies_is_started_again(trace: Path, tmp_path: Path) -> None:
    renderer = RenderProcess(RENDERER)
    content = {"trace": str(trace), "episode": 0, "output": str(tmp_path / "videos" / "0.mp4")}
    renderer.send(content)
    assert (renderer.busy, renderer.answer()) == (True, None)
    assert renderer._process is not None
    os.kill(renderer._process.pid, signal.SIGKILL)
    answer = renderer.answer(timeout=60)
    assert answer is not None and answer.error == "the renderer ended with status -9"
    renderer.send(content | {"episode": 1})
    answer = renderer.answer(timeout=60)
    assert answer is not None and answer.error is None and not renderer.busy
    assert [path.name for path in (tmp_path / "videos").glob("[!.]*")] == ["0.mp4"]

    process = renderer._process
    assert process is not None
    if hasattr(os, "SCHED_IDLE"):
        assert os.sched_getscheduler(process.pid) == os.SCHED_IDLE
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 19
    os.kill(process.pid, signal.SIGKILL)  # this time between two jobs
    process.wait()
    renderer.send(content)
    answer = renderer.answer(timeout=60)
    assert answer is not None and answer.error is None
    last = renderer._process
    assert last is not None
    renderer.close()
    assert last.poll() == 0


def test_closing_ends_the_video_in_hand_and_removes_what_there_is_of_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", header(), [random_game(2)])
    renderer = RenderProcess(RENDERER)
    trace, video = run / "traces" / "episodes.jsonl", tmp_path / "v" / "0.mp4"
    renderer.send({"trace": str(trace), "episode": 0, "output": str(video)})
    process = renderer._process
    assert process is not None
    while not list(tmp_path.glob("v/.0.mp4-*")):
        assert process.poll() is None
        time.sleep(0.01)
    renderer.close()
    assert process.poll() == 128 + signal.SIGTERM
    assert not list((tmp_path / "v").iterdir())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the state of processes from /proc")
def test_the_renderer_ends_when_the_training_is_killed(trace: Path, tmp_path: Path) -> None:
    script = (
        "import sys, time; from callbacks.render_process import RenderProcess; renderer = RenderProcess(sys.argv[3])\n"
        "renderer.send({'trace': sys.argv[1], 'episode': 0, 'output': sys.argv[2]})\n"
        "print(renderer._process.pid, flush=True); time.sleep(600)\n"
    )
    arguments = [sys.executable, "-c", script, str(trace), str(tmp_path / "0.mp4"), RENDERER]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=ROOT) as training:
        assert training.stdout is not None
        renderer = int(training.stdout.readline())
        assert is_alive(renderer)
        training.kill()
    for _ in range(600):
        if not is_alive(renderer):
            break
        time.sleep(0.1)
    assert not is_alive(renderer)
    assert [path.name for path in tmp_path.glob("*.mp4")] == ["0.mp4"]  # the video in hand is finished


def test_the_worker_answers_every_line(trace: Path, tmp_path: Path) -> None:
    jobs = [
        "not JSON",
        json.dumps({"trace": str(trace), "episode": 9, "output": "9.mp4"}),
        json.dumps({"trace": str(tmp_path / "absent"), "episode": 0, "output": "absent.mp4"}),
        json.dumps({"trace": str(trace), "output": "1.mp4"}),
        json.dumps({"trace": str(trace), "episode": 1, "output": str(tmp_path / "1.mp4")}),
    ]
    command = [sys.executable, "-m", RENDERER]
    worker = subprocess.run(command, input="\n".join(jobs), capture_output=True, text=True, cwd=ROOT)
    assert worker.returncode == 0
    answers = [json.loads(line) for line in worker.stdout.splitlines()]
    output = str(tmp_path / "1.mp4")
    assert [answer["output"] for answer in answers] == [None, "9.mp4", "absent.mp4", "1.mp4", output]
    assert answers[0]["error"].startswith("JSONDecodeError")
    assert "has no episode 9: it has 0 to 1" in answers[1]["error"]
    assert "cannot read the trace" in answers[2]["error"]
    assert answers[3]["error"] == "KeyError: 'episode'"
    assert answers[4].pop("seconds") > 0
    assert answers[4] == {"output": output, "frames": 401, "error": None}
