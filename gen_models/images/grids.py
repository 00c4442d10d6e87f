"""Pictures of many images: grids of tiles, captions, headings, and their arrangement.

A figure for a paper has a printed width in inches. Its letters are large enough to be legible at that width, and the
PNG carries the resolution, so that LaTeX prints it at that width by default.

Credits: Pillow.
"""

from __future__ import annotations

import base64
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

HALF_WIDTH = 3.3  # inches: one column of a two-column paper
FULL_WIDTH = 6.75  # inches: both columns
POINTS = 7.0  # of letters in figures, as printed


def grid(
    images: NDArray[np.uint8],
    columns: int,
    scale: int = 1,
    caption: str = "",
    labels: Sequence[str] | None = None,
    label_size: int = LABEL_SIZE,
) -> Image.Image:
    """Images in rows, from left to right and from top to bottom.

    :param images: uint8 (N, S, S, 3)
    :param columns: tiles a row
    :param scale: factor of enlargement; pixels are repeated
    :param caption: above the tiles, wrapped
    :param labels: a short text below each tile, cut if too wide
    :param label_size: of the labels' letters in pixels
    """
    count, side = len(images), images.shape[1] * scale
    columns = max(1, min(columns, count))
    font, small = ImageFont.load_default(FONT_SIZE), ImageFont.load_default(label_size)
    width = columns * (side + GAP) + GAP
    if caption:
        width = max(width, min(320, 2 * GAP + round(font.getlength(caption))))
    lines = _wrapped(caption, font, width - 2 * GAP)
    top = GAP + len(lines) * (FONT_SIZE + 4)
    step = side + GAP + (label_size + 4 if labels is not None else 0)
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


def tiles_of(
    sheet: Image.Image, columns: int, side: int, labelled: bool = False, label_size: int = LABEL_SIZE
) -> NDArray[np.uint8]:
    """Cut a picture that ``grid`` made without a caption into its tiles.

    :param columns: tiles a row
    :param side: of a tile in the picture, in pixels
    :param labelled: whether there are labels below the tiles
    :return: uint8 (rows x columns, side, side, 3), including empty places of the last row
    :raises ValueError: for a picture of another size
    """
    across, down = side + GAP, side + GAP + (label_size + 4 if labelled else 0)
    rows, rest = divmod(sheet.height - GAP, down)
    if sheet.width != columns * across + GAP or rest or rows < 1:
        raise ValueError(f"{sheet.width} x {sheet.height} pixels are not {columns} tiles of {side} a row")
    pixels = np.asarray(sheet.convert("RGB"))
    corners = [(GAP + row * down, GAP + column * across) for row in range(rows) for column in range(columns)]
    return np.stack([pixels[y : y + side, x : x + side] for y, x in corners])


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def text(words: str, width: int, size: int = FONT_SIZE, height: int = 0, centred: bool = False) -> Image.Image:
    """A picture of wrapped text.

    :param width: of the picture in pixels
    :param size: of the letters in pixels
    :param height: least height of the picture, in which the lines are centred
    :param centred: whether the lines are centred horizontally, too
    """
    font = ImageFont.load_default(size)
    lines = _wrapped(words, font, width - 2 * GAP)
    line_height = round(1.3 * size)
    sheet = Image.new("RGB", (width, max(height, len(lines) * line_height)), PAPER)
    draw = ImageDraw.Draw(sheet)
    top = (sheet.height - len(lines) * line_height) // 2
    for row, line in enumerate(lines):
        x = (width - font.getlength(line)) / 2 if centred else GAP
        draw.text((x, top + row * line_height), line, INK, font)
    return sheet


def letters(width: int, inches: float, points: float = POINTS) -> int:
    """The size of letters in pixels, in a picture ``width`` pixels wide that is printed ``inches`` wide."""
    return max(1, round(width * points / 72 / inches))


def captioned(sheet: Image.Image, caption: str, inches: float) -> Image.Image:
    """A picture with a caption above it that is legible when printed ``inches`` wide."""
    size = letters(sheet.width, inches)
    return stacked([text(caption, sheet.width, size), sheet], size // 3)


def beside(sheets: Sequence[Image.Image], gap: int = 16) -> Image.Image:
    """Pictures in a row, aligned at the top."""
    width = sum(sheet.width for sheet in sheets) + gap * (len(sheets) - 1)
    row = Image.new("RGB", (width, max(sheet.height for sheet in sheets)), PAPER)
    x = 0
    for sheet in sheets:
        row.paste(sheet, (x, 0))
        x += sheet.width + gap
    return row


def stacked(sheets: Sequence[Image.Image], gap: int = 16) -> Image.Image:
    """Pictures below each other, aligned at the left."""
    height = sum(sheet.height for sheet in sheets) + gap * (len(sheets) - 1)
    column = Image.new("RGB", (max(sheet.width for sheet in sheets), height), PAPER)
    y = 0
    for sheet in sheets:
        column.paste(sheet, (0, y))
        y += sheet.height + gap
    return column


def save_png(picture: Image.Image, path: Path, inches: float | None = None) -> None:
    """Write a picture atomically.

    :param inches: printed width, stored as the resolution
    :raises UserError: when the folder cannot be written (status 1)
    """
    file = io.BytesIO()
    dpi = {} if inches is None else {"dpi": (picture.width / inches,) * 2}
    picture.save(file, "PNG", optimize=True, **dpi)
    write_atomic(path, file.getvalue())


def data_url(image: NDArray[np.uint8]) -> str:
    """An image uint8 (S, S, 3) as a ``data:`` URL for a page, a PNG, unscaled."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
