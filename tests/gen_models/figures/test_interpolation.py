"""Interpolation: arcs worked out by hand, and ends that are the images sampled on their own.

Credits: Shoemake 1985 (doi 10.1145/325165.325242).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from common.errors import UserError
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.sampling import embed_conditions, sample
from gen_models.figures.interpolation import blend, ends, interpolate, interpolations_figure, next_class, slerp
from gen_models.images.grids import grid
from gen_models.request import SampleRequest
from gen_models.training.run_sampler import RunSampler, load_run_sampler
from tests.untrained_run import VOCABULARY, untrained_run

REQUEST = SampleRequest("horse=2,spread=1.5", sampler="ddim", steps=4, seed=3)


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> RunSampler:
    """Of a run with random weights."""
    return load_run_sampler(untrained_run(tmp_path_factory.mktemp("runs") / "first").path, None, True, 16, "cpu")


def test_a_quarter_circle() -> None:
    """From (1, 0) to (0, 1): a third of the way is 30 degrees."""
    first, last = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    torch.testing.assert_close(slerp(first, last, 1 / 3), torch.tensor([math.sqrt(3) / 2, 0.5]))
    torch.testing.assert_close(slerp(first, 3 * last, 0.5), torch.tensor([1.0, 3.0]) / math.sqrt(2))


def test_ends_are_the_vectors_themselves_and_the_arc_keeps_their_length() -> None:
    generator = torch.Generator().manual_seed(0)
    first, last = (torch.randn((3, 32, 32), generator=generator) for _ in range(2))
    assert slerp(first, last, 0.0) is first and slerp(first, last, 1.0) is last
    middle = slerp(first, last, 0.5)
    assert float(middle.norm()) == pytest.approx(math.sqrt(3072), rel=0.03)
    assert float(((first + last) / 2).norm()) < 0.75 * float(middle.norm())


def test_parallel_vectors_have_a_line_between_them() -> None:
    vector = torch.tensor([1.0, 2.0])
    torch.testing.assert_close(slerp(vector, vector, 0.3), vector)
    torch.testing.assert_close(slerp(vector, 3 * vector, 0.5), 2 * vector)
    assert torch.isfinite(slerp(vector, -vector, 0.5)).all()


@pytest.mark.parametrize("to", ["horse=2,spread=1.5", "bird+white=2,no-spread=1.5"])
def test_the_ends_are_the_images_sampled_on_their_own(sampler: RunSampler, to: str) -> None:
    (first, second) = interpolate(sampler, REQUEST, [(0, 1), (5, 2)], [REQUEST.weights, to], frames=4)
    network = (sampler.denoiser, sampler.vocabulary, sampler.noise)
    np.testing.assert_array_equal(first.images[[0, -1]], sample(*network, REQUEST, [0, 1]))
    np.testing.assert_array_equal(second.images[0], sample(*network, REQUEST, [5])[0])
    np.testing.assert_array_equal(second.images[-1], sample(*network, replace(REQUEST, weights=to), [2])[0])
    assert len(np.unique(second.images.reshape(4, -1), axis=0)) == 4


def test_between_the_ends_the_model_samples_from_there(sampler: RunSampler) -> None:
    """The same image at both ends: latents stay, and the middle has the condition in the middle of the arc."""
    (row,) = interpolate(sampler, replace(REQUEST, weights="horse=2"), [(4, 4)], ["bird=2"], frames=3)
    horse, bird = embed_conditions(sampler.denoiser, [VOCABULARY.parse("horse"), VOCABULARY.parse("bird")])
    middle = slerp(horse, bird, 0.5)[None, None]
    network = (sampler.denoiser, sampler.vocabulary, sampler.noise)
    alone = sample(*network, replace(REQUEST, weights="horse=2"), [4], embeddings=middle)
    np.testing.assert_array_equal(row.images[1], alone[0])
    assert not np.array_equal(row.images[1], row.images[0])


def test_without_conditions_only_latents_move(sampler: RunSampler) -> None:
    request = replace(REQUEST, weights="")
    (row,) = interpolate(sampler, request, [(0, 1)], [""], frames=2)
    expected = sample(sampler.denoiser, sampler.vocabulary, sampler.noise, request, [0, 1])
    np.testing.assert_array_equal(row.images, expected)


@pytest.mark.parametrize("to", ["horse=2", "bird=1,spread=1.5", ""])
def test_two_ends_need_the_same_weights(sampler: RunSampler, to: str) -> None:
    with pytest.raises(UserError, match="needs as many conditions with the same weights in the same order"):
        interpolate(sampler, REQUEST, [(0, 1)], [to])


def test_a_sampler_with_noise_has_no_way_between(sampler: RunSampler) -> None:
    with pytest.raises(ValueError, match="ddim with eta 0"):
        interpolate(sampler, replace(REQUEST, eta=0.5), [(0, 1)], [REQUEST.weights])


def test_the_next_class_takes_the_place_of_each() -> None:
    assert next_class("horse=2,spread=3.5", VOCABULARY) == "bird=2,spread=3.5"
    assert next_class("white+bird=2", VOCABULARY) == "white+horse=2"
    assert next_class("", VOCABULARY) == ""
    assert next_class("horse=1", Vocabulary(("horse",))) == "horse=1"
    first, last = ends("horse=2", next_class("horse=2", VOCABULARY), VOCABULARY)
    assert [one.name for one in (*first, *last)] == ["horse", "bird"]


def test_a_blend_by_hand() -> None:
    first, last = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 90, np.uint8)
    assert blend(first, last, 4)[:, 0, 0, 0].tolist() == [0, 30, 60, 90]


def test_the_figure_shows_the_rows_and_one_blend(sampler: RunSampler) -> None:
    rows = interpolate(sampler, REQUEST, [(0, 1), (2, 3)], [REQUEST.weights, "bird=2,spread=1.5"], frames=3)
    sheet = np.asarray(interpolations_figure(rows, "A caption."))
    faded = blend(rows[0].images[0], rows[0].images[-1], 3)
    tops = []
    for images in (rows[0].images, faded, rows[1].images):
        strip = np.asarray(grid(images, 3, 6))
        fits = [
            y for y in range(sheet.shape[0] - len(strip) + 1)
            if np.array_equal(sheet[y : y + len(strip), : strip.shape[1]], strip)
        ]  # fmt: skip
        assert len(fits) == 1
        tops += fits
    assert tops == sorted(tops)
    assert rows[1].words == "horse=2,spread=1.5 to bird=2,spread=1.5; images 2 and 3"
