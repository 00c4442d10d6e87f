"""The count of winged horses: shares, intervals, the choice of weights, and which runs can be counted.

Credits: the interval of 8 in 10 is that of R's ``prop.test(8, 10, correct = FALSE)``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from common.errors import UserError
from gen_models.commands import prove as composition_proof
from gen_models.commands.prove import (
    SWEEP,
    Count,
    as_json,
    best,
    cells,
    count,
    count_all,
    markdown,
    prove,
    quality,
    wilson,
)
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.guidance import Composition, parse_weights
from gen_models.diffusion.samples import Origin, Samples
from gen_models.options import ProveSettings
from gen_models.request import SampleRequest
from tests.untrained_run import untrained_run

ORIGIN = Origin("run", "step-1", True, "", 4, "cpu")


def bright(images: NDArray[np.uint8]) -> dict[str, NDArray[np.bool_]]:
    """Says of images by their first pixel what they are: red for horses, green for wings."""
    return {"horse": images[:, 0, 0, 0] > 127, "wings": images[:, 0, 0, 1] > 127}


def counted(winged: int, horses: int = 0, wings: int = 0, weights: str = "") -> Count:
    return Count("and", SampleRequest(weights), 10, horses, wings, winged)


def test_wilson_interval() -> None:
    assert wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    low, high = wilson(0, 256)
    assert low == 0 and high == pytest.approx(1.959964**2 / (256 + 1.959964**2), abs=1e-9)
    assert wilson(256, 256) == pytest.approx((1 - high, 1.0))


def test_images_with_horse_and_wings_are_winged_horses() -> None:
    images = np.zeros((4, 2, 2, 3), np.uint8)
    images[:, 0, 0] = [(255, 255, 0), (255, 0, 0), (0, 255, 0), (255, 200, 9)]
    one = count("and", Samples(images, range(4), SampleRequest("horse=2"), ORIGIN), bright)
    assert (one.images, one.horses, one.wings, one.winged_horses, one.share) == (4, 3, 3, 2, 0.5)


def test_the_best_weights() -> None:
    assert best([counted(3), counted(5), counted(4, 10, 10)]).winged_horses == 5
    assert best([counted(3, 4, 4), counted(3, 5, 4)]).horses == 5
    assert best([counted(0, weights="a"), counted(0, weights="b")]).words == "a"


def test_figures_of_a_run_that_has_hardly_begun_mean_nothing() -> None:
    """Noise: a quarter is called winged horses, and half of the horses have no horse's body."""
    horse = Count("horse alone", SampleRequest("horse=4"), 32, 16, 16, 8)
    bird = Count("bird alone", SampleRequest("bird=4"), 32, 2, 20, 2)
    assert quality([horse, bird]) == 0.5
    assert markdown([horse, bird], [horse], {}).startswith(
        "**The figures mean nothing: of horse or bird alone only 50 %"
    )
    good = replace(horse, horses=30)
    assert quality([good, bird]) == 30 / 32 and not markdown([good, bird], [good], {}).startswith("**")
    assert quality([good, replace(bird, horses=8)]) == 0.75


def test_a_row_of_the_table() -> None:
    one = Count("switch", SampleRequest("horse=2,bird=1", "switch", 0.7), 10, 9, 8, 8)
    assert cells(one) == ("switch", "horse=2,bird=1 at 0.7", "80.0 %", "49.0 - 94.3", "90.0 %", "80.0 %")
    assert as_json(one)["interval"] == pytest.approx([0.4901625, 0.9433178], abs=1e-6)
    text = markdown([one], [counted(1)], {"horse": 0.9925})
    assert "| switch | horse=2,bird=1 at 0.7 | 80.0 % | 49.0 - 94.3 | 90.0 % | 80.0 % |\n" in text
    assert "among 10 unselected samples" in text and "held-out drawings: horse 99.2 %" in text


def test_every_request_of_the_sweep_can_be_sampled() -> None:
    vocabulary = Vocabulary(("horse", "bird"), ("white", "spread"))
    for requests in SWEEP.values():
        for request in requests:
            request.check()
            Composition.of(request, *parse_weights(request.weights, vocabulary))


def test_sweep_and_final_images_have_seeds_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best of the sweep is sampled with the other seed, and every image is kept."""
    run = untrained_run(tmp_path / "run", size=32)
    trials = [SampleRequest("horse=1,bird=1", "switch", level) for level in (0.5, 0.9)]
    monkeypatch.setattr(composition_proof, "SWEEP", {"unconditional": [SampleRequest("")], "switch": trials})
    user = ProveSettings(run.path, images=5, sweep_images=3, steps=2, seed=7, batch_size=4, device="cpu")
    counts, sweep = count_all(user, bright, tmp_path)
    assert [(one.method, one.request.seed, one.images) for one in sweep] == [
        ("unconditional", 8, 3), ("switch", 8, 3), ("switch", 8, 3),
    ]  # fmt: skip
    assert [(one.method, one.request.seed, one.images) for one in counts] == [
        ("unconditional", 7, 5), ("switch", 7, 5),
    ]  # fmt: skip
    kept = Samples.load(tmp_path / "switch.npz")
    assert kept.indices == [0, 1, 2, 3, 4] and kept.request == counts[1].request
    assert count("switch", kept, bright) == counts[1]
    assert Image.open(tmp_path / "composition.png").height > 2 * 64


def test_runs_that_cannot_be_counted(tmp_path: Path) -> None:
    run = untrained_run(tmp_path / "run")
    settings = run.settings.read_text()
    (run.path / "composition").mkdir()
    with pytest.raises(UserError, match="composition exists and is not overwritten; choose another --name"):
        prove(ProveSettings(run.path))
    run.settings.write_text(settings.replace("sprites:256", "cifar10"))
    with pytest.raises(UserError, match="was not trained on sprites with their attributes"):
        prove(ProveSettings(run.path, name="other"))
    with pytest.raises(UserError, match="must be at least 1"):
        prove(ProveSettings(run.path, images=0, name="other"))
    assert sorted(path.name for path in run.path.iterdir()) == ["checkpoints", "composition", "settings.yml"]
