"""The network: its fusion against the formula with loops, the paper's widths, pictures of any size, its losses."""

from __future__ import annotations

import math

import pytest
import torch

from gen_models.colourisation.network import Colouriser, ColouriserSettings, Fusion, losses

SMALL = ColouriserSettings(size=32, width=2)


def network(settings: ColouriserSettings = SMALL, classes: int = 3) -> Colouriser:
    torch.manual_seed(1)
    built = Colouriser(settings, classes)
    use_the_last_batch_alone(built)
    built(100 * torch.rand(8, 1, settings.size, settings.size))  # running statistics that are not the first ones
    return built.eval()


def use_the_last_batch_alone(built: Colouriser) -> None:
    """Running statistics are those of the next batch."""
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = 1.0


def lightness(*shape: int) -> torch.Tensor:
    return 100 * torch.rand(shape, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("features", [3, 0])
def test_the_fusion_is_the_formula(features: int) -> None:
    torch.manual_seed(0)
    fusion = Fusion(features, 4).double()
    vector = torch.randn(2, features, dtype=torch.float64) if features else None
    mid = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    found = fusion(vector, mid)
    zeros = 0
    for image in range(2):
        for u in range(3):
            for v in range(5):
                for row in range(4):
                    total = fusion.bias[row].item()
                    for column in range(features):
                        assert vector is not None
                        total += fusion.weight[row, column].item() * vector[image, column].item()
                    for column in range(4):
                        total += fusion.weight[row, features + column].item() * mid[image, column, u, v].item()
                    assert found[image, row, u, v].item() == pytest.approx(max(0.0, total), abs=1e-12)
                    zeros += total <= 0
    assert 0 < zeros < found.numel()  # both sides of relu were seen


def test_the_papers_widths() -> None:
    with torch.device("meta"):
        paper = Colouriser(ColouriserSettings(), 205)
        chroma, logits = paper(torch.empty(2, 1, 224, 224))
        assert chroma.shape == (2, 2, 224, 224) and logits is not None and logits.shape == (2, 205)
        low = paper.low(torch.empty(2, 1, 224, 224))
        assert low.shape == (2, 512, 28, 28) and paper.mid(low).shape == (2, 256, 28, 28)
        hidden = paper.whole(low)
        assert hidden.shape == (2, 512) and paper.vector(hidden).shape == (2, 256)
    assert paper.fusion.weight.shape == (256, 512)
    widths = [layer.out_features for layer in paper.whole if isinstance(layer, torch.nn.Linear)]
    assert widths == [1024, 512]
    widths = [layer.out_channels for layer in paper.chroma if isinstance(layer, torch.nn.Conv2d)]
    assert widths == [128, 64, 64, 32, 2]


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (32, 32), (33, 100)])
def test_any_size(shape: tuple[int, int]) -> None:
    built = network()
    found = built.features(lightness(1, 1, *shape))
    assert found is not None and found[0].shape == (1, 8) and found[1].shape == (1, 3)
    chroma = built.coloured(lightness(1, 1, *shape), found[0])
    assert chroma.shape == (1, 2, *shape) and 0 < chroma.min() <= chroma.max() < 1


def test_a_picture_of_the_trainings_size_is_coloured_as_in_the_training() -> None:
    built, picture = network(), lightness(2, 1, 32, 32)
    found = built.features(picture)
    assert found is not None
    chroma, logits = built(picture)
    torch.testing.assert_close(built.coloured(picture, found[0]), chroma)
    torch.testing.assert_close(found[1], logits)


def test_global_features_of_another_picture_change_the_colours() -> None:
    built, picture = network(), lightness(1, 1, 40, 24)
    own, other = built.features(picture), built.features(lightness(1, 1, 64, 64))
    assert own is not None and other is not None
    assert not torch.equal(built.coloured(picture, own[0]), built.coloured(picture, other[0]))


def test_without_global_features() -> None:
    plain = network(ColouriserSettings(32, 2, global_features=False))
    assert plain.features(lightness(1, 1, 32, 32)) is None
    assert plain(lightness(1, 1, 32, 32))[1] is None
    # What is far away does not change a place's colour, as it does with global features.
    for built, changes in ((plain, False), (network(), True)):
        picture = lightness(1, 1, 32, 256)
        changed = picture.clone()
        changed[:, :, :, 200:] = 0
        colours = []
        for one in (picture, changed):
            found = built.features(one)
            colours.append(built.coloured(one, found[0] if found else None)[..., :60])
        assert torch.equal(*colours) != changes


def test_losses_by_hand() -> None:
    chroma, truth = torch.zeros(2, 2, 1, 1), torch.tensor([0.1, 0.2, 0.3, 0.4]).reshape(2, 2, 1, 1)
    logits = torch.tensor([[0.0, math.log(3)], [5.0, 0.0]])
    error, entropy, accuracy = losses(chroma, truth, logits, torch.tensor([2, 0]))
    assert error.item() == pytest.approx((0.01 + 0.04 + 0.09 + 0.16) / 4)
    assert entropy.item() == pytest.approx(-math.log(3 / 4))  # the second picture has no class
    assert accuracy.item() == 1
    assert losses(chroma, truth, logits, torch.tensor([0, 0]))[1].item() == 0
    assert losses(chroma, truth, None, torch.tensor([2, 0]))[1].item() == 0
