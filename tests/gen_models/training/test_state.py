"""Checkpoints of a training, the average of its weights, and denoisers loaded from a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from common.checkpoints import write_checkpoint
from common.errors import UserError
from common.run_folder import RunFolder
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.denoiser import Denoiser
from gen_models.options import TrainSettings
from gen_models.training.settings import RunSettings, resolve
from gen_models.training.state import averaged_weights, build_ema, capture, load_denoiser, restore

SETTINGS: RunSettings = dataclasses.replace(
    resolve(TrainSettings(preset="smoke", channels=(8, 32))), vocabulary=Vocabulary(("horse", "bird"))
)


class Small:
    """A training with some steps behind it."""

    def __init__(self, steps: int = 0) -> None:
        torch.manual_seed(0)
        self.denoiser = Denoiser(SETTINGS.denoiser, SETTINGS.vocabulary.sizes)
        self.optimizer = torch.optim.AdamW(self.denoiser.parameters(), 1e-2, fused=True)
        self.ema = build_ema(self.denoiser, SETTINGS.learning)
        for step in range(steps):
            self.step(step)

    def step(self, number: int) -> None:
        generator = torch.Generator().manual_seed(number)
        x = torch.randn((2, 3, 16, 16), generator=generator)
        predicted = self.denoiser(x, torch.tensor([1, 900]), torch.tensor([[1, 0], [0, 0]]))
        (predicted - x).square().mean().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.step(self.denoiser.parameters())

    def tensors(self) -> list[torch.Tensor]:
        moments = [value for state in self.optimizer.state.values() for value in state.values()]
        return [p.detach().clone() for p in (*self.denoiser.parameters(), *self.ema.shadow_params, *moments)]


def assert_equal(ours: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    assert len(ours) == len(expected)
    assert all(a.equal(b) for a, b in zip(ours, expected, strict=True))


def test_a_restored_training_goes_on_exactly(tmp_path: Path) -> None:
    whole = Small(3)
    files = capture(whole.denoiser, whole.ema, whole.optimizer, {"images": 6})
    checkpoint = write_checkpoint(tmp_path, "step-000000006", files)
    again = Small()
    assert restore(checkpoint, again.denoiser, again.ema, again.optimizer) == {"images": 6, "ema_steps": 3}
    assert_equal(again.tensors(), whole.tensors())
    for training in (whole, again):
        training.step(3)
    assert_equal(again.tensors(), whole.tensors())
    assert capture(again.denoiser, again.ema, again.optimizer, {}) == capture(
        whole.denoiser, whole.ema, whole.optimizer, {}
    )


def test_the_average_follows_its_formula() -> None:
    training = Small()
    name = "unet.conv_in.weight"
    weight = training.denoiser.get_parameter(name)
    index = [n for n, _ in training.denoiser.named_parameters()].index(name)
    expected = weight.detach().double().clone()
    for step in range(1, 5):
        training.step(step)
        # decay 0 at the first step, then 1 - (1 + step)^-power with steps counted from the second
        decay = 0.0 if step == 1 else 1 - (1 + (step - 1)) ** -0.75
        expected = decay * expected + (1 - decay) * weight.detach().double()
    torch.testing.assert_close(training.ema.shadow_params[index].double(), expected, rtol=1e-5, atol=1e-6)


def test_the_trainings_weights_come_back_exactly_after_those_of_the_average() -> None:
    training = Small(3)
    before = training.tensors()
    with averaged_weights(training.denoiser, training.ema):
        for parameter, average in zip(training.denoiser.parameters(), training.ema.shadow_params, strict=True):
            assert parameter.equal(average)
        assert not training.tensors()[0].equal(before[0])
    assert_equal(training.tensors(), before)
    with pytest.raises(KeyError), averaged_weights(training.denoiser, training.ema):
        raise KeyError
    assert_equal(training.tensors(), before)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder.create(tmp_path / "run", SETTINGS.to_yaml())
    training = Small(2)
    files = capture(training.denoiser, training.ema, training.optimizer, {})
    write_checkpoint(folder.checkpoints, "step-000000064", files)
    return folder


def test_a_runs_denoiser_with_its_averaged_and_its_last_weights(run: RunFolder) -> None:
    training = Small(2)
    denoiser, vocabulary, noise, settings = load_denoiser(run)
    for parameter, average in zip(denoiser.parameters(), training.ema.shadow_params, strict=True):
        assert parameter.equal(average)
    assert not denoiser.training and not any(parameter.requires_grad for parameter in denoiser.parameters())
    assert (vocabulary, noise, settings) == (SETTINGS.vocabulary, SETTINGS.noise, SETTINGS)
    last = load_denoiser(run, run.checkpoints / "step-000000064", ema=False)[0]
    assert_equal(list(last.parameters()), list(training.denoiser.parameters()))


@pytest.mark.parametrize(
    "change",
    [
        {"denoiser": dataclasses.replace(SETTINGS.denoiser, channels=(16, 32))},
        {"denoiser": dataclasses.replace(SETTINGS.denoiser, layers=2)},
        {"vocabulary": Vocabulary(("horse", "bird", "deer"))},
        {"vocabulary": Vocabulary(("horse", "bird"), ("white",))},
    ],
)
def test_a_checkpoint_of_another_shape_is_refused_in_one_line(run: RunFolder, change: dict[str, Any]) -> None:
    run.settings.write_text(dataclasses.replace(SETTINGS, **change).to_yaml())
    with pytest.raises(UserError, match=r"does not fit the denoiser of settings\.yml") as raised:
        load_denoiser(run)
    assert raised.value.status == 1 and "\n" not in str(raised.value)


def test_a_run_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no checkpoint yet"):
        load_denoiser(RunFolder.create(tmp_path / "run", SETTINGS.to_yaml()))
