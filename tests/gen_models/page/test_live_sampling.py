"""A batch in one thread: the images of ``sample``, how far it is meanwhile, and what is left of it when it is
stopped.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gen_models.page.live_sampling import LiveSampling, View
from gen_models.request import SampleRequest
from gen_models.training.run_sampler import RunSampler, load_run_sampler
from tests.untrained_run import untrained_run

REQUEST = SampleRequest("horse=2", steps=3, seed=4)


@pytest.fixture
def sampler(tmp_path: Path) -> RunSampler:
    """Of an untrained run, two images at a time."""
    return load_run_sampler(untrained_run(tmp_path / "first").path, None, True, 2, "cpu")


def test_the_images_are_those_of_one_call(sampler: RunSampler) -> None:
    batch = LiveSampling(sampler, REQUEST, 5)
    samples = batch.run()
    np.testing.assert_array_equal(samples.images, sampler.sample(REQUEST, range(5)).images)
    assert (list(samples.indices), samples.request, samples.origin) == ([0, 1, 2, 3, 4], REQUEST, sampler.origin)
    view = batch.view()
    assert (view.finished, view.done, view.total) == (5, 15, 15)
    np.testing.assert_array_equal(view.images, samples.images)


def test_stopped_in_its_second_pair_the_first_pair_is_left(
    sampler: RunSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = LiveSampling(sampler, REQUEST, 5)
    views: list[View] = []
    step = batch._step

    def stop_after_four_steps(moved: int) -> None:
        step(moved)
        views.append(batch.view())
        if len(views) == 4:
            batch.stop()

    monkeypatch.setattr(batch, "_step", stop_after_four_steps)
    samples = batch.run()
    assert [(view.finished, len(view.images), view.done) for view in views] == [
        (0, 2, 2),
        (0, 2, 4),
        (0, 2, 6),
        (2, 4, 8),
    ]
    np.testing.assert_array_equal(samples.images, sampler.sample(REQUEST, range(2)).images)
    np.testing.assert_array_equal(views[-1].images[:2], samples.images)
    # The last step is on its way to what comes out of it.
    assert (
        np.abs(views[2].images.astype(int) - samples.images).mean()
        < np.abs(views[0].images.astype(int) - samples.images).mean()
    )
