"""Noisy activation functions: the paper's formula by hand, gradients, expectations over draws, names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from common.errors import UserError
from rl.algorithms.activations import LINES, NAMES, NoisyActivation, activation_of

# sigma at x = 2 of hard-tanh, where v = 1 - 2: (sigmoid(-1) - 1/2)^2 = (0.26894142 - 0.5)^2; at x = 4 of hard-sigmoid,
# where v = 1 - 1.5: (0.37754067 - 0.5)^2.
AT_2, AT_4 = 0.05338807, 0.01499629


def made(spec: str, noise: float | None = None) -> NoisyActivation:
    """A function in evaluation mode, or in training mode with the same noise everywhere."""
    layer = activation_of(spec)()
    assert isinstance(layer, NoisyActivation)
    if noise is None:
        return layer.eval()
    layer.draw = lambda x: torch.full_like(x, noise)
    return layer


@pytest.mark.parametrize(
    ("spec", "x", "noise", "expected"),
    [
        ("nan-hard-tanh:alpha=1.15,c=1", 2.0, 2.0, 1.15 - 0.15 * 2 + 2 * AT_2),  # alpha > 1: d = sgn(x)
        ("nan-hard-tanh:alpha=1.15,c=1", -2.0, 2.0, -1.15 + 0.15 * 2 - 2 * AT_2),
        ("nan-hard-tanh:alpha=0.9,c=0.5", 2.0, 2.0, 0.9 + 0.1 * 2 - AT_2),  # alpha < 1: d = -sgn(x)
        ("nan-hard-tanh:alpha=0.9,c=0.5", 2.0, -2.0, 0.9 + 0.1 * 2 + AT_2),
        ("nah-hard-tanh:alpha=0.9,c=0.5", 2.0, -2.0, 0.9 + 0.1 * 2 - AT_2),  # the noise's size alone
        ("nah-hard-tanh:alpha=1.15,c=1", -2.0, -2.0, -1.15 + 0.15 * 2 - 2 * AT_2),
        ("nah-hard-tanh:alpha=1,c=1", 2.0, 1.0, 1.0 - AT_2),
        ("nan-hard-tanh:alpha=0.9,c=5", 0.5, 3.0, 0.5),  # no noise where it is not saturated
        ("nan-hard-sigmoid:alpha=0.9,c=1", 4.0, 3.0, 0.9 + 0.1 * 1.5 - 3 * AT_4),
        ("nah-hard-sigmoid:alpha=0.9,c=1", -4.0, 3.0, 0.1 * -0.5 + 3 * AT_4),  # h = 0, u = -0.5
        ("nani-hard-tanh:c=1", 0.5, 1.0, 1.0),
        ("nani-hard-tanh:c=0.25", 0.5, -1.0, 0.25),
        ("nani-hard-sigmoid:c=2", 1.0, -1.0, 0.25),
        ("nanil-hard-tanh:c=1", 2.0, -1.0, 2 - 1.31326169),  # softplus(1)
        ("nanil-hard-tanh:c=1", 0.0, 1.0, 0.69314718),  # softplus(0)
        ("nanis-hard-tanh:c=1", 0.5, 1.0, 0.5),
        ("nanis-hard-tanh:c=1", 1.5, -1.0, 0.5),
        ("nanis-hard-sigmoid:c=4", 3.0, -1.0, 0.25),
    ],
)
def test_the_formula_at_points_worked_out_by_hand(spec: str, x: float, noise: float, expected: float) -> None:
    assert made(spec, noise)(torch.tensor([x])).item() == pytest.approx(expected, abs=1e-6)


def test_evaluation_at_points_worked_out_by_hand() -> None:
    x = torch.tensor([2.0])
    assert made("nan-hard-tanh:alpha=1.15,c=1")(x).item() == pytest.approx(0.85)
    # The mean of |xi| is sqrt(2 / pi) = 0.79788456.
    assert made("nah-hard-tanh:alpha=1.15,c=1")(x).item() == pytest.approx(0.85 + 0.79788456 * AT_2, abs=1e-6)
    assert made("nanis-hard-tanh:c=3")(torch.tensor([0.5])).item() == 0.5


NOISY = sorted(name for name in NAMES if name.startswith("na"))


@pytest.mark.parametrize("name", NOISY)
def test_evaluation_is_the_mean_over_a_million_draws(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    for x in (-3.0, -0.9, 0.2, 1.3, 6.0):
        layer = activation_of(f"{name}:c=2")()
        assert isinstance(layer, NoisyActivation)
        layer.draw = lambda wide: torch.randn(wide.shape, generator=generator, dtype=wide.dtype)
        points = torch.full((1_000_000,), x, dtype=torch.float64)
        with torch.no_grad():
            drawn = layer(points)
            expected = layer.eval()(points[:1]).item()
        error = drawn.std().item() / 1000
        assert drawn.mean().item() == pytest.approx(expected, abs=5 * error + 1e-7)


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize("training", [True, False])
def test_gradients(name: str, training: bool) -> None:
    layer = activation_of(f"{name}:c=2")().double()
    assert isinstance(layer, NoisyActivation)
    layer.train(training)
    layer.set_units(3)
    noise = torch.tensor([[0.3, -0.4, 0.7], [-0.2, 0.5, -0.6]], dtype=torch.float64)
    layer.draw = lambda _: noise
    x = torch.tensor([[-3.1, 0.1, 2.7], [5.3, -0.3, -7.1]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))
    if layer.p is not None:

        def of_p(p: Tensor) -> Tensor:
            output: Tensor = torch.func.functional_call(layer, {"p": p}, (x.detach(),))
            return output

        assert torch.autograd.gradcheck(of_p, (layer.p,))


def test_a_saturated_unit_has_a_gradient_with_noise_alone() -> None:
    gradients = []
    for layer in (activation_of("hard-tanh")(), made("nan-hard-tanh:alpha=1", noise=1.5)):
        x = torch.tensor([2.0], requires_grad=True)
        layer(x).sum().backward()
        assert x.grad is not None
        gradients.append(x.grad.item())
    assert gradients[0] == 0.0 and abs(gradients[1]) > 0.01


def test_c_falls_with_the_inverse_square_root() -> None:
    layer = made("nan-hard-tanh:c=30-0.5")
    values = []
    for done in (0.0, 0.5, 1.0, 1.5):
        layer.anneal(done)
        values.append(layer._c.item())
    assert values == pytest.approx([30.0, (0.5 / 900 + 0.5 / 0.25) ** -0.5, 0.5, 0.5])


def test_each_unit_gets_a_p_of_its_own_and_the_optimiser_keeps_it() -> None:
    layer = made("nah-hard-tanh:c=2", noise=1.0)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    layer.set_units(2)
    layer(torch.tensor([[3.0, -0.5]])).sum().backward()
    optimizer.step()
    assert layer.p is not None and layer.p.shape == (2,)
    assert layer.p[0].item() == pytest.approx(0.9, abs=0.01) or layer.p[0].item() == pytest.approx(1.1, abs=0.01)
    assert layer.p[1].item() == 1.0  # not saturated: no noise, no gradient


def test_the_dtype_stays() -> None:
    layer = made("nan-hard-tanh:c=1", noise=1.0)
    x = torch.tensor([2.0, -0.5])
    assert torch.equal(layer(x.bfloat16()), layer(x).bfloat16())


@pytest.mark.parametrize(("name", "kind"), [("tanh", nn.Tanh), ("relu", nn.ReLU), ("hard-tanh", nn.Hardtanh)])
def test_functions_without_noise_have_names_too(name: str, kind: type) -> None:
    assert type(activation_of(name)()) is kind


def test_the_hard_sigmoid_is_the_papers() -> None:
    values = activation_of("hard-sigmoid")()(torch.tensor([-3.0, 0.0, 1.0, 2.5]))
    assert values.tolist() == [0.0, 0.5, 0.75, 1.0]
    assert LINES["hard-sigmoid"].linear(torch.tensor(4.0)).item() == 1.5  # u is not cut, or there would be no noise


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nah-hardtanh", "unknown activation 'nah-hardtanh'; did you mean 'nah-hard-tanh'"),
        ("swish", "unknown activation 'swish'"),
        ("nan-hard-tanh:alpha=2.5", "alpha of nan-hard-tanh must be a number at least 0 and at most 2, not '2.5'"),
        ("nan-hard-tanh:alpha=-1", "at least 0"),
        ("nan-hard-tanh:c=0", "c of nan-hard-tanh must be a number above 0 and at most 1000, not '0'"),
        ("nan-hard-tanh:c=30-", "not ''"),
        ("nan-hard-tanh:c=inf", "not 'inf'"),
        ("nani-hard-tanh:alpha=1", "nani-hard-tanh has no setting 'alpha'"),
        ("nan-hard-tanh:alhpa=1", "has no setting 'alhpa'; did you mean 'alpha'"),
        ("tanh:c=1", "tanh has no settings"),
    ],
)
def test_mistakes(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        activation_of(spec)
