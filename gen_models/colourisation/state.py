"""A colouriser's training as files of a checkpoint, and loading the network from them.

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
from gen_models.colourisation.network import Colouriser
from gen_models.colourisation.settings import ColourisationSettings
from gen_models.training.state import load_fitting

NETWORK = "colouriser.safetensors"
OPTIMIZER = "optimizer.pt"
STATE = "state.json"


def capture(network: Colouriser, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, bytes]:
    """The training state between two steps: weights, running statistics, the optimiser's averages.

    :param state: counters that JSON can hold
    :return: content by file name
    """
    memory = io.BytesIO()
    torch.save(optimizer.state_dict(), memory)
    return {
        NETWORK: weights(network),
        OPTIMIZER: memory.getvalue(),
        STATE: json.dumps(state, indent=1).encode(),
    }


def restore(checkpoint: Path, network: Colouriser, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Load a captured state into objects built from the same settings.

    :return: the counters
    :raises UserError: when the checkpoint is of another shape (status 1)
    """
    load_fitting(network, checkpoint / NETWORK, "network")
    device = next(network.parameters()).device
    optimizer.load_state_dict(torch.load(checkpoint / OPTIMIZER, weights_only=True, map_location=device))
    counters: dict[str, Any] = json.loads((checkpoint / STATE).read_text())
    return counters


def load_colouriser(
    run: RunFolder, checkpoint: str | None = None, device: str = "cpu"
) -> tuple[Colouriser, ColourisationSettings]:
    """A run's network, ready to colour pictures.

    :param checkpoint: its name; None for the latest
    :param device: torch's name
    :raises UserError: when the run, the checkpoint or its weights do not exist or do not fit
    """
    settings = ColourisationSettings.from_yaml(run.settings)
    path = choose_checkpoint(run.checkpoints, checkpoint)
    network = Colouriser(settings.colouriser, len(settings.vocabulary.classes))
    load_fitting(network, path / NETWORK, "network")
    return network.eval().requires_grad_(False).to(device), settings
