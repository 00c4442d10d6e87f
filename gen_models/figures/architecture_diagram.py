"""A diagram of the denoiser, read from the network itself, so that it is right for all settings.

A vector figure for one column of a paper, with letters of 6 points. Resolution, channels, residual blocks and attention
heads of each block are read from the modules of a denoiser built on the ``meta`` device, without memory for weights.

Credits: Ronneberger et al. 2015 (arXiv 1505.04597) for the shape of the diagram; matplotlib.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.denoiser import Denoiser, DenoiserSettings
from gen_models.diffusion.label_maps import planes_of
from gen_models.figures.paper_figures import SMALLEST, STYLE, new_figure
from gen_models.images.grids import HALF_WIDTH
from gen_models.request import Prediction

# Inches.
MARGIN, COLUMN, GAP, PADDING = 0.04, 1.22, 0.17, 0.05
LINE = SMALLEST * 1.3 / 72
LETTER = SMALLEST * 0.56 / 72  # mean width of a letter

PLAIN, RESIDUAL, ATTENTION, CONDITION = "#f0f0f0", "#dbe9f6", "#fde3c0", "#dcefdc"
LINES = "#444444"


@dataclass(frozen=True)
class Block:
    """One block of the U-Net.

    :param resolution: side of its input in pixels
    :param channels: of its output
    :param residual: number of residual blocks
    :param heads: of self-attention; 0 for none
    :param resampling: whether it changes the resolution at its end
    """

    resolution: int
    channels: int
    residual: int
    heads: int
    resampling: bool = False

    @property
    def lines(self) -> list[str]:
        """The text in its box."""
        words = [
            f"{self.resolution}×{self.resolution}, {self.channels} channels",
            f"{self.residual} residual block{'s' if self.residual > 1 else ''}",
        ]
        if self.heads:
            words.append(f"self-attention, {self.heads} head{'s' if self.heads > 1 else ''}")
        return words


@dataclass(frozen=True)
class Shape:
    """The blocks of a denoiser.

    :param down: from the finest resolution to the coarsest
    :param up: also from the finest resolution to the coarsest, though computed in reverse
    :param parameters: number of trained parameters
    """

    down: tuple[Block, ...]
    middle: Block
    up: tuple[Block, ...]
    parameters: int


def shape_of(settings: DenoiserSettings, vocabulary: Vocabulary) -> Shape:
    """Read the blocks from a network with these settings."""
    with torch.device("meta"):
        denoiser = Denoiser(settings, vocabulary.sizes, planes_of(vocabulary))
    unet = denoiser.unet
    side, last = settings.size // settings.patch, len(settings.channels) - 1
    down = tuple(
        _block(part, side >> level, part.downsamplers is not None) for level, part in enumerate(unet.down_blocks)
    )
    up = tuple(
        _block(part, side >> level, part.upsamplers is not None) for level, part in enumerate(reversed(unet.up_blocks))
    )
    parameters = sum(parameter.numel() for parameter in denoiser.parameters())
    return Shape(down, _block(unet.mid_block, side >> last), up, parameters)


def _block(part: Any, resolution: int, resampling: bool = False) -> Block:
    resnets = list(part.resnets)
    attentions = [one for one in getattr(part, "attentions", None) or [] if one is not None]
    heads = int(attentions[0].heads) if attentions else 0
    return Block(resolution, int(resnets[-1].conv2.out_channels), len(resnets), heads, resampling)


def architecture_figure(settings: DenoiserSettings, vocabulary: Vocabulary, prediction: Prediction) -> Figure:
    """The diagram: down path on the left, up path on the right, conditions below.

    :param prediction: of the network, ``v`` or ``epsilon``
    """
    shape = shape_of(settings, vocabulary)
    with matplotlib.rc_context(STYLE):
        return _Diagram(settings, vocabulary, prediction, shape).figure


class _Diagram:
    """The diagram in inches, y downwards. Boxes are placed from the top; the figure gets the height that they need."""

    def __init__(
        self, settings: DenoiserSettings, vocabulary: Vocabulary, prediction: Prediction, shape: Shape
    ) -> None:
        self.figure = new_figure(HALF_WIDTH, 1)
        self.axes: Axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.axis("off")
        self.left, self.right = MARGIN, HALF_WIDTH - MARGIN - COLUMN
        size, patch, first = settings.size, settings.patch, settings.channels[0]
        entry = [["noisy image x", f"{size}×{size}, 3 channels"]]
        leave = [[f"prediction of {'v' if prediction == 'v' else 'the noise'}", f"{size}×{size}, 3 channels"]]
        if patch > 1:
            side, deep = size // patch, 3 * patch**2
            entry.append([f"patches of {patch}×{patch} pixels", f"{side}×{side}, {deep} channels"])
            leave.append(["refinement: 2 convo-", f"lutions, {settings.refinement} channels"])
            leave.append(["patches to pixels", f"{size}×{size}, 3 channels"])
        entry.append(["convolution 3×3", f"{first} channels"])
        leave.append(["norm, convolution 3×3", f"{3 * patch**2} channels"])
        rows = max(len(entry), len(leave))
        step = 2 * LINE + 2 * PADDING + GAP
        y = MARGIN
        # The first boxes on both sides are level, and so are the last ones, next to the blocks.
        ins = [y, *(y + (rows - len(entry) + k) * step for k in range(1, len(entry)))]
        outs = [y + k * step for k in range(rows)]
        for k, (top, words) in enumerate(zip(ins, entry, strict=True)):
            self.box(self.left, top, words, PLAIN)
            if k:
                self.arrow((self.left + COLUMN / 2, ins[k - 1] + step - GAP), (self.left + COLUMN / 2, top))
        for k, (top, words) in enumerate(zip(outs, leave, strict=True)):
            self.box(self.right, top, words, CONDITION if words[0].startswith("refinement") else PLAIN)
            if k:
                self.arrow((self.right + COLUMN / 2, top), (self.right + COLUMN / 2, outs[k - 1] + step - GAP))
        if patch > 1:  # the noisy image is an input of the refinement
            middle = (2 * LINE + 2 * PADDING) / 2
            turn = self.left + COLUMN + 0.25
            self.path([(self.left + COLUMN, ins[0] + middle), (turn, ins[0] + middle), (turn, outs[1] + middle)])
            self.arrow((turn, outs[1] + middle), (self.right, outs[1] + middle))
        y = outs[-1] + step
        y = self.levels(shape, y)
        y = self.conditions(settings, vocabulary, y)
        self.axes.text(HALF_WIDTH / 2, y, f"{shape.parameters:,} parameters", ha="center", va="top", fontsize=SMALLEST)
        y += LINE + MARGIN
        self.figure.set_size_inches(HALF_WIDTH, y)
        self.axes.set_xlim(0, HALF_WIDTH)
        self.axes.set_ylim(y, 0)

    def levels(self, shape: Shape, y: float) -> float:
        """The blocks of the U-Net from y on; returns the y below them."""
        centres = self.left + COLUMN / 2, self.right + COLUMN / 2
        before = y - GAP  # the lower end of the boxes above
        for level, (down, up) in enumerate(zip(shape.down, shape.up, strict=True)):
            height = max(self.height(down.lines), self.height(up.lines))
            self.box(self.left, y, down.lines, ATTENTION if down.heads else RESIDUAL, height)
            self.box(self.right, y, up.lines, ATTENTION if up.heads else RESIDUAL, height)
            self.arrow((centres[0], before), (centres[0], y), "half size" if level else "")
            self.arrow((centres[1], y), (centres[1], before), "double size" if level else "")
            self.arrow((self.left + COLUMN, y + height / 2), (self.right, y + height / 2), dashed=True)
            if level == 0:
                self.words(HALF_WIDTH / 2, y + height / 2 - 0.02, "skip connections", va="bottom")
            before = y + height
            y = before + GAP
        lines = shape.middle.lines
        self.box((HALF_WIDTH - COLUMN) / 2, y, lines, ATTENTION if shape.middle.heads else RESIDUAL)
        middle = y + self.height(lines) / 2
        self.path([(centres[0], before), (centres[0], middle)])
        self.arrow((centres[0], middle), ((HALF_WIDTH - COLUMN) / 2, middle))
        self.path([((HALF_WIDTH + COLUMN) / 2, middle), (centres[1], middle)])
        self.arrow((centres[1], middle), (centres[1], before))
        return y + self.height(lines) + GAP

    def conditions(self, settings: DenoiserSettings, vocabulary: Vocabulary, y: float) -> float:
        """The box of time and labels from y on; returns the y below it."""
        width = 4 * settings.channels[0]
        tables = [f"class ({', '.join(vocabulary.classes)})", *vocabulary.attributes]
        tables += [f"source ({', '.join(vocabulary.sources)})"] if vocabulary.sources else []
        every = [
            f"Time: {settings.channels[0]} sines and cosines, 2 linear layers.",
            f"Labels, each with a null: {', '.join(tables)}; learnt embeddings.",
            f"Their sum, {width} numbers, sets scales and shifts in every residual block"
            + ("; the time alone in the refinement." if settings.patch > 1 else "."),
        ]
        letters = int((HALF_WIDTH - 2 * MARGIN - 2 * PADDING) / LETTER)
        lines = [line for words in every for line in textwrap.wrap(words, letters)]
        self.box(MARGIN, y, lines, CONDITION, width=HALF_WIDTH - 2 * MARGIN)
        return y + self.height(lines) + PADDING

    @staticmethod
    def height(lines: Sequence[str]) -> float:
        """The height of a box with these lines."""
        return len(lines) * LINE + 2 * PADDING

    def box(
        self, x: float, y: float, lines: Sequence[str], colour: str, height: float | None = None, width: float = COLUMN
    ) -> None:
        """A box with its text in the middle and its upper left corner at (x, y)."""
        height = self.height(lines) if height is None else height
        self.axes.add_patch(
            FancyBboxPatch(
                (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.04", fc=colour, ec=LINES, lw=0.5
            )
        )  # fmt: skip
        self.words(x + width / 2, y + height / 2, "\n".join(lines))

    def words(self, x: float, y: float, words: str, ha: str = "center", va: str = "center") -> None:
        """Text of the smallest size."""
        self.axes.text(x, y, words.replace("$", r"\$"), ha=ha, va=va, fontsize=SMALLEST, linespacing=1.25)

    def path(self, points: Sequence[tuple[float, float]]) -> None:
        """A line without an arrowhead."""
        self.axes.plot(*zip(*points, strict=True), color=LINES, lw=0.7, solid_capstyle="butt")

    def arrow(
        self, start: tuple[float, float], end: tuple[float, float], words: str = "", dashed: bool = False
    ) -> None:
        """An arrow, with text at its right."""
        style: dict[str, Any] = {"arrowstyle": "-|>,head_length=2.2,head_width=1.2", "color": LINES, "lw": 0.7}
        self.axes.add_patch(
            FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, ls="--" if dashed else "-", mutation_scale=1, **style)
        )
        if words:
            self.words(start[0] + 0.06, (start[1] + end[1]) / 2, words, ha="left")
