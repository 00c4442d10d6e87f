"""The options of ``run_pegasus.py label``.

Credits: CleanRL (Huang et al. 2022, JMLR 23) for one dataclass whose field texts are the command line's help.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.options import Command
from gen_models.options import DOWNLOADS


@dataclass(frozen=True)
class LabelSettings(Command):
    """Label images by hand on a page in the browser, with the keyboard; a classifier that learns from the labels
    chooses which images come next."""

    attribute: str
    """What is labelled, yes or no: spread, or a word of your own."""
    data: str = "cifar10"
    """Images: cifar10, stl10, folder:PATH, ffhq:PATH, lsun:PATH, npz:PATH, sprites."""
    classes: tuple[str, ...] | None = None
    """Classes to label, as in --classes bird. Default: all."""
    labels: Path | None = None
    """File of labels to go on with, or to make. Default: SOURCE-labels.csv."""
    split: Literal["train", "test", "all"] = "train"
    """Which part of the images."""
    size: int | None = None
    """Side in pixels of the images, which the page enlarges. Default: 96; of cifar10, npz and sprites 32."""
    downloads: Path = DOWNLOADS
    """Folder of the original files of cifar10 and stl10, downloaded if missing."""
    seed: int = 742
    """Seed of the order of the images."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 admits everybody who can reach this machine."""
    port: int = 7861
    """Port to listen at."""
