"""The networks: shapes that the layers of the homework lead to, first weights, and what a class changes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from common.errors import UserError
from gen_models.adversarial.dcgan import SIZES, DCGANSettings, Discriminator, Generator


@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_made_and_told_apart(size: int) -> None:
    settings = DCGANSettings(size)
    settings.check()
    generator, discriminator = Generator(settings, 2), Discriminator(settings, 2)
    images = generator(torch.randn(2, 100))
    assert images.shape == (2, 3, size, size) and images.abs().max() <= 1
    assert discriminator(images).shape == (2,)


def test_layers_are_those_of_the_homework() -> None:
    def transposed(size: int) -> list[tuple[int, int, int]]:
        layers = Generator(DCGANSettings(size), 0).layers
        found = [layer for layer in layers if isinstance(layer, nn.ConvTranspose2d)]
        return [(layer.out_channels, layer.kernel_size[0], layer.stride[0]) for layer in found]

    assert transposed(32) == [(256, 4, 1), (128, 4, 2), (64, 4, 2), (64, 3, 1), (3, 4, 2)]
    assert transposed(64) == [(256, 4, 1), (128, 4, 2), (64, 4, 2), (64, 4, 2), (3, 4, 2)]


def test_first_weights_are_normal_with_a_deviation_of_two_hundredths() -> None:
    torch.manual_seed(0)
    for network in (Generator(DCGANSettings(), 2), Discriminator(DCGANSettings(), 2)):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.weight.numel() > 10_000:
                assert layer.weight.std().item() == pytest.approx(0.02, rel=0.03)
                assert abs(layer.weight.mean().item()) < 0.001
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.weight.mean().item() == pytest.approx(1, abs=0.02) and layer.bias.abs().max() == 0


def test_a_class_changes_image_and_judgement_of_conditional_networks_only() -> None:
    latents, shares = torch.randn(2, 100), torch.eye(3)
    for conditional in (True, False):
        settings = DCGANSettings(16, conditional=conditional)
        generator, discriminator = Generator(settings, 2).eval(), Discriminator(settings, 2).eval()
        first, second = (generator(latents, shares[k].expand(2, -1)) for k in (1, 2))
        assert first.equal(second) is not conditional
        logits = [discriminator(first, shares[k].expand(2, -1)) for k in (1, 2)]
        assert logits[0].equal(logits[1]) is not conditional


def test_other_sizes_are_refused_by_name() -> None:
    with pytest.raises(UserError, match="--size 40: a DCGAN makes images of 16, 32, 48, 64, 96 pixels"):
        DCGANSettings(40).check()
