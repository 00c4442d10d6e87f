"""The training state as files of a checkpoint, and loading a denoiser from them.

There is no state of random generators: the random numbers of a step follow from the seed and the step, see
``gen_models.training.data``. Nothing is pickled: tensors are safetensors, or torch's own format read with
``weights_only=True``; the rest is JSON.

Credits: diffusers' ``EMAModel``; Karras et al. 2024 (arXiv 2312.02696, averages of weights as a power of the steps).
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from diffusers.training_utils import EMAModel
from torch import nn

from common.checkpoints import choose_checkpoint
from common.errors import UserError, first_line
from common.run_folder import RunFolder
from common.weights import load_weights, weights
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.denoiser import Denoiser
from gen_models.diffusion.label_maps import planes_of
from gen_models.diffusion.noise import Noise
from gen_models.training.settings import LearningSettings, RunSettings

DENOISER = "denoiser.safetensors"
EMA = "ema.safetensors"
OPTIMIZER = "optimizer.pt"
STATE = "state.json"


def build_ema(denoiser: Denoiser, learning: LearningSettings) -> EMAModel:
    """A new moving average of the weights."""
    return EMAModel(
        denoiser.parameters(),
        decay=learning.ema_decay,
        use_ema_warmup=True,
        power=learning.ema_power,
        foreach=True,
    )


def capture(denoiser: Denoiser, ema: EMAModel, optimizer: Any, state: dict[str, Any]) -> dict[str, bytes]:
    """The training state between two steps.

    :param state: counters that JSON can hold
    :return: content by file name
    """
    memory = io.BytesIO()
    torch.save(optimizer.state_dict(), memory)
    names = [name for name, _ in denoiser.named_parameters()]
    average = dict(zip(names, ema.shadow_params, strict=True))
    return {
        DENOISER: weights(denoiser),
        EMA: safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in average.items()}),
        OPTIMIZER: memory.getvalue(),
        STATE: json.dumps({**state, "ema_steps": ema.optimization_step}, indent=1).encode(),
    }


def restore(checkpoint: Path, denoiser: Denoiser, ema: EMAModel, optimizer: Any) -> dict[str, Any]:
    """Load a captured state into objects built from the same settings.

    :return: the counters
    :raises UserError: when the checkpoint is of another shape (status 1), or of a packed copy
    """
    if not (checkpoint / OPTIMIZER).exists():
        raise UserError(
            f"{checkpoint} has no {OPTIMIZER}: a packed copy cannot be resumed; resume the run it was made of"
        )
    load_fitting(denoiser, checkpoint / DENOISER, "denoiser")
    average = safetensors.torch.load_file(checkpoint / EMA)
    for (name, _), shadow in zip(denoiser.named_parameters(), ema.shadow_params, strict=True):
        shadow.copy_(average[name])
    device = next(denoiser.parameters()).device
    optimizer.load_state_dict(torch.load(checkpoint / OPTIMIZER, weights_only=True, map_location=device))
    state: dict[str, Any] = json.loads((checkpoint / STATE).read_text())
    ema.optimization_step = int(state["ema_steps"])
    return state


@contextlib.contextmanager
def averaged_weights(denoiser: nn.Module, ema: EMAModel) -> Iterator[None]:
    """The averaged weights inside the context; afterwards exactly the training's own."""
    ema.store(denoiser.parameters())
    ema.copy_to(denoiser.parameters())
    try:
        yield
    finally:
        ema.restore(denoiser.parameters())


def load_denoiser(
    run: RunFolder, checkpoint: Path | None = None, ema: bool = True, device: str = "cpu"
) -> tuple[Denoiser, Vocabulary, Noise, RunSettings]:
    """A run's denoiser, ready to sample from.

    :param checkpoint: as ``choose_checkpoint`` gives it; None for the latest
    :param ema: the averaged weights rather than the last ones
    :param device: torch's name
    :raises UserError: when the run, the checkpoint or its weights do not exist or do not fit
    """
    settings = RunSettings.from_yaml(run.settings)
    path = checkpoint or choose_checkpoint(run.checkpoints, None)
    denoiser = Denoiser(settings.denoiser, settings.vocabulary.sizes, planes_of(settings.vocabulary))
    load_fitting(denoiser, path / (EMA if ema else DENOISER), "denoiser")
    return denoiser.eval().requires_grad_(False).to(device), settings.vocabulary, settings.noise, settings


def load_fitting(network: nn.Module, file: Path, what: str) -> None:
    """Load a network's weights from a checkpoint's file.

    :param what: the network, as the error names it
    :raises UserError: when the file is missing or damaged, or of another shape (status 1)
    """
    try:
        load_weights(network, file)
    except (safetensors.SafetensorError, RuntimeError, OSError) as error:
        why = first_line(error).rstrip(":")
        raise UserError(
            f"{file} does not fit the {what} of settings.yml ({why}); restore settings.yml from a copy", status=1
        ) from error
