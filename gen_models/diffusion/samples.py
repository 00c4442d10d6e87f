"""``samples.npz``: sampled images with everything needed to sample them again.

    images   uint8 (N, S, S, 3)
    indices  int64 (N,), the numbers of the images; number and request's seed give the seed of each
    request  the SampleRequest as JSON
    origin   run, checkpoint, digest of the weights, batch size, device and versions as JSON

Credits: NumPy's ``.npz`` format.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.errors import UserError, first_line
from common.files import read_bounded, write_atomic
from common.npz import pack_arrays, unpack_arrays
from common.records import from_plain, plain
from gen_models.images.grids import grid, save_png
from gen_models.request import SampleRequest

MOST_BYTES = 2**31  # of a file
GRID_COLUMNS = 8
GRID_SIDE = 64  # pixels of a tile, at least
SHOWN_BY_WORDS = (
    "weights", "compose", "steps", "sampler", "seed", "base", "add", "from_", "base_weight", "add_weight"
)  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """The model that the images were sampled from, and the environment.

    :param run: the run's name
    :param checkpoint: the checkpoint's name
    :param averaged: whether the weights are the moving average
    :param weights: SHA-256 of the file with the weights
    :param batch_size: images at once
    :param device: of the network
    :param versions: of the packages that affect the result
    :param model: what the images are from: a denoiser, or the generator of a DCGAN
    """

    run: str
    checkpoint: str
    averaged: bool
    weights: str
    batch_size: int
    device: str
    versions: dict[str, str] = field(default_factory=dict)
    model: Literal["diffusion", "dcgan"] = "diffusion"


@dataclass(frozen=True)
class Samples:
    """Sampled images, their request and their origin.

    :param images: uint8 (N, S, S, 3)
    :param indices: their numbers
    """

    images: NDArray[np.uint8]
    indices: Sequence[int]
    request: SampleRequest
    origin: Origin

    def save(self, path: Path) -> None:
        """Write ``samples.npz``.

        :raises UserError: when the folder cannot be written (status 1)
        """
        arrays: dict[str, NDArray[Any]] = {
            "images": self.images,
            "indices": np.array(self.indices, np.int64),
            "request": np.array(json.dumps(plain(self.request))),
            "origin": np.array(json.dumps(plain(self.origin))),
        }
        write_atomic(path, pack_arrays(arrays, compress=True))

    @classmethod
    def load(cls, path: Path) -> Samples:
        """Read ``samples.npz``.

        :raises UserError: when it is absent, damaged or something else
        """
        try:
            arrays = unpack_arrays(read_bounded(path, MOST_BYTES), foreign=True)
            images, indices = arrays["images"], arrays["indices"]
            side = images.shape[1] if images.ndim == 4 else 0
            if images.dtype != np.uint8 or side < 1 or images.shape[2:] != (side, 3):
                raise ValueError(f"images are {images.dtype} {images.shape}, not uint8 (N, S, S, 3)")
            if indices.shape != images.shape[:1] or indices.dtype.kind not in "iu":
                raise ValueError(f"indices are {indices.dtype} {indices.shape}, not {len(images)} integers")
            request = from_plain(SampleRequest, json.loads(str(arrays["request"])))
            origin = from_plain(Origin, json.loads(str(arrays["origin"])))
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from error
        except (KeyError, ValueError) as error:
            raise UserError(f"{path} is not a samples.npz of this program ({first_line(error)})") from error
        return cls(images, indices.tolist(), request, origin)

    def caption(self) -> str:
        """The request and the checkpoint in one line."""
        request = self.request
        if self.origin.model == "dcgan":
            words = request.words or "no condition"
            return f"DCGAN: {words}, seed {request.seed}; {self.origin.run} {self.origin.checkpoint}"
        how = [f"{request.compose}: {request.words}" if request.words else "unconditional"]
        if request.compose == "map":
            how.append(f"outlines of {request.from_}+{request.add} from training images")
        how += [f"{request.steps} steps of {request.sampler}", f"seed {request.seed}"]
        for option in dataclasses.fields(request):
            value = getattr(request, option.name)
            if option.name not in SHOWN_BY_WORDS and value != option.default:
                how.append(f"{option.name.replace('_', ' ')} {value}")
        return f"{', '.join(how)}; {self.origin.run} {self.origin.checkpoint}"

    def save_folder(self, folder: Path) -> None:
        """Write the images, ``grid.png`` and ``samples.npz``."""
        for index, image in zip(self.indices, self.images, strict=True):
            save_png(Image.fromarray(image), folder / f"image-{index:04d}.png")
        scale = max(1, GRID_SIDE // self.images.shape[1])
        save_png(grid(self.images, GRID_COLUMNS, scale, self.caption()), folder / "grid.png")
        self.save(folder / "samples.npz")
