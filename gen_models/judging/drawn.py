"""How close samples are to drawn winged horses, which no model has seen: the numbers beside a scorer's count.

A method that only fools the scorer, by images which nobody would draw, is far from the drawings here. The features are
those of a network that tells kinds of right and wrong drawings apart and has no say in the count
(``SpriteScorer.features``).

Credits: see gen_models/judging/metrics.py and gen_models/judging/measured.py for the measures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gen_models.classifiers.sprite_scorer import SpriteScorer
from gen_models.images.image_set import resized
from gen_models.images.sprite_drawing import SIZE
from gen_models.images.sprites import draw_sprites
from gen_models.judging.frechet import frechet_distance
from gen_models.judging.measured import grain, sharpness
from gen_models.judging.metrics import kernel_distance, precision_recall

REFERENCES = 500
REFERENCE_SEED = 1_000_003  # neither the scorer nor a data set is drawn from it


@dataclass(frozen=True)
class Closeness:
    """N images beside drawn winged horses.

    :param frechet: Frechet distance in the witness's features, 0 or more; it falls with N
    :param kernel: kernel distance in these features, around 0 for drawings
    :param precision: share of the images that lie among the drawings
    :param recall: share of the drawings that lie among the images
    :param sharpness: median variance of the Laplacian over that of the drawings
    :param grain: median noise in even areas over that of the drawings; not a number without even areas
    """

    frechet: float
    kernel: float
    precision: float
    recall: float
    sharpness: float
    grain: float


class DrawnWingedHorses:
    """The drawings that samples are compared with.

    :param scorer: gives the features
    """

    def __init__(self, scorer: SpriteScorer) -> None:
        self._scorer = scorer
        images = draw_sprites("winged horse", REFERENCES, REFERENCE_SEED)[0]
        self._features = scorer.features(images)
        self._sharpness, self._grain = float(np.median(sharpness(images))), float(np.nanmedian(grain(images)))

    def others(self, n: int) -> NDArray[np.uint8]:
        """Other drawn winged horses, uint8 (n, 32, 32, 3), which show what the numbers are at best."""
        return draw_sprites("winged horse", n, REFERENCE_SEED + 1)[0]

    def closeness(self, images: NDArray[np.uint8]) -> Closeness:
        """Compare images uint8 (N, S, S, 3), N of 7 or more, with the drawings."""
        features = self._scorer.features(images)
        shares = precision_recall(self._features, features)
        small = resized(images, SIZE)
        noise = grain(small)
        even = noise[np.isfinite(noise)]
        return Closeness(
            frechet_distance(self._features, features),
            kernel_distance(self._features, features),
            shares["precision"],
            shares["recall"],
            float(np.median(sharpness(small))) / self._sharpness,
            float(np.median(even)) / self._grain if len(even) else float("nan"),
        )
