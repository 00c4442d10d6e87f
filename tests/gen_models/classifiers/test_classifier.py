"""Tests of the classifier on images of which anybody can say the class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from common import parallel
from common.errors import UserError
from gen_models.classifiers.classifier import (
    SETTINGS_FILE,
    WEIGHTS_FILE,
    Classifier,
    ClassifierSettings,
    augmented,
    train_classifier,
    with_test_accuracy,
)


def stripes(count: int, seed: int, size: int = 16) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noise with a bright row (0) or a bright column (1)."""
    rng = np.random.default_rng(seed)
    images = rng.integers(120, size=(count, size, size, 3), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int64) % 2
    for image, label in zip(images, labels, strict=True):
        (image if label == 0 else image.transpose(1, 0, 2))[rng.integers(3, size - 3)] = 230
    return images, labels


SMALL: dict[str, Any] = {"widths": (8, 16), "size": 16, "epochs": 6}


@pytest.fixture(scope="module")
def trained() -> Classifier:
    images, labels = stripes(512, 0)
    return with_test_accuracy(train_classifier(images, labels, ("row", "column"), **SMALL), *stripes(100, 1))


def test_it_learns(trained: Classifier) -> None:
    images, labels = stripes(200, 2)
    assert trained.accuracy(images, labels)[0] > 0.95
    assert trained.settings.test_accuracy[0] > 0.95
    probabilities = trained.probabilities(images)
    assert probabilities.shape == (200, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_features_are_what_the_last_layer_sees(trained: Classifier) -> None:
    images, _ = stripes(7, 2)
    features = trained.features(images)
    assert features.shape == (7, 16)
    assert features.dtype == np.float32
    with torch.no_grad():
        logits = trained.network.head(torch.from_numpy(features))
    np.testing.assert_allclose(logits.softmax(1).numpy(), trained.probabilities(images), rtol=1e-4, atol=1e-6)


def test_images_of_another_size_are_resized(trained: Classifier) -> None:
    images, _ = stripes(6, 2)
    larger = images.repeat(3, axis=1).repeat(3, axis=2)
    # Reduced again, each pixel is a weighted mean of its neighbours: much the same features, not the same ones.
    assert trained.prepare(larger).shape == (6, 3, 16, 16)
    assert np.corrcoef(trained.features(images).ravel(), trained.features(larger).ravel())[0, 1] > 0.8


def test_several_labels_of_which_some_are_unknown() -> None:
    images, row = stripes(512, 0)
    red = np.arange(512) // 2 % 2
    images[red == 1, ..., 0] = 200
    labels = np.stack([row, red, red], axis=1)
    labels[:, 2] = -1
    classifier = train_classifier(images, labels, ("column", "red", "never told"), multi_label=True, **SMALL)
    accuracy = classifier.accuracy(images, np.stack([row, red, red], axis=1))
    assert len(accuracy) == 3
    assert min(accuracy[:2]) > 0.95
    assert classifier.probabilities(images)[:, 1].round().mean() == pytest.approx(0.5, abs=0.03)


def test_the_seed_decides() -> None:
    images, labels = stripes(64, 0)
    before = torch.random.get_rng_state()
    one, two, other = (
        train_classifier(images, labels, ("row", "column"), seed=seed, **{**SMALL, "epochs": 1}).features(images)
        for seed in (3, 3, 4)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_the_number_of_cores_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = stripes(200, 0)
    weights = []
    for count in (1, 3):
        monkeypatch.setattr(parallel, "cores", lambda count=count: count)
        trained = train_classifier(images, labels, ("row", "column"), **{**SMALL, "epochs": 1})
        weights.append(trained.network.state_dict() | {"features": torch.from_numpy(trained.features(images))})
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_statistics_are_those_of_the_images(trained: Classifier) -> None:
    # Of augmented images of the same kind, so that they are near, not equal.
    seen: list[torch.Tensor] = []
    norm = trained.network.stem[2]
    hook = norm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    trained.features(stripes(400, 0)[0])
    hook.remove()
    values = torch.cat(seen).transpose(0, 1).flatten(1)
    torch.testing.assert_close(norm.running_mean, values.mean(dim=1), rtol=0.1, atol=0.1)
    torch.testing.assert_close(norm.running_var, values.var(dim=1), rtol=0.2, atol=0.05)
    assert norm.momentum == 0.1 and norm.track_running_stats


def test_saved_and_loaded(trained: Classifier, tmp_path: Path) -> None:
    images, _ = stripes(5, 3)
    trained.save(tmp_path / "c")
    again = Classifier.load(tmp_path / "c")
    assert again.settings == trained.settings
    np.testing.assert_array_equal(again.probabilities(images), trained.probabilities(images))
    assert {path.name for path in (tmp_path / "c").iterdir()} == {SETTINGS_FILE, WEIGHTS_FILE}


@pytest.mark.parametrize("harm", ["no folder", "cut weights", "other shape", "no json"])
def test_a_damaged_classifier(harm: str, trained: Classifier, tmp_path: Path) -> None:
    if harm != "no folder":
        trained.save(tmp_path)
    if harm == "cut weights":
        (tmp_path / WEIGHTS_FILE).write_bytes((tmp_path / WEIGHTS_FILE).read_bytes()[:-9])
    if harm == "other shape":
        Classifier(ClassifierSettings(("row", "column"), widths=(8, 24), size=16)).save(tmp_path / "other")
        (tmp_path / "other" / WEIGHTS_FILE).replace(tmp_path / WEIGHTS_FILE)
    if harm == "no json":
        (tmp_path / SETTINGS_FILE).write_text("{}")
    with pytest.raises(UserError, match="no intact classifier in"):
        Classifier.load(tmp_path)


def test_augmentation_flips_half_and_shifts_evenly() -> None:
    image = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    many = augmented(np.repeat(image[None], 2000, axis=0), 1, np.random.default_rng(0))
    wide = np.pad(image, ((1, 1), (1, 1), (0, 0)), "reflect")
    wide_mirrored = np.pad(image[:, ::-1], ((1, 1), (1, 1), (0, 0)), "reflect")
    counts = [
        (many == source[y : y + 8, x : x + 8]).all(axis=(1, 2, 3)).sum()
        for source in (wide, wide_mirrored)
        for y in range(3)
        for x in range(3)
    ]
    assert sum(counts) == 2000
    assert min(counts) > 70 and max(counts) < 155  # 111 each expected, standard deviation 10
