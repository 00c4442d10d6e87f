"""Videos of every 25th game and of each new best, rendered from the traces in a process of its own.

    header = trace_header(environment_settings)
    model.learn(1_000_000, callback=[
        EpisodeTraceCallback("traces/episodes.jsonl", header),  # before the videos
        EpisodeVideoCallback("traces/episodes.jsonl", "videos", "rl.traces.render_worker"),
    ])

The training never waits for a video: no frame is rendered in its process, and the renderer takes only the processor
time that the training leaves. Where that is too little, the missing videos are listed at the end; ``replay`` makes any
of them.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from callbacks.episodes import EpisodeCallback
from callbacks.render_process import Answer, RenderProcess
from common.traces import read_header
from common.video_names import first_episode, game_name, video_file_name

SHOWN_EPISODES = 20


@dataclass(frozen=True)
class VideoJob:
    """A game to be rendered.

    :param score: points
    :param regular: whether its number is a multiple of the interval between videos
    :param best: whether it was a new best
    :param step: agent steps of the training when the game finished
    """

    episode: int
    score: float
    regular: bool
    best: bool
    step: int = 0


class RenderQueue:
    """Games that wait to be rendered.

    The newest best comes first, then the newest regular game, and last the bests that have been beaten since. Where
    rendering is slower than the training, the videos are therefore of recent games, and old games are left out.
    """

    def __init__(self) -> None:
        self.waiting: list[VideoJob] = []
        self._newest_best = -1

    def add(self, job: VideoJob) -> None:
        """Add a game."""
        self.waiting.append(job)
        if job.best:
            self._newest_best = max(self._newest_best, job.episode)

    def take(self) -> VideoJob | None:
        """Remove and return the game to render next; None when the queue is empty."""
        if not self.waiting:
            return None
        job = max(self.waiting, key=lambda job: (job.episode == self._newest_best, job.regular, job.episode))
        self.waiting.remove(job)
        return job


class EpisodeVideoCallback(EpisodeCallback):
    """Renders videos beside the training. Goes after ``EpisodeTraceCallback``, whose file it reads.

    Starting the training without the trace file raises ``UserError``.

    :param trace_path: the trace file
    :param video_folder: folder for the videos, such as ``gravitar-video-episode-1210-score-85.mp4``
    :param renderer: full name of the module that renders in a process of its own, see ``RenderProcess``; its jobs hold
        ``trace``, ``episode`` and ``output``, perhaps ``tensorboard`` and ``step``
    :param every: games between regular videos; 0 for none
    :param best: whether each new best gets a video
    :param name: the game's name in the names of the files; by default the one in the trace file's header
    :param tensorboard: TensorBoard folder that gets small animations, or None
    :param wait: seconds to wait at the end of the training for the remaining videos
    :param replay: the command that makes the missing video of episode ``N``, with which it ends, for the message at
        the end
    :raises ValueError: for a negative ``every``
    """

    def __init__(
        self,
        trace_path: Path | str,
        video_folder: Path | str,
        renderer: str,
        every: int = 25,
        best: bool = True,
        name: str | None = None,
        tensorboard: Path | str | None = None,
        wait: float = 60.0,
        replay: str = "run_gravitar.py replay RUN --episode N",
    ) -> None:
        super().__init__()
        if every < 0:
            raise ValueError(f"every must be 0 or more, not {every}")
        self.trace_path = Path(trace_path).absolute()
        self.video_folder = Path(video_folder).absolute()
        self.renderer = renderer
        self.every = every
        self.best = best
        self.name = name
        self.tensorboard = None if tensorboard is None else Path(tensorboard).absolute()
        self.wait = wait
        self.replay = replay
        self.best_score = float("-inf")
        self.rendered: list[int] = []  # episodes that have a video, in the order of rendering
        self.failed: list[int] = []  # episodes that could not be rendered
        self.queue = RenderQueue()
        self._process = RenderProcess(renderer)
        self._job: VideoJob | None = None  # being rendered
        self._warned = False

    def _on_training_start(self) -> None:
        # Raises for a missing trace file now, not hours later.
        self._game = game_name(read_header(self.trace_path))

    def state(self) -> dict[str, Any]:
        """Also the best score and the queue."""
        waiting = [*self.queue.waiting, *([self._job] if self._job else [])]
        return {**super().state(), "best_score": self.best_score, "waiting": [asdict(job) for job in waiting]}

    def load_state(self, state: dict[str, Any]) -> None:
        """Also the best score and the queue."""
        super().load_state(state)
        self.best_score = float(state["best_score"])
        for job in state["waiting"]:
            self.queue.add(VideoJob(**job))

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Queue the game if it gets a video."""
        regular = self.every > 0 and episode % self.every == 0
        best = self.best and score > self.best_score
        self.best_score = max(self.best_score, score)
        if regular or best:
            self.queue.add(VideoJob(episode, score, regular, best, self.num_timesteps))
        return True

    def _on_step(self) -> bool:
        go_on = super()._on_step()
        self._advance()
        return go_on

    def _on_training_end(self) -> None:
        deadline = time.monotonic() + self.wait
        self._hurry()
        while self._job is not None and time.monotonic() < deadline:
            self._advance(timeout=min(1.0, deadline - time.monotonic()))
        self._report()
        self.close()

    def _hurry(self) -> None:
        """Render the remaining games at normal priority, now that the training is over."""
        self._advance()
        if self._job is not None:
            self._process.close()
            self.queue.add(self._job)
            self._job = None
            self._process = RenderProcess(self.renderer, hurry=True)
            self._advance()

    def close(self) -> None:
        """End the renderer and empty the queue."""
        self._process.close()
        self._job = None
        self.queue.waiting.clear()
        self.failed.clear()

    def _advance(self, timeout: float = 0.0) -> None:
        """Take the renderer's answer if there is one, and send it the next game."""
        answer = self._process.answer(timeout)
        if answer is not None and self._job is not None:
            self._note(answer, self._job)
            self._job = None
        if self._job is None and (job := self.queue.take()) is not None:
            self._job = job
            name = video_file_name(self.name or self._game, job.episode, job.score)
            content: dict[str, Any] = {"trace": str(self.trace_path), "episode": job.episode}
            content["output"] = str(self.video_folder / name)
            if self.tensorboard is not None:
                content |= {"tensorboard": str(self.tensorboard), "step": job.step}
            self._process.send(content)

    def _note(self, answer: Answer, job: VideoJob) -> None:
        if answer.error is None:
            self.rendered.append(job.episode)
            return
        self.failed.append(job.episode)
        if not self._warned:
            self._warned = True
            self._print(f"warning: no video of episode {job.episode} ({answer.error}); the training goes on")

    def _report(self) -> None:
        missing_videos = [*self.failed, *(job.episode for job in [self._job, *self.queue.waiting] if job)]
        left = sorted(episode + first_episode(self.name or self._game) for episode in missing_videos)
        if self.rendered:
            self._print(f"{len(self.rendered)} video{'s' * (len(self.rendered) > 1)} in {self.video_folder}")
        if left:
            shown = ", ".join(str(episode) for episode in left[:SHOWN_EPISODES])
            more = f" and {len(left) - SHOWN_EPISODES} more" if len(left) > SHOWN_EPISODES else ""
            missing = (
                f"{len(left)} videos are missing (episodes {shown}{more})"
                if len(left) > 1
                else (f"1 video is missing (episode {shown})")
            )
            self._print(f"{missing}; make {'one' if left[1:] else 'it'} with: {self.replay.removesuffix('N')}{left[0]}")

    @staticmethod
    def _print(text: str) -> None:
        print(text, file=sys.stderr, flush=True)
