"""Divides a batch among threads, in place of torch's own parallelism.

torch's threads synchronise after every operation, by spinning. Beside another process, or on a virtual machine with a
shared host, one of them is often not running, and the others wait for it thousands of times per second:
docs/busy-machines.md has measurements. Here each thread computes its part of a batch from the first layer to the last,
with one torch thread, and they synchronise once. Rounding depends on the number of parts, not on the number of cores.

Credits: Li et al. 2020 (arXiv 2006.15704, data-parallel training); Chen et al. 2016 (arXiv 1604.06174) and
``torch.utils.checkpoint`` for a function that computes its own gradients inside another graph.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from common.processors import cores

P = TypeVar("P")
T = TypeVar("T")
Function = Callable[..., tuple[Tensor, ...]]

PARTS = 2  # where results must not depend on the number of cores


def default_parts(device: str | torch.device, batch_size: int) -> int:
    """The number of parts for this machine: that of torch's threads on a processor, 1 on a GPU.

    torch has one thread per core, or ``OMP_NUM_THREADS``.
    """
    return min(torch.get_num_threads(), batch_size) if torch.device(device).type == "cpu" else 1


def slices(count: int, parts: int) -> list[slice]:
    """Divide ``count`` rows into at most ``parts`` consecutive slices, whose lengths differ by at most 1."""
    bounds = np.linspace(0, count, max(1, min(parts, count)) + 1).astype(int).tolist()
    return [slice(low, high) for low, high in itertools.pairwise(bounds)]


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Set the number of torch's threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def one_torch_thread() -> contextlib.AbstractContextManager[None]:
    """Set the number of torch's threads to 1 inside the block, for work that is divided in another way."""
    return torch_threads(1)


def run_parts(function: Callable[[P], T], parts: Sequence[P]) -> list[T]:
    """Call a function for every part, in one thread per core, each with one torch thread.

    The threads have the caller's inference mode and autocast settings.

    :return: results in the order of the parts
    :raises Exception: the first error of the function, after all calls have ended
    """
    if len(parts) <= 1:
        with one_torch_thread():
            return [function(part) for part in parts]
    call = functools.partial(
        _call,
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
        function,
    )
    futures = [_pool(min(len(parts), cores())).submit(call, part) for part in parts]
    wait(futures)
    return [future.result() for future in futures]


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "part", initializer=torch.set_num_threads, initargs=(1,))


def _call(inference: bool, autocast: bool, dtype: torch.dtype, function: Callable[[P], T], part: P) -> T:
    with torch.inference_mode(inference), torch.autocast("cpu", dtype, enabled=autocast):
        return function(part)


def divided(function: Function, parameters: Sequence[Tensor], parts: int, *inputs: Tensor) -> tuple[Tensor, ...]:
    """``function(*inputs)``, forward and backward computed in parts.

    :param function: returns tensors with a row for each row of the inputs; rows must be independent of each other
    :param parameters: the tensors that get gradients; the inputs get none
    :param parts: number of parts
    :param inputs: tensors of B rows
    :return: the function's tensors for all rows; gradients of the parameters are summed over the parts in their order
    """
    rows = slices(len(inputs[0]), parts)
    if len(rows) == 1:
        return function(*inputs)
    learning = tuple(parameter for parameter in parameters if parameter.requires_grad)
    outputs: tuple[Tensor, ...] = _Divided.apply(function, rows, inputs, learning, *learning)
    return outputs


class _Divided(torch.autograd.Function):
    """Keeps the graphs of the parts for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        function: Function,
        rows: list[slice],
        inputs: Sequence[Tensor],
        parameters: Sequence[Tensor],
        *_: Tensor,
    ) -> tuple[Tensor, ...]:
        """See ``divided``."""

        def compute(part: slice) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                return function(*(tensor[part] for tensor in inputs))

        ctx.rows, ctx.parameters = rows, parameters
        ctx.outputs = run_parts(compute, rows)
        return tuple(torch.cat([tensor.detach() for tensor in whole]) for whole in zip(*ctx.outputs, strict=True))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the parameters."""

        def compute(number: int) -> tuple[Tensor | None, ...]:
            part = ctx.rows[number]
            pairs = [
                (output, gradient[part])
                for output, gradient in zip(ctx.outputs[number], gradients, strict=True)
                if output.requires_grad
            ]
            outputs, ours = zip(*pairs, strict=True)
            found: tuple[Tensor | None, ...] = torch.autograd.grad(outputs, ctx.parameters, ours, allow_unused=True)
            ctx.outputs[number] = None  # frees the graph
            return found

        by_parameter = zip(*run_parts(compute, range(len(ctx.rows))), strict=True)
        return (None, None, None, None, *(_sum(found) for found in by_parameter))


def _sum(tensors: Sequence[Tensor | None]) -> Tensor | None:
    """The sum from left to right, in place in the first tensor; None when all are None."""
    present = [tensor for tensor in tensors if tensor is not None]
    return functools.reduce(Tensor.add_, present) if present else None
