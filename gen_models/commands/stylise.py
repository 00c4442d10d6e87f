"""``run_pegasus.py stylise``: a video in the style of a picture.

Credits: M. Ruder, A. Dosovitskiy, T. Brox 2016, arXiv 1604.08610.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.device import usable_device
from common.files import write_atomic
from common.parallel import one_torch_thread
from common.progress import ProgressLine, progress_of
from common.run_folder import RunFolder
from common.signals import StopSignals
from common.video import Mp4Writer
from gen_models.classifiers.classifier import WEIGHTS_FILE
from gen_models.images.grids import save_png
from gen_models.images.image_set import to_model_space
from gen_models.style.clips import Clip, digest, read_clip, read_style
from gen_models.style.consistency import warped_error
from gen_models.style.features import FeatureNetwork, load_features
from gen_models.style.folder import Numbers, StyleFolder, StyleRun
from gen_models.style.losses import Losses
from gen_models.style.options import StyleOptions, StyliseSettings
from gen_models.style.transfer import Transfer

SCALE = 2
CRF = 23
SHEET = 6  # frames on the sheet


def stylise(user: StyliseSettings) -> None:
    """Make the frames that are missing, then the video, a sheet and what was measured.

    :raises UserError: for a video, picture or number that cannot be used, or a folder of other settings
    :raises Interrupted: after a signal; the finished frames are kept
    """
    options = StyleOptions(**{field.name: getattr(user, field.name) for field in dataclasses.fields(StyleOptions)})
    options.check()
    device = usable_device(user.device)
    clip = read_clip(user.video, options)
    style = read_style(user.style, max(clip.frames.shape[1:3]))
    with progress_of("features") as progress:
        classifier = load_features(user.features, user.data, user.downloads, device, progress)
    losses = Losses(FeatureNetwork(classifier), to_model_space(style[None], device), options)
    run = StyleRun(
        video=str(user.video), video_digest=digest(user.video), style=str(user.style), style_digest=digest(user.style),
        features_digest=digest(user.features / WEIGHTS_FILE), options=options,
    )  # fmt: skip
    output = user.output or Path("runs") / "style" / f"{user.video.stem}-{user.style.stem}"
    folder = StyleFolder.open(output, run)
    with RunFolder(output).lock():
        transfer = Transfer(clip.frames, losses, folder, device)
        make_frames(transfer)
        finish(folder, clip, *transfer.result())


def make_frames(transfer: Transfer) -> None:
    """Make the frames, with progress; a signal stops the work after the frame in hand.

    :raises Interrupted: after a signal
    """
    done = transfer.done
    line = ProgressLine(transfer.total, done, lambda elapsed: f"frame {done:,} of {transfer.total:,}")
    signals = StopSignals("the same command")

    def after_frame() -> None:
        nonlocal done
        done += 1
        line.update(done)
        if signals.received is not None:
            raise signals.interrupted(transfer.folder.path)

    signals.open()
    try:
        with one_torch_thread():
            transfer.run(after_frame)
    finally:
        signals.close()
        line.close()


def finish(folder: StyleFolder, clip: Clip, stylised: NDArray[np.uint8], numbers: list[Numbers]) -> None:
    """Write video, sheet and ``measured.json``, and print what was measured.

    :param numbers: of each frame of each pass; the losses are those of the last pass
    """
    with Mp4Writer(folder.video, clip.fps, SCALE, title=folder.path.name, crf=CRF) as video:
        for picture in stylised:
            video.add(picture)
    save_png(sheet(clip.frames, stylised), folder.sheet)
    last = numbers[-len(stylised) :]
    measured = {
        "frames": len(stylised),
        "warped_error": warped_error(clip.frames, stylised),
        "warped_error_of_the_source": warped_error(clip.frames, clip.frames),
        "seconds_a_frame": sum(one.seconds for one in numbers) / len(stylised),
        "iterations_a_frame": sum(one.iterations for one in numbers) / len(stylised),
        **{f"{name}_loss": sum(one.losses[name] for one in last) / len(last) for name in last[0].losses},
    }
    write_atomic(folder.measured, json.dumps(measured, indent=2) + "\n")
    print(
        f"{folder.video}: {len(stylised)} frames, {measured['seconds_a_frame']:.1f} s a frame; warped error "
        f"{measured['warped_error']:.5f} (of the video itself {measured['warped_error_of_the_source']:.5f})"
    )


def sheet(source: NDArray[np.uint8], stylised: NDArray[np.uint8]) -> Image.Image:
    """Frames from the first to the last: above as they were, below stylised."""
    chosen = np.unique(np.linspace(0, len(source) - 1, SHEET).round().astype(int))
    return Image.fromarray(np.concatenate([np.concatenate(list(rows[chosen]), axis=1) for rows in (source, stylised)]))
