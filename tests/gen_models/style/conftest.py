"""A small classifier with random weights, a clip of a moving square, and a style picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from common.video import Mp4Writer
from gen_models.classifiers.classifier import Classifier, ClassifierSettings

SIDE = 32
FRAMES = 4


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return Classifier(ClassifierSettings(("horse", "bird"), widths=(4, 6, 8)))


@pytest.fixture(scope="session")
def frames() -> NDArray[np.uint8]:
    """A square that moves by two pixels a frame, uint8 (T, S, S, 3)."""
    rng = np.random.default_rng(0)
    ground = np.kron(rng.uniform(30, 120, (8, 8, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    square = rng.integers(140, 250, (12, 12, 3), dtype=np.uint8)
    clip = np.stack([ground] * FRAMES)
    for index in range(FRAMES):
        clip[index, 10:22, 4 + 2 * index : 16 + 2 * index] = square
    return clip


@pytest.fixture(scope="session")
def style() -> NDArray[np.uint8]:
    """Stripes, uint8 (S, S, 3)."""
    stripes = np.zeros((SIDE, SIDE, 3), np.uint8)
    stripes[::4], stripes[1::4] = (250, 200, 20), (20, 60, 200)
    return stripes


@pytest.fixture(scope="session")
def place(
    tmp_path_factory: pytest.TempPathFactory,
    classifier: Classifier,
    frames: NDArray[np.uint8],
    style: NDArray[np.uint8],
) -> Path:
    """A folder with the clip, the picture and the classifier as files."""
    folder = tmp_path_factory.mktemp("style")
    with Mp4Writer(folder / "clip.mp4", fps=10, scale=2, crf=4) as video:
        for picture in frames:
            video.add(picture)
    Image.fromarray(style).save(folder / "stripes.png")
    classifier.save(folder / "features")
    return folder
