"""Writing mp4 files: sharp, in the pictures' own colours, whole files or none.

How the pictures are preserved:

* They are enlarged by repeating pixels, by an even factor. H.264 stores one colour for 2x2 pixels (4:2:0), and these
  four are then always copies of one pixel of the picture.
* Colours are converted once, at the picture's own size, and tagged as BT.709 of limited range, which players
  assume for frames of this height anyway.

Measured on 1,200 frames of Gravitar, 640x840, one core (CPU, size, largest error of a decoded pixel of 255):

    preset ultrafast, crf 10                      2.6 s   635 kB    6 levels
    preset ultrafast, crf 14, FLAGS (chosen)      2.6 s   356 kB    7 levels
    preset superfast, crf 10, no deblocking       3.6 s   385 kB   11 levels
    preset veryfast,  crf 10, no deblocking       4.3 s   257 kB   32 levels
    preset veryfast,  crf 18                      4.3 s   199 kB   60 levels
    preset medium,    crf 18                      5.8 s   182 kB   38 levels

The fastest preset is the best here: the slower ones save bits on small moving objects, which are what counts in a game.

Credits: PyAV and FFmpeg's libraries (container, colour conversion), x264 (encoder); ITU-R BT.709 (colours).
"""

from __future__ import annotations

import os
import tempfile
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    Interpolation,
    VideoReformatter,
)
from av.video.stream import VideoStream
from numpy.typing import NDArray

from common.errors import UserError, first_line

PRESET = "ultrafast"
CRF = 14
# Left out by ultrafast, but almost free here: arithmetic coding, three reference frames (sprites flicker, so that the
# frame before the last is often the better prediction), 4x4 blocks.
FLAGS = "cabac=1:ref=3:analyse=i4x4,p8x8:8x8dct=0"
DEFAULT_SCALE = 4


class Mp4Writer:
    """Writes an mp4 frame by frame; the file appears under its name when it is complete.

    Until then it has a hidden temporary name in the same folder. After an error it is removed.

        with Mp4Writer(Path("game.mp4")) as video:
            video.add(picture)

    :param path: the file; its folder is created
    :param fps: frames per second
    :param scale: every pixel becomes scale x scale pixels; even and at least 2
    :param threads: encoder threads
    :param title: as players show it
    :param crf: x264's constant rate factor, 0 to 51: the smaller, the better and the larger
    :raises UserError: when the folder cannot be written or the disk is full (status 1)
    """

    def __init__(
        self, path: Path, fps: float = 60, scale: int = DEFAULT_SCALE, threads: int = 1, title: str = "", crf: int = CRF
    ) -> None:
        if scale < 2 or scale % 2:
            raise UserError(f"scale {scale} would blur colours; choose an even number such as 2 or 4")
        self.path = path
        self.frames = 0
        self._rate = Fraction(fps).limit_denominator(1001)
        self._scale = scale
        self._threads = threads
        self._title = title
        self._crf = crf
        self._stream: VideoStream | None = None
        self._shape: tuple[int, ...] = ()
        # Reused, because making one takes longer than a conversion.
        self._to_yuv, self._enlarge = VideoReformatter(), VideoReformatter()

    def __enter__(self) -> Mp4Writer:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(".part", f".{self.path.name}-", self.path.parent)
        except OSError as error:
            message = f"cannot write {self.path}: {error.strerror}; choose another folder"
            raise UserError(message, status=1) from error
        os.close(handle)
        self._part = Path(name)
        # faststart puts the index at the front, so that a browser shows the video while it loads.
        self._container = av.open(name, "w", format="mp4", options={"movflags": "+faststart"})
        if self._title:
            self._container.metadata["title"] = self._title
        return self

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Append a frame, uint8 (H, W, 3) RGB, of the same size as the others.

        :raises UserError: when it cannot be written (status 1)
        """
        if self._stream is None:
            self._shape = picture.shape
            self._stream = self._open_stream(picture.shape[0] * self._scale, picture.shape[1] * self._scale)
        elif picture.shape != self._shape:
            message = f"{self.path}: picture {self.frames} is of size {picture.shape}, not {self._shape}"
            raise UserError(message, status=1)
        rgb = av.VideoFrame.from_ndarray(picture, format="rgb24")
        yuv = self._to_yuv.reformat(rgb, format="yuv444p", dst_colorspace=Colorspace.ITU709)
        frame = self._enlarge.reformat(
            yuv, self._stream.width, self._stream.height, "yuv420p", interpolation=Interpolation.POINT
        )
        frame.colorspace, frame.color_range = Colorspace.ITU709, ColorRange.MPEG
        frame.pts, frame.time_base = self.frames, 1 / self._rate
        try:
            self._container.mux(self._stream.encode(frame))
        except OSError as error:
            raise self._unwritable(error) from error
        self.frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._part.unlink(missing_ok=True)

    def _open_stream(self, height: int, width: int) -> VideoStream:
        options = {"preset": PRESET, "crf": str(self._crf), "x264-params": FLAGS}
        stream = self._container.add_stream("libx264", rate=self._rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.thread_count = self._threads
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        return stream

    def _finish(self) -> None:
        if self._stream is None:
            raise UserError(f"{self.path}: there are no pictures to write", status=1)
        try:
            self._container.mux(self._stream.encode())
            self._container.close()
            os.chmod(self._part, 0o644)
            os.replace(self._part, self.path)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(f"cannot write {self.path}: {error.strerror or first_line(error)}", status=1)
