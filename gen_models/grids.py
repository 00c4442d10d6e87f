"""Pictures of many images: a grid of tiles with a caption.

Credits: Pillow.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from common.files import write_atomic

GAP = 2
FONT_SIZE = 14
LABEL_SIZE = 11
PAPER = (255, 255, 255)
INK = (0, 0, 0)


def grid(
    images: NDArray[np.uint8],
    columns: int,
    scale: int = 1,
    caption: str = "",
    labels: Sequence[str] | None = None,
) -> Image.Image:
    """Images in rows, from left to right and from top to bottom.

    :param images: uint8 (N, S, S, 3)
    :param columns: tiles a row
    :param scale: each pixel becomes so many pixels wide and high
    :param caption: above the tiles, broken into lines where it is too wide
    :param labels: a short text below each tile, cut where it is too wide
    """
    count, side = len(images), images.shape[1] * scale
    columns = max(1, min(columns, count))
    font, small = ImageFont.load_default(FONT_SIZE), ImageFont.load_default(LABEL_SIZE)
    width = columns * (side + GAP) + GAP
    if caption:
        width = max(width, min(320, 2 * GAP + round(font.getlength(caption))))
    lines = _wrapped(caption, font, width - 2 * GAP)
    top = GAP + len(lines) * (FONT_SIZE + 4)
    step = side + GAP + (LABEL_SIZE + 4 if labels is not None else 0)
    sheet = Image.new("RGB", (width, top + -(-count // columns) * step), PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, line in enumerate(lines):
        draw.text((GAP, row * (FONT_SIZE + 4)), line, INK, font)
    for index, image in enumerate(images):
        x, y = GAP + index % columns * (side + GAP), top + index // columns * step
        sheet.paste(Image.fromarray(image.repeat(scale, axis=0).repeat(scale, axis=1)), (x, y))
        if labels is not None:
            text = labels[index]
            while text and small.getlength(text) > side:
                text = text[:-1]
            draw.text((x, y + side), text, INK, small)
    return sheet


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def beside(sheets: Sequence[Image.Image], gap: int = 16) -> Image.Image:
    """Pictures in a row, their tops level."""
    width = sum(sheet.width for sheet in sheets) + gap * (len(sheets) - 1)
    row = Image.new("RGB", (width, max(sheet.height for sheet in sheets)), PAPER)
    x = 0
    for sheet in sheets:
        row.paste(sheet, (x, 0))
        x += sheet.width + gap
    return row


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a picture, whole or not at all.

    :raises UserError: when the folder cannot be written (status 1)
    """
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    write_atomic(path, file.getvalue())
