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
from gen_models.classifiers.classifier import Classifier, ClassifierSettings
from gen_models.classifiers.sprite_scorer import MISSED, SpriteScorer
from gen_models.classifiers.wrong_drawings import OUTPUTS
from gen_models.commands import prove as composition_proof
from gen_models.commands.prove import (
    COUNTED,
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
)
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.guidance import composed
from gen_models.diffusion.samples import Origin, Samples
from gen_models.judging.drawn import Closeness
from gen_models.judging.shares import wilson
from gen_models.options import ProveSettings
from gen_models.request import SampleRequest
from tests.untrained_run import untrained_run

ORIGIN = Origin("run", "step-1", True, "", 4, "cpu")


def bright(images: NDArray[np.uint8]) -> dict[str, NDArray[np.bool_]]:
    """Says of images by their first pixel what they are: red for a whole horse, green for wings."""
    horse, wings = images[:, 0, 0, 0] > 127, images[:, 0, 0, 1] > 127
    return {"head": horse, "body": horse, "legs": horse, "wings": wings, "winged horse": horse & wings}


def close(images: NDArray[np.uint8]) -> Closeness:
    """Numbers that say how many images were compared."""
    return Closeness(12.25, 0.125, len(images) / 10, 0.25, 1.5, 0.75)


def counted(winged: int, horses: int = 0, wings: int = 0, weights: str = "") -> Count:
    found = {"winged horse": winged, "head": horses, "body": horses, "legs": horses, "wings": wings}
    return Count("and", SampleRequest(weights), 10, found)


def test_wilson_interval() -> None:
    assert wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    low, high = wilson(0, 256)
    assert low == 0 and high == pytest.approx(1.959964**2 / (256 + 1.959964**2), abs=1e-9)
    assert wilson(256, 256) == pytest.approx((1 - high, 1.0))


def test_images_with_horse_and_wings_are_winged_horses() -> None:
    images = np.zeros((4, 2, 2, 3), np.uint8)
    images[:, 0, 0] = [(255, 255, 0), (255, 0, 0), (0, 255, 0), (255, 200, 9)]
    one = count("and", SampleRequest("horse=2"), images, bright)
    assert one.found == {"winged horse": 2, "head": 3, "body": 3, "legs": 3, "wings": 3}
    assert (one.images, one.share, one.closeness) == (4, 0.5, None)
    assert count("and", SampleRequest("horse=2"), images, bright, close).closeness == close(images)


def test_the_best_weights() -> None:
    assert best([counted(3), counted(5), counted(4, 10, 10)]).found["winged horse"] == 5
    assert best([counted(3, 4, 4), counted(3, 5, 4)]).found["head"] == 5
    assert best([counted(0, weights="a"), counted(0, weights="b")]).words == "a"


def test_figures_of_a_run_that_has_hardly_begun_mean_nothing() -> None:
    """Noise: a quarter is called winged horses, and half of the horses have no horse's body."""

    def bodies(method: str, count: int) -> Count:
        return Count(method, SampleRequest(), 32, dict.fromkeys(COUNTED, 0) | {"body": count})

    horse, bird = bodies("horse alone", 16), bodies("bird alone", 2)
    settings = ClassifierSettings(OUTPUTS, True, (8,), 8, (1.0,) * 5)
    scorer = SpriteScorer(Classifier(settings), Classifier(settings), {MISSED: 0.0})
    assert quality([horse, bird]) == 0.5
    assert markdown([horse, bird], [horse], scorer).startswith(
        "**The figures mean nothing: of horse or bird alone only 50 %"
    )
    good = bodies("horse alone", 30)
    assert quality([good, bird]) == 30 / 32 and not markdown([good, bird], [good], scorer).startswith("**")
    assert quality([good, bodies("bird alone", 8)]) == 0.75


def test_a_row_of_the_table() -> None:
    found = {"winged horse": 8, "head": 9, "body": 10, "legs": 10, "wings": 8}
    one = Count("switch", SampleRequest("horse=2,bird=1", "switch", 0.7), 10, found)
    contrast = SampleRequest(compose="contrast", base="horse", add="spread", from_="bird", area=0.5, interval=(0.2, 1))
    words = "horse=4,spread=3 from bird, area 0.5, from noise 0.2"
    assert Count("contrast", contrast, 10, found).words == words
    row = ("switch", "horse=2,bird=1 at 0.7", "80.0 %", "49.0 - 94.3", "90.0 %", "100.0 %", "100.0 %", "80.0 %")
    assert cells(one) == row
    assert as_json(one)["interval"] == pytest.approx([0.4901625, 0.9433178], abs=1e-6)
    compared = replace(one, closeness=close(np.zeros((7, 2, 2, 3), np.uint8)))
    assert cells(compared) == (*row, "12.2", "0.12", "0.70", "0.25", "1.50", "0.75")
    settings = ClassifierSettings(OUTPUTS, True, (8,), 8, (0.9925, 1.0, 1.0, 1.0, 1.0))
    mistakes = {MISSED: 0.015, "head: missing": 0.02, "wings: ball": 0.125}
    text = markdown([compared], [counted(1)], SpriteScorer(Classifier(settings), Classifier(settings), mistakes))
    assert f"| {' | '.join(cells(compared))} |\n" in text and "| precision | recall |" in text
    assert "among 10 unselected samples" in text and "held-out drawings: head 99.2 %" in text
    assert "misses 1.5 % of drawn winged horses. Of 2 kinds" in text
    assert "of these: wings: ball 12.5 %, head: missing 2.0 %." in text


def test_every_request_of_the_sweep_can_be_sampled() -> None:
    vocabulary = Vocabulary(("horse", "bird"), ("white", "spread"), (), ("horse", "bird", "bird+spread"))
    for requests in SWEEP.values():
        for request in requests:
            request.check()
            composed(request, vocabulary)


def test_sweep_and_final_images_have_seeds_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best of the sweep is sampled with the other seed, and every image is kept."""
    run = untrained_run(tmp_path / "run", size=32)
    trials = [SampleRequest("horse=1,bird=1", "switch", level) for level in (0.5, 0.9)]
    monkeypatch.setattr(composition_proof, "SWEEP", {"unconditional": [SampleRequest("")], "switch": trials})
    user = ProveSettings(run.path, images=5, sweep_images=3, steps=2, seed=7, batch_size=4, device="cpu")
    counts, sweep = count_all(user, bright, close, tmp_path)
    assert [(one.method, one.request.seed, one.images) for one in sweep] == [
        ("unconditional", 8, 3), ("switch", 8, 3), ("switch", 8, 3),
    ]  # fmt: skip
    assert [(one.method, one.request.seed, one.images) for one in counts] == [
        ("unconditional", 7, 5), ("switch", 7, 5),
    ]  # fmt: skip
    kept = Samples.load(tmp_path / "switch.npz")
    assert kept.indices == [0, 1, 2, 3, 4] and kept.request == counts[1].request
    assert replace(count("switch", kept.request, kept.images, bright), closeness=close(kept.images)) == counts[1]
    assert Image.open(tmp_path / "best.png").width > 5 * 96
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
    with pytest.raises(UserError, match=r"unknown method 'contrst' .*did you mean 'contrast'"):
        prove(ProveSettings(run.path, methods=("switch", "contrst"), name="other"))
    with pytest.raises(UserError, match="must be at least 1"):
        prove(ProveSettings(run.path, images=0, name="other"))
    run.settings.write_text(settings)  # what a scorer would be trained for in vain
    with pytest.raises(UserError, match=r"cannot make the scorer /proc/none: /proc cannot be written"):
        prove(ProveSettings(run.path, name="other", scorer=Path("/proc/none")))
    with pytest.raises(UserError, match="has no checkpoint 'step-2'"):
        prove(ProveSettings(run.path, name="other", checkpoint="step-2"))
    assert not (tmp_path / "sprite-scorer").exists()
    assert sorted(path.name for path in run.path.iterdir()) == ["checkpoints", "composition", "settings.yml"]
