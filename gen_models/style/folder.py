"""The folder of a stylised video: settings, one picture for each finished frame of each pass.

A frame's picture is the state from which the next ones are made, also without a stop between them. So a stopped work
goes on with exactly the frames that it would have made.

Credits: Pillow (PNG, whose texts hold a frame's numbers).
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from common.errors import UserError
from common.files import read_bounded, write_atomic
from common.records import difference, plain
from common.run_folder import RunFolder, load_settings
from gen_models.images.pictures import BAD_PICTURE, MOST_BYTES, opened_picture, reason
from gen_models.style.options import StyleOptions

NUMBERS = "numbers"


@dataclass(frozen=True, kw_only=True)
class StyleRun:
    """Everything that decides the stylised frames on a processor.

    :param video, style: paths, as they were given
    :param video_digest, style_digest, features_digest: SHA-256 of the files
    """

    video: str
    video_digest: str
    style: str
    style_digest: str
    features_digest: str
    options: StyleOptions

    def check(self) -> None:
        """:raises UserError: for a number that is out of range"""
        self.options.check()


@dataclass(frozen=True)
class Numbers:
    """A finished frame's.

    :param losses: before their weights, by name
    :param seconds: that it took
    """

    iterations: int
    losses: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class StyleFolder:
    """The folder's files."""

    path: Path

    @property
    def video(self) -> Path:
        """The stylised video."""
        return self.path / "stylised.mp4"

    @property
    def sheet(self) -> Path:
        """Some frames, above as they were."""
        return self.path / "sheet.png"

    @property
    def measured(self) -> Path:
        """What was measured."""
        return self.path / "measured.json"

    @classmethod
    def open(cls, path: Path, run: StyleRun) -> StyleFolder:
        """Make the folder, or take one of the same settings to go on.

        :raises UserError: when it is of other settings, or cannot be written
        """
        settings = RunFolder(path).settings
        if path.exists():
            other = difference(load_settings(StyleRun, settings), run, ("video", "style"))
            if other:
                raise UserError(f"{path} was begun with {other}; choose another --output")
            return cls(path)
        RunFolder.create(path, yaml.safe_dump(plain(run), sort_keys=False))
        return cls(path)

    def frame(self, number: int, index: int) -> Path:
        """The picture of a frame.

        :param number: of the pass, from 1
        :param index: of the frame, from 0
        """
        return self.path / "frames" / f"pass-{number:02d}" / f"{index:06d}.png"

    def save(self, number: int, index: int, picture: NDArray[np.uint8], numbers: Numbers) -> None:
        """Write a finished frame, at once or not at all.

        :raises UserError: when the disk is full (status 1)
        """
        texts = PngInfo()
        texts.add_text(NUMBERS, json.dumps(plain(numbers)))
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG", pnginfo=texts)
        write_atomic(self.frame(number, index), file.getvalue())

    def load(self, number: int, index: int) -> tuple[NDArray[np.uint8], Numbers]:
        """A finished frame, uint8 (H, W, 3).

        :raises UserError: when it is damaged (status 1)
        """
        path = self.frame(number, index)
        try:
            with opened_picture(read_bounded(path, MOST_BYTES)) as picture:
                pixels = np.array(picture.convert("RGB"))
                found = json.loads(picture.info[NUMBERS])
            numbers = Numbers(int(found["iterations"]), dict(found["losses"]), float(found["seconds"]))
        except BAD_PICTURE as error:
            raise UserError(f"{path} is damaged ({reason(error)}); remove it and run the command again", 1) from error
        return pixels, numbers
