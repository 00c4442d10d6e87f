"""Searching how to draw: two objectives on an untrained run, judged by scorers that are hardly trained or not at
all.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import InMemoryStorage

from common.errors import UserError
from common.run_folder import RunFolder
from gen_models.classifiers import own_features
from gen_models.classifiers.classifier import Classifier, ClassifierSettings
from gen_models.classifiers.sprite_scorer import SpriteScorer
from gen_models.classifiers.wrong_drawings import OUTPUTS
from gen_models.diffusion.samples import Samples
from gen_models.images.sprites import sprite_images
from gen_models.judging.judge import classifier_of_run
from gen_models.training.settings import RunSettings
from tests.untrained_run import untrained_run
from tune.pegasus_task import PegasusTask, diversity
from tune.report import write_report
from tune.search import open_study, run_trial, trial_seeds
from tune.settings import PegasusStudy

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> PegasusStudy:
    folder = tmp_path_factory.mktemp("pegasus")
    run = untrained_run(folder / "pegasus" / "first")
    parts = Classifier(ClassifierSettings(OUTPUTS, True, (8, 16), 32, (0.5,) * len(OUTPUTS)))
    SpriteScorer(parts, Classifier(ClassifierSettings(("right", "wrong"), False, (8, 16))), {}).keep(folder / "scorer")
    return PegasusStudy(
        run=str(run.path), name="how", trials=3, seeds=2, images=4, batch_size=4, range=("steps=2:25",),
        scorer=str(folder / "scorer"), runs=str(folder), device="cpu",
    )  # fmt: skip


def test_diversity_counts_unlike_images() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    assert diversity(np.repeat(image, 8, axis=0)) == pytest.approx(1.0, abs=1e-6)
    # Two kinds, half of each, that are each other's negative or shifted beyond likeness: as good as two images.
    patterns = np.zeros((2, 32, 32, 3), np.uint8)
    patterns[0, :16], patterns[1, :, :16] = 255, 255
    assert diversity(np.repeat(patterns, 4, axis=0)) == pytest.approx(2.0, abs=1e-6)
    assert 30 < diversity(rng.integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)) <= 32


def test_trials_draw_and_are_judged_by_both_objectives(study: PegasusStudy, tmp_path: Path) -> None:
    storage = InMemoryStorage()
    made = open_study(study, storage)
    while run_trial(made, study):
        pass
    assert [one.state.name for one in made.trials] == ["COMPLETE"] * 3, [one.user_attrs for one in made.trials]
    task = PegasusTask(study)
    for number, trial in enumerate(made.trials):
        values = []
        for k, seed in enumerate(trial_seeds(study.seed, number, 2)):
            samples = Samples.load(study.folder / "trials" / f"trial-{number:04d}" / f"seed-{k}" / "samples.npz")
            assert samples.request.seed == seed and len(samples.images) == 4
            values.append((task.score(samples.images), diversity(samples.images)))
        assert trial.values == pytest.approx(np.mean(values, axis=0).tolist())
        assert trial.user_attrs["steps"] == 2 * 4 * samples.request.steps
    assert samples.request.weights.startswith("horse=") and made.trials[0].params["weight_spread"] == 3.5
    again = open_study(dataclasses.replace(study, runs=str(tmp_path)), InMemoryStorage())
    run_trial(again, dataclasses.replace(study, runs=str(tmp_path)))
    assert again.trials[0].values == made.trials[0].values
    path = write_report(study, storage, tmp_path / "report")
    assert (tmp_path / "report" / "front.png").exists() and "no other beats in both" in path.read_text()


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run on images of which nobody says that they are drawings."""
    monkeypatch.setattr(own_features, "WIDTHS", (8, 16))
    monkeypatch.setattr(own_features, "EPOCHS", 2)
    drawn = sprite_images(540, "train")
    np.savez(
        tmp_path / "photographs.npz", images=drawn.images, labels=drawn.classes, class_names=np.array(drawn.class_names)
    )
    run = untrained_run(tmp_path / "pegasus" / "first")
    settings = RunSettings.from_yaml(run.settings)
    data = dataclasses.replace(settings.data, specs=(f"npz:{tmp_path / 'photographs.npz'}",), attributes=False)
    run.settings.write_text(dataclasses.replace(settings, data=data).to_yaml())
    return run.path


def test_images_that_are_no_drawings_are_judged_by_the_runs_own_classifier(
    study: PegasusStudy, photographs: Path
) -> None:
    task = PegasusTask(dataclasses.replace(study, run=str(photographs), scorer=""))
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    score = task.score(images)
    classifier = classifier_of_run(photographs, "cpu")
    horse, bird = (classifier.probabilities(images)[:, classifier.settings.outputs.index(n)] for n in ("horse", "bird"))
    assert score == pytest.approx(float((4 * horse * bird).mean())) and 0 < score <= 1
    assert len(list((photographs / "judge" / "classifier").iterdir())) == 1


def test_a_run_without_horses_or_birds_cannot_be_judged(study: PegasusStudy, photographs: Path) -> None:
    settings = RunSettings.from_yaml(RunFolder(photographs).settings)
    vocabulary = dataclasses.replace(settings.vocabulary, classes=("horse", "cat"))
    RunFolder(photographs).settings.write_text(dataclasses.replace(settings, vocabulary=vocabulary).to_yaml())
    with pytest.raises(UserError, match="was not trained on horses and birds"):
        PegasusTask(dataclasses.replace(study, run=str(photographs)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"conditions": ("horse", "wing")}, "unknown condition 'wing'"),
        ({"sampler": "cmaes"}, "cmaes has one objective"),
        ({"pruner": "median"}, "--pruner median has one objective"),
        ({"range": ("compose=1:2",)}, "has no range"),
        ({"run": "nowhere"}, "nowhere"),
        ({"checkpoint": "step-000000009"}, "no checkpoint 'step-000000009'"),
    ],
)
def test_what_cannot_be_is_refused(study: PegasusStudy, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_study(dataclasses.replace(study, **changes), InMemoryStorage())
