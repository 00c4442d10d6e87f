"""Train the generative model of a submission: again with the submitted settings, or with others; sample from it.

    python -m submission.train_images                        # the settings.yml beside the program's folders
    python -m submission.train_images train --preset smoke
    python -m submission.train_images resume runs/pegasus/other
    python -m submission.train_images sample runs/pegasus/other --weights horse+spread=4

Credits: tyro for the command line; see the other files for what the training builds on.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

from common.cli import run_cli
from gen_models.options import ResumeSettings, SampleSettings, TrainSettings
from gen_models.training.loop import resume, train
from gen_models.training.settings import RunSettings
from submission.again import AgainSettings


def again(user: AgainSettings) -> None:
    """Train; the results are in ``RUNS/pegasus/NAME``.

    :raises UserError: for settings that cannot be read, images that are missing, or a folder that exists
    """
    settings = options_of(RunSettings.from_yaml(user.settings))
    beside = user.settings.resolve().parent
    labels = tuple(str(beside / label) for label in settings.labels)
    seed, name = user.seed, user.name
    train(
        dataclasses.replace(
            settings,
            seed=settings.seed if seed is None else seed,
            name=name or settings.name,
            runs=user.runs,
            labels=labels,
        )
    )


def options_of(settings: RunSettings) -> TrainSettings:
    """The options that give a run's settings again. The device is chosen anew."""
    parts: tuple[Any, ...] = (settings, settings.learning, settings.data, settings.denoiser, settings.noise)
    found: dict[str, Any] = {}
    for field in dataclasses.fields(TrainSettings):
        for part in parts:
            if hasattr(part, field.name):
                found[field.name] = getattr(part, field.name)
                break
    found |= {"data": settings.data.specs, "device": "auto", "downloads": Path(settings.data.downloads)}
    return TrainSettings(**found)


if __name__ == "__main__":
    sys.exit(
        run_cli(
            {
                "again": (AgainSettings, again),
                "train": (TrainSettings, train),
                "resume": (ResumeSettings, resume),
                "sample": (SampleSettings, "gen_models.commands.sample:sample"),
            },
            sys.argv[1:] or ["again"],
            about=__doc__,
        )
    )
