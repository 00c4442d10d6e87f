"""Submissions made up for the tests: small but real PDFs, videos, notebooks, and logs laid out as real ones are."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from numpy.typing import NDArray

from callbacks.marking_log import MARKING_LINE
from common.video import Mp4Writer
from submission.edition import AGENT_LINE, MARKING_PRINT

PAPER, CODE, AGENT_CODE = "pegasus-paper.pdf", "pegasus-code.ipynb", "gravitar-code.ipynb"
LOG = "gravitar-log.txt"


@cache
def pdf(pages: int = 2, references: bool = True) -> bytes:
    """A PDF with text on each page, and after them a page with nothing but references."""
    written = io.BytesIO()
    texts = [f"Page {number + 1}. " + "Horses and birds are composed. " * 3 for number in range(pages)]
    with PdfPages(written) as document:
        for text in [*texts, *(["References"] if references else [])]:
            figure = Figure(figsize=(4, 5))
            figure.text(0.1, 0.9, text, wrap=True)
            if text == "References":
                figure.text(0.1, 0.8, "[1] J. Ho, A. Jain, P. Abbeel. 2020.")
            document.savefig(figure)
    return written.getvalue()


@cache
def mp4(frames: int = 90) -> bytes:
    """A video of 60 frames a second, 320x420 pixels."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        with Mp4Writer(path, scale=2) as video:
            for number in range(frames):
                video.add(np.full((210, 160, 3), number % 256, np.uint8))
        return path.read_bytes()


def notebook(*cells: str) -> bytes:
    """A notebook of code cells."""
    made = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": [cell]} for cell in cells]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def gravitar_scores(count: int, seed: int = 0, rise: float = 0.2) -> NDArray[np.float64]:
    """Scores as Gravitar's: multiples of 50, a quarter of them 0, rising."""
    rng = np.random.default_rng(seed)
    mean = 200 + rise * np.arange(count)
    return np.where(rng.random(count) < 0.25, 0.0, 50 * np.round(rng.gamma(1.3, mean) / 50))


def gravitar_log(scores: Sequence[float] | NDArray[np.float64], every: int = 10) -> str:
    """A marking log with every tenth score, in the starter code's layout."""
    lines, window = [], []
    for episode, score in enumerate(scores):
        window.append(score)
        if episode % 100 == 0:
            lines.append(MARKING_LINE.format(episode, score, np.mean(window), np.std(window)))
            window = []
        if every and episode % every == 0:
            lines.append(f"episode: {episode}, score: {score:.1f}, epsilon: 0.50")
    return "\n".join(lines) + "\n"


def walker_rewards(count: int, seed: int = 0) -> list[float]:
    """Rewards as BipedalWalker's: about -100 at first, 300 at last."""
    rng = np.random.default_rng(seed)
    means = -100 + 400 / (1 + np.exp(-(np.arange(count) - count / 2) / 60))
    return [float(reward) for reward in means + rng.normal(0, 12, count)]


def walker_log(rewards: Sequence[float]) -> str:
    """An agent log."""
    return "".join(AGENT_LINE.format(number, reward) + "\n" for number, reward in enumerate(rewards, 1))


def gravitar_files(scores: NDArray[np.float64] | None = None) -> dict[str, bytes]:
    """A submission of 2020 without a fault: names and contents."""
    scores = gravitar_scores(501) if scores is None else scores
    best = int(np.argmax(scores[::10])) * 10
    return {
        PAPER: pdf(),
        CODE: notebook("# Credits: Ho et al. 2020, arXiv 2006.11239\nimport torch"),
        AGENT_CODE: notebook("# Credits: Schulman et al. 2017, arXiv 1707.06347", f"print('{MARKING_PRINT}')"),
        f"gravitar-video-episode-{best}-score-{scores[best]:.0f}.mp4": mp4(),
        LOG: gravitar_log(scores).encode(),
    }


def walker_files(rewards: Sequence[float] | None = None) -> dict[str, bytes]:
    """A submission of 2021 without a fault: names and contents."""
    rewards = walker_rewards(600) if rewards is None else rewards
    best = int(np.argmax(rewards))
    return {
        "part1-model-paper.pdf": pdf(),
        "part1-model-code.ipynb": notebook("# Credits: https://arxiv.org/abs/2006.11239"),
        "part2-agent-paper.pdf": pdf(3),
        "part2-agent-code.py": b"# based on TD3, Fujimoto et al. 2018\nmax_timesteps = 2000\n",
        f"part2-agent-video,episode={best + 1},score={round(rewards[best])}.mp4": mp4(),
        "part2-agent-log.txt": walker_log(rewards).encode(),
    }


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    """A zip of these files, deflated."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path
