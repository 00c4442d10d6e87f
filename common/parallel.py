"""A batch computed in parts, one processor thread each, in place of torch's own threads.

torch's threads meet at the end of every operation and spin meanwhile. Beside another process, or on a virtual machine
whose host is shared, one of them is often not running, and the others wait for it thousands of times a second:
docs/busy-machines.md has the figures. Here each thread computes its part of a batch from the first layer to the last,
with one torch thread, and they meet once. Which parts there are decides how sums are rounded; how many cores then work
on them does not.

Credits: Li et al. 2020 (arXiv 2006.15704, data-parallel training); Chen et al. 2016 (arXiv 1604.06174) and
``torch.utils.checkpoint`` for a function with gradients of its own inside another graph.
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

PARTS = 2  # of batches whose results have to be the same whatever the number of cores


def default_parts(device: str | torch.device, batch_size: int) -> int:
    """Into how many parts a run on this machine divides its batches: one for each of torch's threads, which are the
    cores unless ``OMP_NUM_THREADS`` says less; 1 on a GPU."""
    return min(torch.get_num_threads(), batch_size) if torch.device(device).type == "cpu" else 1


def slices(count: int, parts: int) -> list[slice]:
    """``count`` rows as consecutive slices whose lengths differ by at most 1; none is empty."""
    bounds = np.linspace(0, count, max(1, min(parts, count)) + 1).astype(int).tolist()
    return [slice(low, high) for low, high in itertools.pairwise(bounds)]


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """One torch thread in this thread, for work that is divided otherwise; afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_parts(function: Callable[[P], T], parts: Sequence[P]) -> list[T]:
    """Call a function for every part, at most one a core at a time, each with one torch thread.

    Inference mode and autocast on the processor hold in these threads as they do here.

    :return: results in the order of the parts
    :raises Exception: the first that the function raises, after all have ended
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
    """``function(*inputs)``, computed in parts, forwards and backwards.

    :param function: gives tensors of one row for each row of the inputs, and no row depends on another
    :param parameters: what gradients go to; none go to the inputs
    :param inputs: tensors of B rows
    :return: the function's tensors, whole; what they say of the parameters' gradients is the sum over the parts, in
        their order
    """
    rows = slices(len(inputs[0]), parts)
    if len(rows) == 1:
        return function(*inputs)
    learning = tuple(parameter for parameter in parameters if parameter.requires_grad)
    outputs: tuple[Tensor, ...] = _Divided.apply(function, rows, inputs, learning, *learning)
    return outputs


class _Divided(torch.autograd.Function):
    """Keeps the graph of each part until the gradients of its outputs are known."""

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
        """Gradients of the parameters."""

        def compute(number: int) -> tuple[Tensor | None, ...]:
            part = ctx.rows[number]
            pairs = [
                (output, gradient[part])
                for output, gradient in zip(ctx.outputs[number], gradients, strict=True)
                if output.requires_grad
            ]
            outputs, ours = zip(*pairs, strict=True)
            found: tuple[Tensor | None, ...] = torch.autograd.grad(outputs, ctx.parameters, ours, allow_unused=True)
            ctx.outputs[number] = None  # its graph is spent
            return found

        by_parameter = zip(*run_parts(compute, range(len(ctx.rows))), strict=True)
        return (None, None, None, None, *(_sum(found) for found in by_parameter))


def _sum(tensors: Sequence[Tensor | None]) -> Tensor | None:
    """From left to right, into the first; None where all are."""
    present = [tensor for tensor in tensors if tensor is not None]
    return functools.reduce(Tensor.add_, present) if present else None
