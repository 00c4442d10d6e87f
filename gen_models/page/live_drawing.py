"""A batch that is drawn in one thread, and watched and stopped from another.

It is drawn in the same pieces as ``gen_models.diffusion.sampling.draw`` draws it in, so that its images are the same to
the bit as those of ``run_pegasus.py sample``.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gen_models.diffusion.samples import Samples
from gen_models.diffusion.sampling import SampleRequest
from gen_models.images.image_set import to_pixels
from gen_models.training.drawing import Drawer


@dataclass(frozen=True)
class View:
    """How far a batch is.

    :param images: uint8 (K, S, S, 3): the finished ones, then those being drawn as the denoiser takes them to be now
    :param finished: how many are finished
    :param done: image steps done, of ``total``
    :param seconds: since the first step began
    """

    images: NDArray[np.uint8]
    finished: int
    done: int
    total: int
    seconds: float


class LiveDrawing:
    """A batch on its way.

    :param drawer: what draws
    :param request: what is drawn
    :param count: images
    """

    def __init__(self, drawer: Drawer, request: SampleRequest, count: int) -> None:
        self.drawer = drawer
        self.request = request
        self.count = count
        size = drawer.denoiser.settings.size
        self._finished = np.empty((0, size, size, 3), np.uint8)
        self._now = self._finished
        self._done = 0
        self._began = 0.0
        self._stop = threading.Event()

    def run(self) -> Samples:
        """Draw, until all is drawn or somebody says stop.

        :return: the images that were finished, which are the first ones
        :raises UserError: as ``draw`` does
        """
        self._began = time.monotonic()
        size = self.drawer.origin.batch_size
        try:
            for start in range(0, self.count, size):
                indices = range(start, min(start + size, self.count))
                part = self.drawer.draw(self.request, indices, self._step, self._watch)
                self._now, self._finished = part.images[:0], np.concatenate([self._finished, part.images])
        except _Stopped:
            pass
        return Samples(self._finished, range(len(self._finished)), self.request, self.drawer.origin)

    def stop(self) -> None:
        """End the drawing before its next step."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Whether somebody said stop."""
        return self._stop.is_set()

    def view(self) -> View:
        """How far it is; for other threads."""
        finished, now = self._finished, self._now
        seconds = time.monotonic() - self._began if self._began else 0.0
        images = np.concatenate([finished, now])[: self.count]
        return View(images, len(finished), self._done, self.count * self.request.steps, seconds)

    def _watch(self, images: Tensor) -> None:
        if self.stopped:
            raise _Stopped
        self._now = to_pixels(images)

    def _step(self, moved: int) -> None:
        self._done += moved


class _Stopped(Exception):
    """Ends a drawing from within."""
