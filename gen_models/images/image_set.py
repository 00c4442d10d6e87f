"""Images with their labels, in memory, and operations on them: cropping, resizing, joining, flipping.

Credits: Pillow's Lanczos filter. PyTorch and NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from common.errors import UserError, nearest

UNKNOWN = -1


@dataclass(frozen=True)
class ImageSet:
    """N images of one size, with their labels.

    :param images: uint8 (N, S, S, 3), RGB
    :param classes: int64 (N,), an index of ``class_names``; -1 for an image without a class
    :param class_names: in lower case
    :param sources: int64 (N,), an index of ``source_names``
    :param source_names: the data sets that the images came from
    :param attributes: int8 (N,) by name: 1 yes, 0 no, -1 unknown
    :param names: str (N,), what labels by hand call each image of a source; by default its position in this set
    """

    images: NDArray[np.uint8]
    classes: NDArray[np.int64]
    class_names: tuple[str, ...]
    sources: NDArray[np.int64]
    source_names: tuple[str, ...]
    attributes: dict[str, NDArray[np.int8]] = field(default_factory=dict)
    names: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        count, height, width, channels = self.images.shape
        if self.images.dtype != np.uint8 or height != width or channels != 3:
            raise ValueError(f"images must be uint8 (N, S, S, 3), not {self.images.dtype} {self.images.shape}")
        lengths = {"classes": len(self.classes), "sources": len(self.sources)}
        lengths |= {name: len(values) for name, values in self.attributes.items()}
        lengths |= {} if self.names is None else {"names": len(self.names)}
        for name, length in lengths.items():
            if length != count:
                raise ValueError(f"there are {count} images, but {length} {name}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Side of an image in pixels."""
        return int(self.images.shape[1])

    def take(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> ImageSet:
        """Some of the images, by index or mask; class and source names stay."""
        return replace(
            self,
            images=self.images[which],
            classes=self.classes[which],
            sources=self.sources[which],
            attributes={name: values[which] for name, values in self.attributes.items()},
            names=self.known_names[which],
        )

    @property
    def known_names(self) -> NDArray[np.str_]:
        """``names``, or the positions where there are none, str (N,)."""
        return np.arange(len(self)).astype(np.str_) if self.names is None else self.names

    def of_class(self, name: str) -> NDArray[np.bool_]:
        """Which images are of this class, bool (N,).

        :raises UserError: for a class that is not there
        """
        return np.asarray(self.classes == find_class(name, self.class_names), np.bool_)

    def only(self, classes: Sequence[str]) -> ImageSet:
        """The images of these classes, and those without a class; class indices follow the order given.

        :raises UserError: for a class that is not there
        """
        names = tuple(name.lower() for name in classes)
        if len(set(names)) < len(names):
            raise UserError(f"a class is named twice: {', '.join(names)}")
        new = np.full(len(self.class_names) + 1, -2, np.int64)  # the last is for index -1
        new[-1] = UNKNOWN
        for index, name in enumerate(names):
            new[find_class(name, self.class_names)] = index
        chosen = self.take(new[self.classes] != -2)
        return replace(chosen, classes=new[chosen.classes], class_names=names)


def find_class(name: str, names: Sequence[str]) -> int:
    """The index of a class, ignoring case.

    :raises UserError: for a class that is not there
    """
    if name.lower() not in names:
        raise UserError(f"no images of the class '{name}' (there are: {', '.join(names)}){nearest(name, names)}")
    return names.index(name.lower())


def join(sets: Sequence[ImageSet]) -> ImageSet:
    """All images of several sets; classes of one name are merged, attributes that a set lacks are unknown there.

    :raises UserError: when two sources have the same name
    """
    if len(sets) == 1:
        return sets[0]
    source_names = tuple(name for one in sets for name in one.source_names)
    if len(set(source_names)) < len(source_names):
        raise UserError(f"two sources have the same name: {', '.join(source_names)}; rename a folder or file")
    class_names = tuple(dict.fromkeys(name for one in sets for name in one.class_names))
    attributes = dict.fromkeys(name for one in sets for name in one.attributes)
    classes, sources, start = [], [], 0
    for one in sets:
        new = np.array([*(class_names.index(name) for name in one.class_names), UNKNOWN], np.int64)
        classes.append(new[one.classes])
        sources.append(one.sources + start)
        start += len(one.source_names)
    return ImageSet(
        np.concatenate([one.images for one in sets]),
        np.concatenate(classes),
        class_names,
        np.concatenate(sources),
        source_names,
        {
            name: np.concatenate([one.attributes.get(name, np.full(len(one), UNKNOWN, np.int8)) for one in sets])
            for name in attributes
        },
        np.concatenate([one.known_names for one in sets]),
    )


def rgb_on_white(image: Image.Image) -> Image.Image:
    """One picture as RGB, rotated as its EXIF data say, transparency on white."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits a pixel; Pillow would clip them
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def square_rgb(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """The middle square of one picture as RGB on white, resized with an anti-aliasing filter.

    :return: uint8 (size, size, 3)
    """
    image = rgb_on_white(image)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    # Cropped first: with resize's own box the filter would use pixels outside it.
    image = image.crop((left, top, left + side, top + side))
    return np.asarray(image if side == size else image.resize((size, size), Image.Resampling.LANCZOS))


def resized(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize pictures to RGB of one size.

    :param images: uint8 (N, H, W, 3), or (N, H, W) in grey
    :return: uint8 (N, size, size, 3)
    """
    if images.shape[1:] == (size, size, 3):
        return images
    out = np.empty((len(images), size, size, 3), np.uint8)
    for index, image in enumerate(images):
        out[index] = square_rgb(Image.fromarray(image), size)
    return out


def flipped(images: NDArray[np.uint8], which: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Images, some of them mirrored left to right; a new array.

    :param images: uint8 (N, S, S, 3)
    :param which: (N,)
    """
    return np.where(which[:, None, None, None], images[:, :, ::-1], images)


def to_model_space(images: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """Images uint8 (N, S, S, 3) as float32 (N, 3, S, S) from -1 to 1.

    They are moved to the device as bytes and converted there.
    """
    x = torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).contiguous()
    return x.to(torch.float32).div_(127.5).sub_(1)


def to_pixels(x: Tensor) -> NDArray[np.uint8]:
    """Images float (N, 3, S, S) from -1 to 1, clipped to that range, as uint8 (N, S, S, 3)."""
    pixels = x.detach().float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).cpu().numpy())
