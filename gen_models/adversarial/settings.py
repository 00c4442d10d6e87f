"""Settings of a DCGAN's run: what ``train --model dcgan`` makes of the command line's options and a preset's row.

Images, their number and the intervals are the preset's; rate, batch and momentum are Radford et al.'s.

Credits: Radford et al. 2016 (arXiv 1511.06434, section 4: Adam with rate 0.0002 and momentum 0.5, batches of 128).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from common.errors import UserError
from common.run_folder import ADVERSARIAL, RunFolder, check_name, load_settings, read_settings
from gen_models.adversarial.dcgan import DCGANSettings
from gen_models.diffusion.conditions import Vocabulary
from gen_models.options import DenoiserOptions, LearningOptions, TrainSettings
from gen_models.training.settings import (
    BaseLearning,
    BaseRunSettings,
    RunSettings,
    WholeBatchSettings,
    data_settings,
    preset_row,
)

BATCH_SIZE = 128
LEARNING_RATE = 2e-4
BETAS = (0.5, 0.999)  # Adam's
SHARED = ("batch_size", "learning_rate", "class_dropout")  # options of the learning that a DCGAN has, too


@dataclass(frozen=True, kw_only=True)
class AdversarialSettings(WholeBatchSettings):
    """Everything that decides the run of a DCGAN, resolved.

    :param dcgan: the shape of both networks
    """

    command: ClassVar[str] = "--model dcgan"
    dcgan: DCGANSettings

    def check(self) -> None:
        """:raises UserError: for a number that is out of range"""
        super().check()
        self.dcgan.check()
        if self.data.size != self.dcgan.size:
            raise UserError(f"images of {self.data.size} pixels do not fit networks for {self.dcgan.size}")

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """See ``BaseRunSettings``."""
        return load_settings(cls, path)


def is_adversarial(run: Path) -> bool:
    """Whether a run folder is that of a DCGAN.

    :raises UserError: when it is no run folder
    """
    content = read_settings(RunFolder(run).settings)
    return isinstance(content, dict) and ADVERSARIAL in content


def settings_of_run(run: Path) -> BaseRunSettings:
    """The settings of a run of either model.

    :raises UserError: when it is no run folder, or its settings are not valid
    """
    kind: type[BaseRunSettings] = AdversarialSettings if is_adversarial(run) else RunSettings
    return kind.from_yaml(RunFolder(run).settings)


def resolve_adversarial(user: TrainSettings) -> AdversarialSettings:
    """Complete the command line's options for a DCGAN from the preset.

    :raises UserError: for an unknown name, a number out of range, and an option of the denoiser
    """
    for options in (DenoiserOptions, LearningOptions):
        for field in dataclasses.fields(options):
            if field.name not in SHARED and getattr(user, field.name) != field.default:
                raise UserError(
                    f"--{field.name.replace('_', '-')} is an option of the denoiser; --model dcgan has none"
                )
    if user.precision == "bfloat16":
        raise UserError("--precision bfloat16: --model dcgan computes in float32")
    row = preset_row(user)
    data = data_settings(user, row)
    # Attributes are no conditions of a DCGAN: they are looked for only where they decide which images come more often.
    data = dataclasses.replace(data, attributes=data.attributes and bool(data.labels or data.oversample))
    settings = AdversarialSettings(
        name=check_name(user.name or f"dcgan-{user.preset}-{user.seed}"),
        seed=user.seed,
        device=user.device,
        precision="float32",
        data=data,
        vocabulary=Vocabulary(()),
        learning=BaseLearning(
            images=row.images,
            batch_size=user.batch_size or BATCH_SIZE,
            learning_rate=user.learning_rate or LEARNING_RATE,
            class_dropout=user.class_dropout,
            flips=user.flips,
            shift=user.shift,
        ),
        checkpoint_every=row.checkpoint_every,
        sample_every=row.sample_every,
        checkpoint_minutes=user.checkpoint_minutes,
        threads=1 if user.threads is None else user.threads,
        dcgan=DCGANSettings(row.size, conditional=user.conditional),
    )
    settings.check()
    return settings
