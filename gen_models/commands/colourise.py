"""``run_pegasus.py colourise``: apply and measure; its training is ``gen_models.colourisation.trainer``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from common.device import usable_device
from common.errors import UserError, check_at_least
from common.files import check_new_output, new_folder, read_bounded, write_atomic
from common.progress import progress_of
from common.run_folder import RunFolder, check_name
from common.tables import print_table
from gen_models.colourisation.colouring import coloured_images, coloured_picture, grey_images, one_chroma, style_of
from gen_models.colourisation.measuring import chroma_error, contact_sheet, from_best_to_worst, mean_chroma, psnr
from gen_models.colourisation.options import ApplySettings, MeasureSettings
from gen_models.colourisation.settings import ColourisationSettings
from gen_models.colourisation.state import load_colouriser
from gen_models.images.grids import save_png
from gen_models.images.image_set import ImageSet, rgb_on_white
from gen_models.images.loaders import load_images
from gen_models.images.pictures import BAD_PICTURE, MOST_BYTES, SUFFIXES, opened_picture, reason

MOST_PIXELS = 8_000_000  # of a picture to colour: with the paper's widths its features take a gigabyte


def apply(user: ApplySettings) -> None:
    """Colour pictures into a new folder.

    :raises UserError: for a run that is none of a colouriser, a picture that cannot be read, and a folder that exists
    """
    output = user.output or _free(user.run)
    check_new_output(output)
    network, settings = load_colouriser(RunFolder(user.run), user.checkpoint, usable_device(user.device))
    files = _pictures(user.pictures)
    style = None
    if user.style is not None:
        if not settings.colouriser.global_features:
            raise UserError(f"--style: {user.run} was trained with --no-global-features, of which a style is made")
        style = style_of(network, _read(user.style))
    with progress_of("colouring") as progress, new_folder(output) as folder:
        for number, file in enumerate(files, start=1):
            save_png(Image.fromarray(coloured_picture(network, _read(file), style)), folder / f"{file.stem}.png")
            progress(number, len(files))
    print(f"{len(files)} coloured pictures are in {output}")


def _free(run: Path) -> Path:
    """``coloured``, ``coloured-2``, ... in the run folder, the first that does not exist."""
    number = 1
    while (path := run / ("coloured" if number == 1 else f"coloured-{number}")).exists():
        number += 1
    return path


def _pictures(paths: Sequence[Path]) -> list[Path]:
    """The pictures that were named, and those in the folders that were named.

    :raises UserError: when there are none, or two would get one name
    """
    files: list[Path] = []
    for path in paths:
        inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"{path} holds no pictures ({', '.join(sorted(SUFFIXES))})")
        files += inside
    if not files:
        raise UserError("no pictures named; give files or folders after the run folder")
    stems: dict[str, Path] = {}
    for file in files:
        if stems.setdefault(file.stem, file) is not file:
            raise UserError(f"{stems[file.stem]} and {file} would both become {file.stem}.png; colour one at a time")
    return files


def _read(file: Path) -> NDArray[np.uint8]:
    """A picture, uint8 (H, W, 3).

    :raises UserError: when it cannot be read, or is too large
    """
    try:
        with opened_picture(read_bounded(file, MOST_BYTES)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ValueError(f"it has more than {MOST_PIXELS // 10**6} million pixels; make it smaller")
            return np.array(rgb_on_white(picture))
    except BAD_PICTURE as error:
        raise UserError(f"cannot read {file}: {reason(error)}") from error


def measure(user: MeasureSettings) -> None:
    """Measure runs on test images.

    :raises UserError: for runs that are none of a colouriser, and images without a test part
    """
    check_at_least(1, {"--n": user.n, "--shown": user.shown, "--batch-size": user.batch_size})
    if not user.runs:
        raise UserError("no run named; give run folders after measure")
    output = user.runs[0] / check_name(user.name)
    check_new_output(output)
    device = usable_device(user.device)
    networks = [load_colouriser(RunFolder(run), user.checkpoint, device) for run in user.runs]
    settings = networks[0][1]
    images = _test_images(user, settings)
    training = _images(settings, settings.data.specs, settings.data.split)
    made = {"grey": grey_images(images), "mean colour": one_chroma(images, *mean_chroma(training.images))}
    names = _names([settings.name for _, settings in networks])
    for name, (network, _) in zip(names, networks, strict=True):
        made[name] = coloured_images(network, images, user.batch_size)
    errors = {name: (psnr(one, images), chroma_error(one, images)) for name, one in made.items()}
    chosen = from_best_to_worst(errors[names[0]][1], user.shown)
    rows = {"original": images, **{name: made[name] for name in ("grey", *names)}}
    shown = {name: one[chosen] for name, one in rows.items()}
    with new_folder(output) as folder:
        save_png(contact_sheet(shown, [f"{error:.0f}" for error in errors[names[-1]][1][chosen]]), folder / "sheet.png")
        numbers = {
            name: {"psnr": float(ratios.mean()), "chroma_error": float(distances.mean())}
            for name, (ratios, distances) in errors.items()
        }
        content = {"images": len(images), "checkpoint": user.checkpoint or "latest", "measured": numbers}
        write_atomic(folder / "measured.json", json.dumps(content, indent=1) + "\n")
    table = Table(title=f"{len(images):,} test images", box=None)
    for heading in ("", "PSNR, dB", "chroma error"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, (ratios, distances) in errors.items():
        table.add_row(name, f"{ratios.mean():.2f}", f"{distances.mean():.2f}")
    print_table(Console(), table)
    print(f"measured.json and sheet.png are in {output}")


def _names(names: Sequence[str]) -> list[str]:
    """Names of rows: runs of one name are numbered."""
    return [name if names.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(names, start=1)]


def _test_images(user: MeasureSettings, settings: ColourisationSettings) -> NDArray[np.uint8]:
    """Images at even intervals of the test part, uint8 (N, S, S, 3)."""
    if user.data is None and settings.data.split != "train":
        raise UserError(f"{user.runs[0]} was trained with --split {settings.data.split}; name other images with --data")
    images = _images(settings, user.data or settings.data.specs, "test").images
    return images[np.linspace(0, len(images) - 1, min(user.n, len(images))).round().astype(np.int64)]


def _images(settings: ColourisationSettings, specs: tuple[str, ...], split: str) -> ImageSet:
    data = dataclasses.replace(settings.data, specs=specs)
    classes = data.classes if specs == settings.data.specs else None
    part = "test" if split == "test" else data.split
    return load_images(specs, data.size, classes, part, Path(data.downloads), data.skip_bad)
