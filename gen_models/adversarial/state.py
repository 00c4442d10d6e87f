"""A DCGAN's training as files of a checkpoint, and loading a generator from them.

As for the denoiser there is no state of random generators: the random numbers of a step follow from the seed and the
step. Nothing is pickled.

Credits: safetensors.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import torch

from common.checkpoints import choose_checkpoint
from common.run_folder import RunFolder
from common.weights import weights
from gen_models.adversarial.dcgan import Discriminator, Generator
from gen_models.adversarial.settings import AdversarialSettings
from gen_models.training.state import load_fitting

GENERATOR = "generator.safetensors"
DISCRIMINATOR = "discriminator.safetensors"
OPTIMIZERS = "optimizers.pt"
STATE = "state.json"


def capture(
    generator: Generator, discriminator: Discriminator, optimizers: tuple[Any, Any], state: dict[str, Any]
) -> dict[str, bytes]:
    """The training state between two steps: weights and running statistics of both networks, both optimisers.

    :param optimizers: the generator's and the discriminator's
    :param state: counters that JSON can hold
    :return: content by file name
    """
    memory = io.BytesIO()
    torch.save([optimizer.state_dict() for optimizer in optimizers], memory)
    return {
        GENERATOR: weights(generator),
        DISCRIMINATOR: weights(discriminator),
        OPTIMIZERS: memory.getvalue(),
        STATE: json.dumps(state, indent=1).encode(),
    }


def restore(
    checkpoint: Path, generator: Generator, discriminator: Discriminator, optimizers: tuple[Any, Any]
) -> dict[str, Any]:
    """Load a captured state into objects built from the same settings.

    :return: the counters
    :raises UserError: when the checkpoint is of another shape (status 1)
    """
    load_fitting(generator, checkpoint / GENERATOR, "networks")
    load_fitting(discriminator, checkpoint / DISCRIMINATOR, "networks")
    device = next(generator.parameters()).device
    kept = torch.load(checkpoint / OPTIMIZERS, weights_only=True, map_location=device)
    for optimizer, state in zip(optimizers, kept, strict=True):
        optimizer.load_state_dict(state)
    counters: dict[str, Any] = json.loads((checkpoint / STATE).read_text())
    return counters


def load_generator(
    run: RunFolder, checkpoint: Path | None = None, device: str = "cpu"
) -> tuple[Generator, AdversarialSettings]:
    """A run's generator, ready to sample from.

    :param checkpoint: as ``choose_checkpoint`` gives it; None for the latest
    :param device: torch's name
    :raises UserError: when the run, the checkpoint or its weights do not exist or do not fit
    """
    settings = AdversarialSettings.from_yaml(run.settings)
    path = checkpoint or choose_checkpoint(run.checkpoints, None)
    generator = Generator(settings.dcgan, len(settings.vocabulary.classes))
    load_fitting(generator, path / GENERATOR, "networks")
    return generator.eval().requires_grad_(False).to(device), settings
