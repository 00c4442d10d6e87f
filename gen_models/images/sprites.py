"""Sprites of horses and birds, a data set without download: deterministic, with exact labels.

A horse never has wings; a bird's wings are folded or raised. The winged horse, which no training image shows, is drawn
only to train and test the scorer. Properties that do not belong to the class - colours, sizes, positions, backgrounds
and the shape of raised wings - have the same distribution for all, so that they transfer between classes.

Credits: Pillow's ImageDraw, through sprite_drawing.py.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gen_models.images.image_set import ImageSet
from gen_models.images.sprite_drawing import GAITS, SIZE, Colour, Scene, draw_scene, shade

Kind = Literal["horse", "bird", "winged horse"]
KINDS: tuple[Kind, ...] = ("horse", "bird", "winged horse")
CLASSES = ("horse", "bird")
ATTRIBUTES = ("white", "spread")
SPRITES = 18_000  # training images by default; the test set has a ninth as many

WHITE_SHARE = 0.35
WHITE_FROM = 225  # least value of a colour channel of a white body; all coats are darker
SPREAD_SHARE = 0.5
CONTRAST = 85.0  # least distance in RGB between the body and each colour behind it

BACKGROUNDS = (0.2, 0.35, 0.45)  # shares of plain colours, gradients, sky and ground

COATS: tuple[Colour, ...] = (
    (122, 66, 32), (160, 94, 44), (84, 50, 34), (52, 44, 46), (120, 120, 126),
    (196, 150, 84), (150, 52, 38), (70, 92, 140),
)  # fmt: skip
MANES: tuple[Colour, ...] = ((40, 28, 24), (92, 56, 30), (214, 178, 112), (150, 150, 156))
SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((84, 148, 222), (176, 214, 240)), ((52, 104, 188), (134, 184, 226)), ((60, 60, 120), (222, 142, 104)),
    ((120, 172, 196), (206, 220, 204)), ((28, 36, 82), (84, 96, 150)),
)  # fmt: skip
GROUNDS: tuple[Colour, ...] = ((92, 148, 62), (60, 116, 56), (198, 172, 112), (146, 118, 76), (118, 160, 94))


def draw_sprites(kind: Kind, n: int, seed: int) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.int8]]]:
    """Draw pictures of one kind. Picture k depends on the kind, the seed and k, not on n.

    :return: uint8 (n, 32, 32, 3), and int8 (n,) by attribute: ``white`` and ``spread``, 1 yes and 0 no
    """
    scenes = [random_scene(kind, np.random.default_rng([seed, KINDS.index(kind), index])) for index in range(n)]
    images = np.stack([draw_scene(scene) for scene in scenes]) if n else np.empty((0, SIZE, SIZE, 3), np.uint8)
    white = np.array([min(scene.body) >= WHITE_FROM for scene in scenes], np.int8)
    return images, {"white": white, "spread": np.array([scene.wings for scene in scenes], np.int8)}


def sprite_images(n: int, split: str = "train", seed: int = 0) -> ImageSet:
    """The data set: horses and birds alternately.

    :param n: number of training images; the test set has a ninth as many, with another seed
    :param split: train, test or all
    """
    parts = []
    if split != "test":
        parts.append(_half_and_half(n, 2 * seed))
    if split != "train":
        parts.append(_half_and_half(-(-n // 9), 2 * seed + 1))
    images = np.concatenate([part[0] for part in parts])
    classes = np.concatenate([part[1] for part in parts])
    attributes = {name: np.concatenate([part[2][name] for part in parts]) for name in ATTRIBUTES}
    return ImageSet(images, classes, CLASSES, np.zeros(len(images), np.int64), ("sprites",), attributes)


def _half_and_half(n: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], dict[str, NDArray[np.int8]]]:
    images = np.empty((n, SIZE, SIZE, 3), np.uint8)
    attributes = {name: np.empty(n, np.int8) for name in ATTRIBUTES}
    for start, kind in enumerate(KINDS[:2]):
        images[start::2], known = draw_sprites(kind, len(images[start::2]), seed)
        for name in ATTRIBUTES:
            attributes[name][start::2] = known[name]
    return images, np.arange(n, dtype=np.int64) % 2, attributes


def random_scene(kind: Kind, rng: np.random.Generator) -> Scene:
    """A random scene of this kind."""
    white = rng.random() < WHITE_SHARE
    if white:
        level = int(rng.integers(236, 253))
        body: Colour = (level, level, int(rng.integers(level - 6, level + 3)))
        mane = shade((205, 205, 214), rng.uniform(0.9, 1.1)) if rng.random() < 0.6 else _pick(MANES, rng)
    else:
        body = shade(_pick(COATS, rng), rng.uniform(0.85, 1.12))
        mane = _pick(MANES, rng)
    sky, ground = _behind(body, rng)
    return Scene(
        horse=kind != "bird",
        wings=kind == "winged horse" or (kind == "bird" and rng.random() < SPREAD_SHARE),
        body=body,
        mane=mane,
        sky=sky,
        ground=ground,
        horizon=rng.uniform(17, 26),
        centre=(16 + rng.uniform(-1.5, 1.5), 19 + rng.uniform(-1.2, 1.2)),
        scale=rng.uniform(0.88, 1.1),
        tilt=rng.uniform(-4, 7),
        faces_left=bool(rng.random() < 0.5),
        gait=tuple(GAITS)[rng.integers(len(GAITS))],
        flying=bool(rng.random() < 0.4),
        pose=tuple(rng.uniform(-1, 1, size=8).tolist()),
    )


def _behind(body: Colour, rng: np.random.Generator) -> tuple[tuple[Colour, Colour], tuple[Colour, Colour] | None]:
    """Random colours of a background that contrasts with the body."""
    while True:
        style = rng.choice(3, p=BACKGROUNDS)
        ground = None
        if style == 0:
            plain = _any_colour(rng)
            sky = (plain, plain)
        elif style == 1:
            sky = (_any_colour(rng), _any_colour(rng))
        else:
            first, second = SKIES[rng.integers(len(SKIES))]
            light = rng.uniform(0.85, 1.08)
            sky = (shade(first, light), shade(second, light))
            near = shade(_pick(GROUNDS, rng), rng.uniform(0.85, 1.1))
            ground = (near, shade(near, 0.8))
        colours = np.array([*sky, *(ground or ())], np.float64)
        middle = (colours[:1] + colours[1:2]) / 2
        if np.linalg.norm(np.concatenate([colours, middle]) - body, axis=1).min() >= CONTRAST:
            return sky, ground


def _any_colour(rng: np.random.Generator) -> Colour:
    """A random muted colour: the mean of a random colour and its grey."""
    colour = rng.uniform(30, 225, size=3)
    red, green, blue = (round(part) for part in (colour + colour.mean()) / 2)
    return red, green, blue


def _pick(colours: tuple[Colour, ...], rng: np.random.Generator) -> Colour:
    return colours[rng.integers(len(colours))]
