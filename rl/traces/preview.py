"""A small animation of an episode for TensorBoard, made while its video is rendered.

TensorBoard shows GIF files that are stored as images. A preview has at most 150 frames, ten per second, and takes at
most 1 MB. It plays at the speed of the game, or faster if the game is longer than 15 seconds.

Credits: Pillow (GIF); TensorBoard's event files; PyTorch's ``SummaryWriter.add_video``, which stores GIFs so.
"""

from __future__ import annotations

import io
import math
import time
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from rl.traces.playback import Picture

MAX_PICTURES = 150
MAX_FPS = 10
MAX_HEIGHT = 210
MAX_BYTES = 1_000_000


class Preview:
    """Collects every k-th frame of an episode.

    :param fps: frames per second of the episode
    :param expected: expected number of frames, from which k is chosen
    """

    def __init__(self, fps: float, expected: int) -> None:
        self.every = max(math.ceil(fps / MAX_FPS), math.ceil(expected / MAX_PICTURES))
        self.seconds = math.ceil(fps / MAX_FPS) / fps  # for which a frame is shown
        self._count = 0
        self._pictures: list[Image.Image] = []

    def add(self, picture: Picture) -> None:
        """Add the next frame, uint8 (H, W, 3) RGB; it is kept if it is a k-th one."""
        if self._count % self.every == 0:
            step = math.ceil(picture.shape[0] / MAX_HEIGHT)
            small = Image.fromarray(np.ascontiguousarray(picture[::step, ::step]))
            self._pictures.append(small.convert("P", palette=Image.Palette.ADAPTIVE))
        self._count += 1

    def gif(self) -> tuple[bytes, tuple[int, int]]:
        """The animation as GIF, and its width and height in pixels.

        Every second frame is dropped until the file is small enough.
        """
        pictures, seconds = self._pictures, self.seconds
        while True:
            file = io.BytesIO()
            duration = round(1000 * seconds)
            first, *others = pictures
            first.save(file, "GIF", save_all=True, append_images=others, duration=duration, loop=0)
            if file.tell() <= MAX_BYTES or len(pictures) == 1:
                return file.getvalue(), first.size
            pictures, seconds = pictures[::2], 2 * seconds


def write_preview(folder: Path, preview: Preview, step: int, tag: str = "games/video") -> None:
    """Write the animation to a new event file in a TensorBoard folder.

    :param step: its position on TensorBoard's axis, agent steps
    """
    gif, (width, height) = preview.gif()
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=gif)
    summary = Summary(value=[Summary.Value(tag=tag, image=image)])
    writer = EventFileWriter(str(folder), filename_suffix=".video")
    try:
        writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
    finally:
        writer.close()
