"""Features and losses against their formulas, by loops and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from common.errors import UserError
from gen_models.classifiers.classifier import Classifier
from gen_models.style.features import FeatureNetwork
from gen_models.style.losses import Anchor, Losses, content_loss, gram, style_loss, temporal_loss, total_variation
from gen_models.style.options import StyleOptions


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_dense_stem_has_the_classifiers_own_features_at_every_other_pixel(classifier: Classifier) -> None:
    x = noise(1, 3, 32, 32)
    network = FeatureNetwork(classifier)
    found = network(x)
    assert network.layers == ("stem", "stage1", "stage2", "stage3")
    assert found["stem"].shape[-2:] == (31, 31)
    with torch.no_grad():
        assert torch.allclose(found["stem"][..., ::2, ::2], classifier.network.stem(x), atol=1e-5)
        assert torch.allclose(found["stage3"].mean(dim=(2, 3)), classifier.network.features(x), atol=1e-5)


def test_gram_and_style_by_loops() -> None:
    features, other = noise(1, 3, 2, 5), noise(1, 3, 4, 4, seed=1)
    matrix = gram(features)
    for i in range(3):
        for j in range(3):
            expected = sum(float(features[0, i, y, x] * features[0, j, y, x]) for y in range(2) for x in range(5)) / 10
            assert float(matrix[i, j]) == pytest.approx(expected, abs=1e-6)
    pairs = [(float(a), float(b)) for a, b in zip(matrix.flatten(), gram(other).flatten(), strict=True)]
    assert float(style_loss(features, gram(other))) == pytest.approx(sum((a - b) ** 2 for a, b in pairs) / 9, abs=1e-6)
    assert float(content_loss(features, features + 0.5)) == pytest.approx(0.25)


def test_temporal_loss_and_total_variation_by_hand() -> None:
    x = torch.zeros(1, 3, 2, 2)
    weights = torch.tensor([[1.0, 0.0], [0.0, 0.0]])[None, None]
    near, far = Anchor(x + 2, weights), Anchor(x + 1, 1 - weights)
    # 3 of 12 values differ by 2, and 9 by 1.
    assert float(temporal_loss(x, [near])) == pytest.approx(3 * 4 / 12)
    assert float(temporal_loss(x, [near, far])) == pytest.approx((3 * 4 + 9) / 12)
    steps = torch.tensor([[0.0, 1.0], [0.0, 3.0]]).expand(1, 3, 2, 2)
    assert float(total_variation(steps)) == pytest.approx((1 + 9) / 2 + (0 + 4) / 2)


def test_the_losses_of_the_pictures_themselves_are_zero(classifier: Classifier) -> None:
    style, content = noise(1, 3, 40, 32), noise(1, 3, 32, 32, seed=1)
    losses = Losses(FeatureNetwork(classifier), style, StyleOptions(content_layers=("stage1",)))
    parts = losses.of_frame(content, [])(content)
    assert float(parts["content"]) == 0 and float(parts["style"]) > 0 and float(parts["temporal"]) == 0
    assert float(losses.of_frame(content, [])(style[..., :32, :])["style"]) < float(parts["style"]) / 2
    weighted = 20 * parts["style"] + 0.1 * parts["tv"]
    assert float(losses.total(parts)) == pytest.approx(float(weighted), rel=1e-5)


def test_an_unknown_layer_is_refused_with_the_nearest(classifier: Classifier) -> None:
    with pytest.raises(UserError, match=r"unknown layer 'stag2'.*did you mean 'stage2'"):
        Losses(FeatureNetwork(classifier), noise(1, 3, 32, 32), StyleOptions(content_layers=("stag2",)))


def test_weights_of_the_network_get_no_gradient(classifier: Classifier) -> None:
    x = noise(1, 3, 32, 32).requires_grad_(True)
    FeatureNetwork(classifier)(x)["stage2"].sum().backward()
    assert x.grad is not None and bool(np.isfinite(x.grad.numpy()).all()) and float(x.grad.abs().sum()) > 0
    assert all(one.grad is None for one in classifier.network.parameters())
