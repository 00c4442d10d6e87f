"""The options of ``run_pegasus.py stylise``.

Credits: CleanRL (Huang et al. 2022, JMLR 23) for one dataclass whose field texts are the command line's help.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from common.errors import UserError, check_at_least, check_positive, check_shares
from common.options import Command
from gen_models.options import DOWNLOADS, Device


@dataclass(frozen=True, kw_only=True)
class StyleOptions:
    """What decides the stylised frames, besides the video, the picture and the features."""

    width: int = 160
    """Width in pixels at which frames are stylised; the video shows each pixel as 2 x 2."""
    begin: int = 0
    """First frame of the video, counting from 0."""
    every: int = 1
    """Take every so-many-th frame of the video; it is shown for as long."""
    frames: int | None = None
    """Frames to stylise. Default: all."""
    content_weight: float = 1.0
    """Weight of the content loss."""
    style_weight: float = 20.0
    """Weight of the style loss."""
    temporal_weight: float = 200.0
    """Weight of the temporal loss; 0 to style each frame by itself."""
    tv_weight: float = 0.1
    """Weight of the total variation, which smooths; 0 for none."""
    content_layers: tuple[str, ...] = ("stage2",)
    """Layers whose features make the content: stem, stage1, stage2, ..."""
    style_layers: tuple[str, ...] = ()
    """Layers whose correlations make the style. Default: all."""
    distances: tuple[int, ...] = (1, 2, 4)
    """Distances in frames to those that a frame is to agree with; 1 alone is the short-term loss."""
    start: Literal["warped", "previous", "frame", "noise"] | None = None
    """What a frame's optimisation starts from: the stylised frame before, warped or as it is; the frame itself; noise.
    The first frame starts from itself, or from noise. Default: warped; frame with --temporal-weight 0 or --passes."""
    passes: int = 1
    """Passes over the video, forwards and backwards in turn; each frame is blended with its stylised neighbour."""
    blend: float = 0.5
    """With several passes: the neighbour's share in the blend, where it can be seen."""
    temporal_from: int | None = None
    """With several passes: the first pass with the temporal loss. Default: the one after half of them."""
    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    """Method of the optimisation."""
    learning_rate: float = 0.05
    """Learning rate of adam."""
    iterations: int = 100
    """Most iterations for each frame and pass."""
    tolerance: float = 1e-3
    """A frame is finished where its loss has fallen by less than this share of itself in 10 iterations."""
    seed: int = 742
    """Seed of noise."""

    def check(self) -> None:
        """:raises UserError: for a number that is out of range"""
        for distance in self.distances:
            check_at_least(1, {"--distances": distance})
        check_at_least(1, {"--every": self.every, "--frames": self.frames, "--passes": self.passes,
                           "--temporal-from": self.temporal_from, "--iterations": self.iterations})  # fmt: skip
        check_at_least(0, {"--begin": self.begin, "--content-weight": self.content_weight,
                           "--style-weight": self.style_weight, "--temporal-weight": self.temporal_weight,
                           "--tv-weight": self.tv_weight, "--tolerance": self.tolerance,
                           "--seed": self.seed})  # fmt: skip
        check_positive({"--learning-rate": self.learning_rate})
        check_shares({"--blend": self.blend})
        if not 32 <= self.width <= 4096:
            raise UserError(f"--width {self.width}: from 32 to 4096 pixels")
        if self.temporal_weight and 1 not in self.distances:
            raise UserError("--distances needs 1, the frame before; more may follow, such as --distances 1 2 4")
        if len(set(self.distances)) < len(self.distances):
            raise UserError("--distances has a number twice")
        if self.frames == 1:
            raise UserError("--frames 1: a video takes at least 2")


@dataclass(frozen=True)
class StyliseSettings(StyleOptions, Command):
    """Give a video the style of a picture, consistent in time. The same command again goes on after a stop."""

    video: Positional[Path]
    """The video: mp4, or what else FFmpeg reads."""
    style: Path
    """The picture whose style it gets."""
    output: Path | None = None
    """Folder of frames and results. Default: runs/style/VIDEO-PICTURE."""
    features: Path = Path("runs/style-features")
    """Folder of the classifier whose features are used; it is trained if missing."""
    data: str = "cifar10"
    """Images to train that classifier with: cifar10, stl10, folder:PATH, npz:PATH, sprites."""
    downloads: Path = DOWNLOADS
    """Folder of the original files of cifar10 and stl10, downloaded if missing."""
    device: Device = "auto"
