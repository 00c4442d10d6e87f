"""What several tests of the generative models need, made once."""

from __future__ import annotations

import fcntl
import os

import pytest

from gen_models.classifiers.sprite_scorer import ScorerTraining, SpriteScorer, train_scorer


@pytest.fixture(scope="session")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> SpriteScorer:
    """A quick one: it is to tell what is plain, a sixth of the drawings are enough for that.

    Of the processes that pytest-xdist starts, the first that needs it trains it, and the others read it.
    """
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (folder / "scorer.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = SpriteScorer.kept(folder / "scorer")
        if kept is not None:
            return kept
        scorer = train_scorer(ScorerTraining(drawings=300, wrong=15, epochs=5, witness_epochs=3, held_out=25))
        scorer.keep(folder / "scorer")
        return scorer
