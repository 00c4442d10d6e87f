"""The device that a network runs on.

Credits: none.
"""

from __future__ import annotations

import torch

from common.errors import UserError


def usable_device(name: str) -> str:
    """A device that is there.

    :param name: ``auto`` (a GPU where there is one), or torch's name, such as ``cpu``, ``cuda:1``, ``mps``
    :raises UserError: when it is not there
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device '{name}' cannot be used here; choose --device cpu or auto") from error
    return str(device)
