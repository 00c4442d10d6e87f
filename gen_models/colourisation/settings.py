"""Settings of a colouriser's run: what ``colourise train`` makes of the command line's options and a preset's row.

Credits: Iizuka et al. 2016, section 4 (batches of 128, 200,000 steps); Zeiler 2012 (arXiv 1212.5701, Adadelta).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

from torch import Tensor

from common.errors import UserError, check_at_least, nearest
from common.run_folder import COLOURISER, RunFolder, check_name, load_settings, read_settings
from gen_models.colourisation.network import ColouriserSettings
from gen_models.colourisation.options import ColouriseTrainSettings
from gen_models.diffusion.conditions import Vocabulary
from gen_models.training.settings import BaseLearning, DataSettings, WholeBatchSettings


class ColouriserPreset(NamedTuple):
    """A row of ``PRESETS``: defaults of options that the command line leaves out."""

    data: tuple[str, ...]
    size: int
    width: int
    batch_size: int
    images: int
    checkpoint_every: int
    sample_every: int


# data, size, width, batch, images, checkpoint, samples
PRESETS = {
    "small": ColouriserPreset(("stl10", "cifar10"), 64, 16, 32, 250_000, 20_000, 50_000),
    "paper": ColouriserPreset(("stl10",), 224, 64, 128, 200_000 * 128, 500_000, 500_000),
    "smoke": ColouriserPreset(("sprites:64",), 32, 2, 16, 320, 160, 320),  # seconds, to check the installation
}


@dataclass(frozen=True, kw_only=True)
class ColourisationSettings(WholeBatchSettings):
    """Everything that decides the run of a colouriser, resolved.

    :param colouriser: the shape of the network
    :param class_weight: of the cross entropy of the classes in the loss
    """

    command: ClassVar[str] = "colourise"
    colouriser: ColouriserSettings
    class_weight: float

    @property
    def classifies(self) -> bool:
        """Whether the loss has a part for the classes."""
        return self.colouriser.global_features and self.class_weight > 0

    def check(self) -> None:
        """:raises UserError: for a number that is out of range"""
        super().check()
        self.colouriser.check()
        check_at_least(0, {"--class-weight": self.class_weight})
        if self.data.size != self.colouriser.size:
            raise UserError(f"images of {self.data.size} pixels do not fit a network for {self.colouriser.size}")

    def check_labels(self, labels: Tensor) -> None:
        """See ``BaseRunSettings``."""
        if self.classifies and len(labels[:, 0][labels[:, 0] > 0].unique()) < 2:
            raise UserError(
                f"{', '.join(self.data.specs)}: the classification loss needs images of two classes at least; "
                "give others, or --class-weight 0"
            )

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """See ``BaseRunSettings``."""
        content = read_settings(path)
        if isinstance(content, dict) and COLOURISER not in content:
            raise UserError(f"{path.parent} is not a run of colourise train; this takes no other")
        return load_settings(cls, path)


def is_colouriser(run: Path) -> bool:
    """Whether a run folder is that of a colouriser.

    :raises UserError: when it is no run folder
    """
    content = read_settings(RunFolder(run).settings)
    return isinstance(content, dict) and COLOURISER in content


def resolve_colouriser(user: ColouriseTrainSettings) -> ColourisationSettings:
    """Complete the command line's options from the preset.

    :raises UserError: for an unknown name, and for a number out of range
    """
    if user.preset not in PRESETS:
        raise UserError(f"unknown preset '{user.preset}' (known: {', '.join(PRESETS)}){nearest(user.preset, PRESETS)}")
    if user.precision == "bfloat16":
        raise UserError("--precision bfloat16: colourise computes in float32")
    given = {name: getattr(user, name) for name in ColouriserPreset._fields}
    row = PRESETS[user.preset]._replace(**{name: value for name, value in given.items() if value is not None})
    settings = ColourisationSettings(
        name=check_name(user.name or f"colour-{user.preset}-{user.seed}"),
        seed=user.seed,
        device=user.device,
        precision="float32",
        data=DataSettings(
            specs=row.data,
            size=row.size,
            classes=user.classes,
            split=user.split,
            downloads=str(user.downloads),
            skip_bad=user.skip_bad,
            unlabeled=user.unlabeled,
            attributes=False,
        ),
        vocabulary=Vocabulary(()),
        learning=BaseLearning(
            images=row.images,
            batch_size=row.batch_size,
            learning_rate=user.learning_rate,
            class_dropout=0.0,
            flips=user.flips,
            shift=user.shift,
        ),
        checkpoint_every=row.checkpoint_every,
        sample_every=row.sample_every,
        checkpoint_minutes=user.checkpoint_minutes,
        threads=1 if user.threads is None else user.threads,
        colouriser=ColouriserSettings(row.size, row.width, user.global_features),
        class_weight=user.class_weight,
    )
    settings.check()
    return settings
