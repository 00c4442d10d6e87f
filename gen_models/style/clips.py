"""Reads the frames of a video, and the style picture.

Credits: PyAV and FFmpeg's libraries; OpenCV (resizing by areas).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from common.errors import UserError, first_line
from common.files import read_bounded
from gen_models.images.image_set import rgb_on_white
from gen_models.images.pictures import BAD_PICTURE, MOST_BYTES, opened_picture, reason
from gen_models.style.flow import LEAST_SIDE
from gen_models.style.options import StyleOptions

MOST_FRAME_BYTES = 1_000_000_000  # of all frames in memory
STILL = 0.5  # mean difference, in levels of 255, below which frames are the same but for the encoder
USUAL_FPS = 30.0


@dataclass(frozen=True)
class Clip:
    """Frames of a video.

    :param frames: uint8 (T, H, W, 3) RGB
    :param fps: frames per second
    """

    frames: NDArray[np.uint8]
    fps: float


def read_clip(path: Path, options: StyleOptions) -> Clip:
    """The frames that ``options`` names, at its width, each side even.

    :raises UserError: when it is no video, is too small, too long, has one frame or no motion
    """
    frames, fps = _decoded(path, options)
    if len(frames) < 2:
        raise UserError(f"{path}: {len(frames)} frame from --begin {options.begin} on; it takes at least 2")
    clip = Clip(np.stack(frames), fps / options.every)
    first = clip.frames[0].astype(np.int16)
    if all(np.abs(frame - first).mean() < STILL for frame in clip.frames[1:]):
        raise UserError(f"{path} has no motion: its {len(frames)} frames are the same; choose others with --begin")
    return clip


def _decoded(path: Path, options: StyleOptions) -> tuple[list[NDArray[np.uint8]], float]:
    frames: list[NDArray[np.uint8]] = []
    if not path.is_file():  # FFmpeg would also take an address
        raise UserError(f"cannot read {path}: it is not a file")
    try:
        # A playlist in place of a video may name other places than files.
        with av.open(str(path.absolute()), options={"protocol_whitelist": "file"}) as container:
            if not container.streams.video:
                raise UserError(f"{path} has no pictures, only sound")
            stream = container.streams.video[0]
            fps = float(stream.average_rate or USUAL_FPS)
            for number, frame in enumerate(container.decode(stream)):
                if number < options.begin or (number - options.begin) % options.every:
                    continue
                frames.append(_resized(path, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), options.width))
                if len(frames) * frames[0].nbytes > MOST_FRAME_BYTES:
                    raise UserError(f"{path} is too long for this width; choose --frames, --every or a smaller --width")
                if len(frames) == options.frames:
                    break
    except (FFmpegError, OSError, ValueError) as error:
        raise UserError(f"cannot read {path} as a video: {first_line(error)}") from error
    return frames, fps


def _resized(path: Path, picture: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    height = 2 * max(1, round(picture.shape[0] * width / picture.shape[1] / 2))
    if min(height, picture.shape[0], picture.shape[1]) < LEAST_SIDE:
        found = f"{picture.shape[1]} x {picture.shape[0]}"
        raise UserError(f"{path} is too small or too flat, {found} pixels; each side takes {LEAST_SIDE} at --width")
    size = (2 * (width // 2), height)
    return np.asarray(cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_AREA), np.uint8)


def read_style(path: Path, longer_side: int) -> NDArray[np.uint8]:
    """The style picture, its longer side as long as the frames', uint8 (H, W, 3).

    :raises UserError: when it cannot be read, or is too small
    """
    try:
        with opened_picture(read_bounded(path, MOST_BYTES)) as picture:
            rgb = rgb_on_white(picture)
    except BAD_PICTURE as error:
        raise UserError(f"cannot read {path}: {reason(error)}") from error
    scale = longer_side / max(rgb.size)
    width, height = (max(1, round(side * scale)) for side in rgb.size)
    if min(*rgb.size, width, height) < LEAST_SIDE:
        raise UserError(
            f"{path} is too small, {rgb.width} x {rgb.height} pixels ({width} x {height} beside the frames): "
            f"a style takes {LEAST_SIDE} a side"
        )
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.asarray(rgb), (width, height), interpolation=way), np.uint8)


def digest(path: Path) -> str:
    """SHA-256 of a file.

    :raises UserError: when it cannot be read
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
