"""Devices, processes and precision of a training run.

Credits: accelerate.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from common.allocator import keep_freed_memory
from common.device import usable_device
from common.options import Precision

DEVICE_VARIABLE = "ACCELERATE_TORCH_DEVICE"


def build_accelerator(device: str, precision: Precision) -> Accelerator:
    """The accelerator of this process; with ``accelerate launch`` each process has its own device.

    :param device: as on the command line
    :param precision: ``float32`` or ``bfloat16``
    :raises UserError: when the device does not exist
    """
    name = usable_device(device)
    keep_freed_memory()
    if not torch.distributed.is_initialized():
        AcceleratorState._reset_state(reset_partial_state=True)  # a run before this one in the same process
    with _chosen(name) if ":" in name else contextlib.nullcontext():
        return Accelerator(mixed_precision="bf16" if precision == "bfloat16" else "no", cpu=name == "cpu")


@contextlib.contextmanager
def _chosen(device: str) -> Iterator[None]:
    """Among several GPUs, accelerate takes the one that this environment variable names while it starts."""
    before = os.environ.get(DEVICE_VARIABLE)
    os.environ[DEVICE_VARIABLE] = device
    try:
        yield
    finally:
        os.environ.pop(DEVICE_VARIABLE)
        if before is not None:
            os.environ[DEVICE_VARIABLE] = before
