"""Samples a batch in one thread, while another thread looks at its progress and may stop it.

The batch is divided as ``gen_models.diffusion.sampling.sample`` divides it, so its images are bit for bit those of
``run_pegasus.py sample``.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gen_models.diffusion.samples import Samples
from gen_models.images.image_set import to_pixels
from gen_models.request import SampleRequest
from gen_models.training.run_sampler import RunSampler


@dataclass(frozen=True)
class View:
    """The progress of a batch.

    :param images: uint8 (K, S, S, 3): the finished images, then the denoiser's current estimates of those in work
    :param finished: number of finished images
    :param done: image steps done, of ``total``
    :param seconds: since the first step began
    """

    images: NDArray[np.uint8]
    finished: int
    done: int
    total: int
    seconds: float


class LiveSampling:
    """A batch that is being sampled.

    :param sampler: of the run
    :param request: of the images
    :param count: number of images
    """

    def __init__(self, sampler: RunSampler, request: SampleRequest, count: int) -> None:
        self.sampler = sampler
        self.request = request
        self.count = count
        size = sampler.denoiser.settings.size
        self._finished = np.empty((0, size, size, 3), np.uint8)
        self._now = self._finished
        self._done = 0
        self._began = 0.0
        self._stop = threading.Event()
        self.begun = False
        self.ended = False

    def run(self) -> Samples:
        """Sample until all images are finished or ``stop`` is called.

        :return: the finished images, which are the first ones
        :raises UserError: as ``sample`` does
        """
        self._began = time.monotonic()
        self.begun = True
        size = self.sampler.origin.batch_size
        try:
            for start in range(0, self.count, size):
                indices = range(start, min(start + size, self.count))
                part = self.sampler.sample(self.request, indices, self._step, self._watch)
                self._now, self._finished = part.images[:0], np.concatenate([self._finished, part.images])
        except _Stopped:
            pass
        finally:
            self.ended = True
        return Samples(self._finished, range(len(self._finished)), self.request, self.sampler.origin)

    @property
    def running(self) -> bool:
        """Whether ``run`` has begun and not ended."""
        return self.begun and not self.ended

    def stop(self) -> None:
        """Stop before the next step."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stop.is_set()

    def view(self) -> View:
        """The progress so far; for other threads."""
        finished, now = self._finished, self._now
        seconds = time.monotonic() - self._began if self._began else 0.0
        images = np.concatenate([finished, now])[: self.count]
        return View(images, len(finished), self._done, self.count * self.request.steps, seconds)

    def _watch(self, images: Tensor) -> None:
        if self.stopped:
            raise _Stopped
        self._now = to_pixels(images)

    def _step(self, steps: int) -> None:
        self._done += steps


class _Stopped(Exception):
    """Ends the sampling from within ``sample``."""
