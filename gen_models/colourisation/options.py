"""The options of ``run_pegasus.py colourise``, one dataclass for each of its commands.

Credits: CleanRL (Huang et al. 2022, JMLR 23) for one dataclass whose field texts are the command line's help.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from common.options import Command
from gen_models.options import BatchSize, Checkpoint, DataOptions, Device, MachineOptions, RunOptions

CLASS_WEIGHT = 1 / 300


@dataclass(frozen=True, kw_only=True)
class ColouriserOptions:
    """The network, and its optimisation."""

    preset: str = "small"
    """A row of settings: small (an hour of a core), paper (the paper's widths, for a GPU) or smoke. Other options take
    precedence over it."""
    width: int | None = None
    """Channels of the first layer, of which the others have multiples; the paper's are 64. Default: the preset's."""
    global_features: bool = True
    """Features of the whole picture, beside those of each place; without them there is nothing to classify."""
    class_weight: float = CLASS_WEIGHT
    """Weight of the classification loss beside the mean squared error of the chroma; 0 for none."""
    batch_size: int | None = None
    """Images a step. Default: the preset's."""
    learning_rate: float = 1.0
    """Factor of Adadelta's steps."""


@dataclass(frozen=True, kw_only=True)
class ColouriseTrainSettings(RunOptions, DataOptions, ColouriserOptions, MachineOptions, Command):
    """Train a network that colours grey pictures, and leave a run folder; resume goes on with it."""


@dataclass(frozen=True)
class ApplySettings(Command):
    """Colour pictures of any size with a trained run."""

    run: Positional[Path]
    """The run folder."""
    pictures: Positional[tuple[Path, ...]]
    """Pictures, or folders of them. Of pictures with colours the lightness alone is used."""
    style: Path | None = None
    """A picture whose global features are used instead of those of each picture."""
    output: Path | None = None
    """The new folder. Default: coloured, coloured-2, ... in the run folder."""
    checkpoint: Checkpoint = None
    device: Device = "auto"


@dataclass(frozen=True)
class MeasureSettings(Command):
    """Measure trained runs on test images, beside grey and the mean colour; leaves a table and a contact sheet."""

    runs: Positional[tuple[Path, ...]]
    """Run folders. The first one's images are used, and the table and the sheet are in it."""
    data: tuple[str, ...] | None = None
    """Other images, of their test part, as for train. Default: those of the first run."""
    n: int = 1000
    """Test images, at even intervals of all; fewer if there are fewer."""
    shown: int = 12
    """Images on the contact sheet, from the first run's best to its worst at even intervals."""
    name: str = "measured"
    """Name of the new folder in the first run's folder."""
    checkpoint: Checkpoint = None
    batch_size: BatchSize = 32
    device: Device = "auto"
