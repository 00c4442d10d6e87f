"""The diagram says what the network is, for any settings, and can be read where it is printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text

from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.denoiser import Denoiser, DenoiserSettings
from gen_models.figures.architecture_diagram import Block, architecture_figure, shape_of
from gen_models.figures.paper_figures import save_figure

VOCABULARY = Vocabulary(("horse", "bird"), ("white", "spread"))
CIFAR = DenoiserSettings(32, 2, (64, 96, 128), 2, (1, 2))
PLAIN = DenoiserSettings(32, 1, (16, 16, 32, 32), 1, ())
LARGE = DenoiserSettings(96, 2, (128, 256, 256, 384), 2, (2, 3))
ONE = DenoiserSettings(16, 1, (16,), 1, ())


def test_blocks_by_hand() -> None:
    """32 pixels in patches of two are 16; a UNet2DModel has one residual block more on the way up; heads have 32."""
    shape = shape_of(CIFAR, VOCABULARY)
    assert shape.down == (Block(16, 64, 2, 0, True), Block(8, 96, 2, 3, True), Block(4, 128, 2, 4))
    assert shape.up == (Block(16, 64, 3, 0), Block(8, 96, 3, 3, True), Block(4, 128, 3, 4, True))
    assert shape.middle == Block(4, 128, 2, 4)
    assert shape.parameters == 6_104_399
    plain = shape_of(PLAIN, VOCABULARY)
    assert [(block.resolution, block.channels, block.heads) for block in plain.down] == [
        (32, 16, 0), (16, 16, 0), (8, 32, 0), (4, 32, 0),
    ]  # fmt: skip
    assert plain.middle == Block(4, 32, 2, 0)


def test_resolutions_are_those_of_the_running_network() -> None:
    """What comes out of each block of a real network on a real input."""
    settings = DenoiserSettings(16, 2, (16, 32), 1, (1,))
    denoiser = Denoiser(settings, VOCABULARY.sizes)
    seen: list[tuple[int, ...]] = []
    for block in (*denoiser.unet.down_blocks, denoiser.unet.mid_block):
        block.resnets[-1].register_forward_hook(lambda module, given, out: seen.append(tuple(out.shape)))
    denoiser(torch.zeros(1, 3, 16, 16), torch.zeros(1, dtype=torch.int64), torch.zeros(1, 4, dtype=torch.int64))
    shape = shape_of(settings, VOCABULARY)
    blocks = (*shape.down, shape.middle)
    assert seen == [(1, block.channels, block.resolution, block.resolution) for block in blocks]
    assert shape.parameters == sum(parameter.numel() for parameter in denoiser.parameters())


@pytest.mark.parametrize("settings", [CIFAR, PLAIN, LARGE, ONE], ids=lambda one: f"{one.size}-{len(one.channels)}")
def test_words_lie_in_their_boxes_and_do_not_meet(settings: DenoiserSettings) -> None:
    figure = architecture_figure(settings, VOCABULARY, "v")
    assert figure.get_figwidth() == pytest.approx(3.3)
    figure.canvas.draw()
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    assert all(isinstance(text, Text) and float(text.get_fontsize()) >= 6 for text in texts)
    boxes = [patch.get_window_extent() for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]
    extents = [text.get_window_extent() for text in texts]
    inside = [
        any(box.x0 <= one.x0 and one.x1 <= box.x1 and box.y0 <= one.y0 and one.y1 <= box.y1 for box in boxes)
        for one in extents
    ]
    assert inside.count(True) == len(boxes)
    for k, one in enumerate(extents):
        assert one.x0 >= 0 and one.y0 >= 0 and one.x1 <= figure.bbox.x1 and one.y1 <= figure.bbox.y1
        assert not any(one.overlaps(other) for other in extents[k + 1 :])
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[k + 1 :])


def test_what_it_says() -> None:
    def words(settings: DenoiserSettings, vocabulary: Vocabulary) -> str:
        texts = architecture_figure(settings, vocabulary, "epsilon").axes[0].texts
        return " ".join(" ".join(text.get_text() for text in texts).split())

    cifar = words(CIFAR, VOCABULARY)
    for part in ("patches of 2×2 pixels 16×16, 12 channels", "16×16, 64 channels 2 residual blocks", "refinement",
                 "8×8, 96 channels 2 residual blocks self-attention, 3 heads", "class (horse, bird), white, spread",
                 "prediction of the noise 32×32, 3 channels", "Time: 64 sines", "256 numbers",
                 "6,104,399 parameters"):  # fmt: skip
        assert part in cifar
    plain = words(PLAIN, Vocabulary(("horse",), (), ("stl10", "cifar10")))
    assert not re.search("patch|refinement|attention", plain) and "source (stl10, cifar10)" in plain


def test_the_pdf_has_its_fonts_as_truetype_and_the_same_bytes_again(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_figure(architecture_figure(ONE, VOCABULARY, "v"), tmp_path / name)
    content = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in content and b"/Type3" not in content
    assert content == (tmp_path / "b.pdf").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
