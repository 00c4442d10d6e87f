"""Batches in parts: values and gradients as undivided, whatever the number of cores, and one torch thread each.

Credits: PyTorch's autograd, the reference.
"""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor, nn

from common import parallel
from common.parallel import default_parts, divided, one_torch_thread, run_parts, slices


def test_slices_are_consecutive_and_as_equal_as_can_be() -> None:
    assert slices(7, 3) == [slice(0, 2), slice(2, 4), slice(4, 7)]
    assert slices(2, 5) == [slice(0, 1), slice(1, 2)]
    assert slices(4, 1) == [slice(0, 4)]


def test_gradients_worked_out_by_hand() -> None:
    w = torch.tensor([2.0, -1.0], requires_grad=True)
    unused = torch.tensor([5.0], requires_grad=True)
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    (y,) = divided(lambda rows: (rows @ w,), [w, unused], 2, x)
    assert y.tolist() == [0.0, 2.0, 4.0]
    (y * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert w.grad is not None and w.grad.tolist() == [1 + 30 + 500, 2 + 40 + 600]
    assert unused.grad is None


def test_values_that_carry_no_gradient_pass_through() -> None:
    w = torch.tensor([3.0], requires_grad=True)
    loss, error = divided(lambda rows: (rows * w, (rows * w).detach()), [w], 3, torch.ones(3, 1))
    assert error.tolist() == [[3.0], [3.0], [3.0]]
    loss.sum().backward()
    assert w.grad is not None and w.grad.tolist() == [3.0]


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv2d(8, 3, 3, padding=1))


def gradients(network: nn.Module, parts: int) -> list[Tensor]:
    images = torch.randn(9, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    (out,) = divided(lambda x: (network(x),), list(network.parameters()), parts, images)
    return list(torch.autograd.grad(out.square().mean(), list(network.parameters())))


def test_as_undivided_up_to_rounding(network: nn.Module) -> None:
    for ours, whole in zip(gradients(network, 2), gradients(network, 1), strict=True):
        torch.testing.assert_close(ours, whole, rtol=1e-4, atol=1e-6)


def test_the_cores_change_no_bit(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 4)
    many = gradients(network, 3)
    monkeypatch.setattr(parallel, "cores", lambda: 1)
    assert all(torch.equal(a, b) for a, b in zip(many, gradients(network, 3), strict=True))


def test_each_part_has_a_thread_with_one_torch_thread_and_the_callers_modes() -> None:
    def look(part: int) -> tuple[int, bool, bool, str]:
        modes = torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
        return torch.get_num_threads(), *modes, threading.current_thread().name

    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = run_parts(look, [0, 1])
    assert [row[:3] for row in found] == [(1, True, True)] * 2
    assert all(row[3].startswith("part") for row in found)
    assert [row[1:3] for row in run_parts(look, [0, 1])] == [(False, False)] * 2


def test_results_come_in_order_and_the_first_error_is_raised_when_all_have_ended() -> None:
    ended = []

    def work(part: int) -> int:
        if part == 1:
            raise ValueError("part 1")
        ended.append(part)
        return part

    assert run_parts(lambda part: part, [3, 1, 2]) == [3, 1, 2]
    with pytest.raises(ValueError, match="part 1"):
        run_parts(work, [0, 1, 2])
    assert sorted(ended) == [0, 2]


def test_one_torch_thread_gives_the_others_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(KeyError), one_torch_thread():
            assert torch.get_num_threads() == 1
            raise KeyError
        assert torch.get_num_threads() == 3
        assert default_parts("cpu", 100) == 3
        assert default_parts("cpu", 2) == 2
        assert default_parts("cuda:0", 100) == 1
    finally:
        torch.set_num_threads(before)
