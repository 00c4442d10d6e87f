"""Styles the frames of a clip one after the other, in one pass or in several.

Credits: M. Ruder et al. 2016, arXiv 1604.08610, sections 4.1 (start), 4.2 and 4.3 (temporal losses), 4.4 (passes).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.seeds import derive_seed
from gen_models.images.image_set import to_model_space, to_pixels
from gen_models.style.flow import Flow, Mask, Weights, long_term_weights, optical_flow, trusted, warped
from gen_models.style.folder import Numbers, StyleFolder
from gen_models.style.losses import Anchor, Losses
from gen_models.style.optimisation import optimise


def blended(
    before: NDArray[np.uint8], neighbour: NDArray[np.float32], mask: NDArray[np.bool_], share: float
) -> NDArray[np.float32]:
    """delta c w(x_neighbour) + (1 - delta + delta (1 - c)) x_before: what a pass starts a frame from.

    :param before: the frame of the pass before, uint8 (H, W, 3)
    :param neighbour: the neighbour of this pass, warped, float32 (H, W, 3)
    :param mask: where the neighbour shows the frame's pixels, bool (H, W)
    :param share: delta, 0 to 1
    """
    part = share * mask[..., None].astype(np.float32)
    return np.asarray(part * neighbour + (1 - part) * before, np.float32)


def order(frames: int, number: int) -> list[int]:
    """The frames in the order of a pass, the first one forwards."""
    return list(range(frames)) if number % 2 else list(range(frames - 1, -1, -1))


class Transfer:
    """The work on one clip, whose finished frames are in a folder.

    :param frames: uint8 (T, H, W, 3)
    :param losses: its options are those of the whole work
    """

    def __init__(self, frames: NDArray[np.uint8], losses: Losses, folder: StyleFolder, device: str = "cpu") -> None:
        self.frames = frames
        self.losses = losses
        self.options = losses.options
        self.folder = folder
        self.device = device

    @property
    def total(self) -> int:
        """Frames of all passes."""
        return self.options.passes * len(self.frames)

    @property
    def done(self) -> int:
        """Frames of all passes that are finished."""
        return sum(
            self.folder.frame(number, index).exists()
            for number in range(1, self.options.passes + 1)
            for index in range(len(self.frames))
        )

    def run(self, after_frame: Callable[[], None] = lambda: None) -> None:
        """Make all frames that are missing.

        :param after_frame: called when one has been saved; may raise
        :raises UserError: when a frame cannot be written or the loss is no longer a number (status 1)
        """
        for number in range(1, self.options.passes + 1):
            for index in order(len(self.frames), number):
                if not self.folder.frame(number, index).exists():
                    self._make(number, index)
                    after_frame()

    def result(self) -> tuple[NDArray[np.uint8], list[Numbers]]:
        """The frames of the last pass, and the numbers of those of all passes."""
        passes = [
            [self.folder.load(number, index) for index in range(len(self.frames))]
            for number in range(1, self.options.passes + 1)
        ]
        return np.stack([picture for picture, _ in passes[-1]]), [numbers for one in passes for _, numbers in one]

    def _make(self, number: int, index: int) -> None:
        began = time.monotonic()
        step = 1 if number % 2 else -1
        near = [index - step * distance for distance in sorted(self.options.distances)]
        found = {other: self._warped(number, index, other) for other in near if 0 <= other < len(self.frames)}
        anchors = self._anchors(found) if self._temporal(number) else []
        start = self._start(number, index, found.get(index - step))
        result = optimise(self.losses, self._tensor(self.frames[index]), anchors, start)
        numbers = Numbers(result.iterations, result.losses, time.monotonic() - began)
        self.folder.save(number, index, to_pixels(result.x)[0], numbers)

    def _temporal(self, number: int) -> bool:
        """Whether a pass has the temporal loss: the only one, or those after the frames have settled."""
        first = self.options.temporal_from or (self.options.passes // 2 + 1 if self.options.passes > 1 else 1)
        return self.options.temporal_weight > 0 and number >= first

    def _warped(self, number: int, index: int, other: int) -> tuple[NDArray[np.float32], Mask]:
        """Another stylised frame of this pass, warped to a frame, and where it shows the same."""
        forward, backward = self._flows(other, index)
        picture, _ = self.folder.load(number, other)
        return warped(picture.astype(np.float32), backward), trusted(forward, backward)

    def _flows(self, other: int, index: int) -> tuple[Flow, Flow]:
        a, b = self.frames[other], self.frames[index]
        return optical_flow(a, b), optical_flow(b, a)

    def _anchors(self, found: dict[int, tuple[NDArray[np.float32], Mask]]) -> list[Anchor]:
        weights: list[Weights] = long_term_weights([mask for _, mask in found.values()])
        return [
            Anchor(self._tensor(picture), torch.from_numpy(weight)[None, None].to(self.device))
            for (picture, _), weight in zip(found.values(), weights, strict=True)
        ]

    def _start(self, number: int, index: int, before: tuple[NDArray[np.float32], Mask] | None) -> Tensor:
        options = self.options
        if number > 1:
            last, _ = self.folder.load(number - 1, index)
            return self._tensor(last if before is None else blended(last, *before, options.blend))
        alone = options.passes > 1 or not options.temporal_weight
        start = options.start or ("frame" if alone else "warped")
        if start == "noise":
            generator = torch.Generator().manual_seed(derive_seed((options.seed, index), bits=63))
            shape = (1, 3, *self.frames.shape[1:3])
            return torch.randn(shape, generator=generator).mul(0.5).clamp(-1, 1).to(self.device)
        if start == "frame" or before is None:
            return self._tensor(self.frames[index])
        if start == "previous":
            return self._tensor(self.folder.load(number, index - 1)[0])
        return self._tensor(before[0])

    def _tensor(self, picture: NDArray[np.uint8] | NDArray[np.float32]) -> Tensor:
        """A picture of 0 to 255, (H, W, 3), as float32 (1, 3, H, W) from -1 to 1."""
        return to_model_space(picture[None], self.device)  # type: ignore[arg-type]
