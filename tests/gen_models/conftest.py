"""What several tests of the generative models need, made once."""

from __future__ import annotations

import pytest

from gen_models.classifiers.sprite_scorer import ScorerTraining, SpriteScorer, train_scorer


@pytest.fixture(scope="session")
def scorer() -> SpriteScorer:
    """A quick one: it is to tell what is plain, a sixth of the drawings are enough for that."""
    return train_scorer(ScorerTraining(drawings=300, wrong=15, epochs=5, witness_epochs=3, held_out=50))
