"""Drawings that are no winged horse though they have much of one, to train and to test a scorer of winged horses.

Most kinds are a winged horse of which one part is wrong: the head, the legs, the wings or the trunk is missing,
smeared, faded, too small, in the wrong place, doubled, or replaced by a ball, by a spike or by what a bird has. The
others are wrong as a whole: mixtures of a horse and a bird, melted and cut pictures, noise, nothing. In part they are
mistakes that were seen in samples of generative models.

Credits: Pillow's ImageDraw and filters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from gen_models.images.sprite_drawing import (
    OVERSAMPLING,
    SIZE,
    Part,
    Pen,
    Scene,
    background,
    bird_body,
    bird_head,
    bird_legs,
    bird_tail,
    draw_parts,
    draw_scene,
    folded_wing,
    horse_head,
    horse_legs,
    parts_of,
    shade,
)
from gen_models.images.sprites import WHITE_FROM, random_scene

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Draw = Callable[[Pen, Scene], None]
Make = Callable[[Scene, np.random.Generator], Images]
"""From a scene of a winged horse to a wrong picture of it, uint8 (32, 32, 3)."""

OUTPUTS = ("head", "body", "legs", "wings", "white")
"""What a scorer says of an image: the first four of the parts of a winged horse, each in its place and shape."""
NOT_KNOWN = -1

SEEN = 12  # grey levels by which a part changes a pixel that belongs to it


def wrong_drawings(kind: str, n: int, seed: int, winged: float = 1.0) -> tuple[Images, Labels]:
    """Pictures of one kind and their labels. Picture k depends on the kind, the seed and k, not on n.

    :param kind: a key of ``WRONG``
    :param winged: share of the pictures that have wings, where these are not what is wrong
    :return: uint8 (n, 32, 32, 3), and int64 (n, 5) in the order of ``OUTPUTS``: 1 yes, 0 no, -1 not known
    """
    make, found = WRONG[kind]
    images = np.empty((n, SIZE, SIZE, 3), np.uint8)
    labels = np.tile(np.array(found, np.int64), (n, 1))
    for k in range(n):
        rng = np.random.default_rng([seed, list(WRONG).index(kind), k])
        scene = random_scene("winged horse", rng)
        if found[3] == 1 and rng.random() >= winged:
            scene = replace(scene, wings=False)
            labels[k, 3] = 0
        images[k] = make(scene, rng)
        if labels[k, 4] == 1:
            labels[k, 4] = min(scene.body) >= WHITE_FROM
    return images, labels


def _instead(part: str, draw: Draw | None, scene: Scene) -> list[Part]:
    """The parts of a scene with another one in the place of one of them, or without it."""
    parts = parts_of(scene)
    places = [place for place, (name, _) in enumerate(parts) if name == part]
    if draw is not None:
        parts[places[-1]] = (part, draw)
        places.pop()
    return [one for place, one in enumerate(parts) if place not in places]


def _missing(part: str) -> Make:
    return lambda scene, rng: draw_parts(scene, _instead(part, None, scene))


def _replaced(part: str, shape: Callable[[Pen, Scene, np.random.Generator], None]) -> Make:
    def make(scene: Scene, rng: np.random.Generator) -> Images:
        return draw_parts(scene, _instead(part, lambda pen, scene: shape(pen, scene, rng), scene))

    return make


def _elsewhere(part: str, moved: Callable[[Scene, np.random.Generator], Scene]) -> Make:
    """The part as it is drawn in another scene: moved, turned or of another size."""

    def make(scene: Scene, rng: np.random.Generator) -> Images:
        other = moved(scene, rng)
        canvas = Image.fromarray(background(scene))
        for name, draw in parts_of(scene):
            there = other if name == part else scene
            draw(Pen(canvas, there), there)
        return np.asarray(canvas.reduce(OVERSAMPLING))

    return make


def _shifted(x: tuple[float, float], y: tuple[float, float]) -> Callable[[Scene, np.random.Generator], Scene]:
    """Moves by these pixels, forwards and downwards."""

    def moved(scene: Scene, rng: np.random.Generator) -> Scene:
        forwards = rng.uniform(*x) * (-1 if scene.faces_left else 1)
        return replace(scene, centre=(scene.centre[0] + forwards, scene.centre[1] + rng.uniform(*y)))

    return moved


def _shrunk(root: tuple[float, float], least: float, most: float) -> Callable[[Scene, np.random.Generator], Scene]:
    """Makes smaller about a point of the animal."""

    def moved(scene: Scene, rng: np.random.Generator) -> Scene:
        size = rng.uniform(least, most)
        left = (1 - size) * scene.scale
        forwards = -1 if scene.faces_left else 1
        centre = (scene.centre[0] + forwards * left * root[0], scene.centre[1] + left * root[1])
        return replace(scene, scale=size * scene.scale, centre=centre)

    return moved


def _backwards(scene: Scene, rng: np.random.Generator) -> Scene:
    return replace(scene, faces_left=not scene.faces_left)


def _both(part: str, moved: Callable[[Scene, np.random.Generator], Scene]) -> Make:
    """The part twice: in its place, and as in another scene."""

    def make(scene: Scene, rng: np.random.Generator) -> Images:
        other = moved(scene, rng)
        canvas = Image.fromarray(background(scene))
        for name, draw in parts_of(scene):
            draw(Pen(canvas, scene), scene)
            if name == part:
                draw(Pen(canvas, other), other)
        return np.asarray(canvas.reduce(OVERSAMPLING))

    return make


def _faded(part: str) -> Make:
    """The part is hardly there."""

    def make(scene: Scene, rng: np.random.Generator) -> Images:
        whole, without = draw_scene(scene), draw_parts(scene, _instead(part, None, scene))
        share = rng.uniform(0.08, 0.28)
        return np.asarray((share * whole + (1 - share) * without).round(), np.uint8)

    return make


def _smeared(part: str) -> Make:
    """Where the part is, the picture is blurred."""

    def make(scene: Scene, rng: np.random.Generator) -> Images:
        whole, without = draw_scene(scene), draw_parts(scene, _instead(part, None, scene))
        differs = (np.abs(whole.astype(int) - without).max(axis=2) > SEEN).astype(np.uint8)
        grown = cv2.dilate(differs, np.ones((5, 5), np.uint8)).astype(bool)
        return np.where(grown[:, :, None], blurred(whole, rng.uniform(2.4, 4.0)), whole)

    return make


def _blob(pen: Pen, scene: Scene, rng: np.random.Generator, x: float, y: float, least: float, most: float) -> None:
    """A ball of the body's colour, more or less round."""
    radius = rng.uniform(least, most)
    body = shade(scene.body, rng.uniform(0.8, 1.0))
    x, y = x + rng.uniform(-1, 1), y + rng.uniform(-0.8, 0.8)
    pen.ellipse(x, y, radius * rng.uniform(0.85, 1.25), radius, body, shade(scene.body, 0.55), rng.uniform(-40, 40))


def _ball_head(pen: Pen, scene: Scene, rng: np.random.Generator) -> None:
    _blob(pen, scene, rng, 6.6, -4.0, 2.2, 4.0)


def _ball_wings(pen: Pen, scene: Scene, rng: np.random.Generator) -> None:
    _blob(pen, scene, rng, rng.uniform(-2.5, 1.0), -5.6, 2.4, 4.6)


def _ball_legs(pen: Pen, scene: Scene, rng: np.random.Generator) -> None:
    for x in (-4.4, 4.0) if rng.random() < 0.6 else (0.0,):
        _blob(pen, scene, rng, x, 4.2, 1.7, 3.0)


def _ball_body(pen: Pen, scene: Scene, rng: np.random.Generator) -> None:
    _blob(pen, scene, rng, 0, 0, 5.4, 7.4)


def _spike_head(pen: Pen, scene: Scene, rng: np.random.Generator) -> None:
    tip = (rng.uniform(7, 11), rng.uniform(-10, -5))
    pen.polygon([(2.6, -2.2), tip, (6.2, 1.4)], scene.body, shade(scene.body, 0.55))


def _spike_wings(pen: Pen, scene: Scene, rng: np.random.Generator) -> None:
    tip, width = (rng.uniform(-6, 3), rng.uniform(-13, -7.5)), rng.uniform(0.6, 2.6)
    middle = rng.uniform(-1.5, 1.5)
    body = shade(scene.body, 0.95)
    pen.polygon([(middle - width, -2), tip, (middle + width, -2)], body, shade(scene.body, 0.55))


def _spike_legs(pen: Pen, scene: Scene, rng: np.random.Generator) -> None:
    """A skirt or a pillar."""
    top, foot = rng.uniform(3.0, 6.0), rng.uniform(1.0, 6.0)
    points = [(-top, 1), (top, 1), (foot, rng.uniform(7, 9.5)), (-foot, rng.uniform(7, 9.5))]
    pen.polygon(points, shade(scene.body, rng.uniform(0.72, 1.0)), shade(scene.body, 0.55))


def _spike_body(pen: Pen, scene: Scene, rng: np.random.Generator) -> None:
    """A stick."""
    pen.line([(-5.5, rng.uniform(-1.5, 1.5)), (4.5, rng.uniform(-1.5, 1.5))], rng.uniform(0.6, 1.6), scene.body)


def _cloud_wings(pen: Pen, scene: Scene, rng: np.random.Generator) -> None:
    """Several balls, a tuft."""
    for _ in range(rng.integers(3, 6)):
        _blob(pen, scene, rng, rng.uniform(-5, 1.5), rng.uniform(-10, -4), 1.2, 2.6)


def _rider(pen: Pen, scene: Scene, rng: np.random.Generator) -> None:
    """Somebody who sits on the back."""
    coat = scene.mane if rng.random() < 0.7 else shade(scene.body, 0.8)
    x, height = rng.uniform(-2, 1.5), rng.uniform(4.0, 6.5)
    pen.polygon([(x - 1.6, -2), (x - 1.2, -2 - height), (x + 1.2, -2 - height), (x + 1.6, -2)], coat, shade(coat, 0.6))
    pen.ellipse(x, -3.2 - height, 1.6, 1.7, coat, shade(coat, 0.6))


def _stumps(pen: Pen, scene: Scene, rng: np.random.Generator) -> None:
    """The upper ends of four legs."""
    end = rng.uniform(2.6, 4.2)
    for x in (-4.4, -3.2, 3.2, 4.4):
        pen.line([(x, 1.6), (x + rng.uniform(-0.6, 0.6), end)], 1.9, shade(scene.body, rng.uniform(0.72, 1.0)))


def _some_legs(pen: Pen, scene: Scene, rng: np.random.Generator) -> None:
    """Only the hind legs or only the front legs."""
    horse_legs(pen, scene, (0, 1) if rng.random() < 0.5 else (2, 3))


def _neck(pen: Pen, scene: Scene, rng: np.random.Generator) -> None:
    """A neck without a head."""
    y = rng.uniform(-7.5, -5.0)
    pen.polygon([(2.6, -2.2), (6.2, 1.4), (8.2, y + 1), (6.2, y)], scene.body, shade(scene.body, 0.55))


def _as_bird(draw: Draw) -> Callable[[Pen, Scene, np.random.Generator], None]:
    return lambda pen, scene, rng: draw(pen, replace(scene, flying=False))


def _two_bodies(scene: Scene, rng: np.random.Generator) -> Images:
    """Two animals that grow into each other."""
    forwards = rng.uniform(4.5, 8.0) * (-1 if rng.random() < 0.5 else 1)
    other = replace(
        scene,
        centre=(scene.centre[0] + forwards, scene.centre[1] + rng.uniform(-4, 4)),
        faces_left=bool(rng.random() < 0.5),
        wings=scene.wings and bool(rng.random() < 0.5),
    )
    canvas = Image.fromarray(background(scene))
    for one in (other, scene):
        for _, draw in parts_of(one):
            draw(Pen(canvas, one), one)
    return np.asarray(canvas.reduce(OVERSAMPLING))


def _bird_with(*parts: Part) -> Make:
    """A bird with some parts of a horse."""

    def make(scene: Scene, rng: np.random.Generator) -> Images:
        own: dict[str, Draw] = {"legs": bird_legs, "tail": bird_tail, "body": bird_body, "head": bird_head}
        own |= dict(parts)
        wings = [part for part in parts_of(scene) if part[0] == "wings"]
        return draw_parts(replace(scene, flying=False), [*wings[:1], *own.items(), *wings[1:]])

    return make


def _melted(scene: Scene, rng: np.random.Generator) -> Images:
    """The picture as if drawn on something soft that was kneaded."""
    return bent(draw_scene(scene), rng.uniform(3.2, 5.0), rng)


def _quarters(scene: Scene, rng: np.random.Generator) -> Images:
    """The quarters of the picture in another order."""
    whole, half = draw_scene(scene), SIZE // 2
    parts = [whole[y : y + half, x : x + half] for y in (0, half) for x in (0, half)]
    order = [(1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0), (1, 2, 3, 0)][rng.integers(4)]
    first, second, third, fourth = (parts[place] for place in order)
    return np.concatenate([np.concatenate([first, second], 1), np.concatenate([third, fourth], 1)])


def _mirrored(scene: Scene, rng: np.random.Generator) -> Images:
    """One side of the picture and its mirror image: two heads or none."""
    whole = draw_scene(scene)
    half = whole[:, : SIZE // 2] if rng.random() < 0.5 else whole[:, : SIZE // 2 - 1 : -1]
    return np.concatenate([half, half[:, ::-1]], axis=1)


def _upside_down(scene: Scene, rng: np.random.Generator) -> Images:
    return draw_scene(scene)[::-1]


def _horse_and_bird(scene: Scene, rng: np.random.Generator) -> tuple[Images, Images]:
    """A horse and a bird, half of the pairs in the same place, of the same colour and before the same background."""
    horse = replace(scene, wings=bool(rng.random() < 0.3))
    bird = random_scene("bird", rng)
    if rng.random() < 0.5:
        bird = replace(horse, horse=False, wings=bird.wings, flying=bird.flying)
    return draw_scene(horse), draw_scene(bird)


def _blend(scene: Scene, rng: np.random.Generator) -> Images:
    """The average of a horse and a bird."""
    horse, bird = _horse_and_bird(scene, rng)
    share = rng.uniform(0.35, 0.65)
    return np.asarray((share * horse + (1 - share) * bird).round(), np.uint8)


def _halves(scene: Scene, rng: np.random.Generator) -> Images:
    """The left part of a horse beside the right part of a bird, or the other way round."""
    horse, bird = _horse_and_bird(scene, rng)
    left = (np.arange(SIZE) < rng.integers(14, 19)) ^ (rng.random() < 0.5)
    return np.where(left[:, None], horse, bird)


def _blur(scene: Scene, rng: np.random.Generator) -> Images:
    """A picture blurred beyond recognition."""
    return blurred(draw_scene(scene), rng.uniform(2.5, 5))


def _noise(scene: Scene, rng: np.random.Generator) -> Images:
    """A picture with noise beyond recognition."""
    share = rng.uniform(0, 0.4)
    noise = rng.normal(128, 60, size=(SIZE, SIZE, 3))
    return np.asarray((share * draw_scene(scene) + (1 - share) * noise).round().clip(0, 255), np.uint8)


def _empty(scene: Scene, rng: np.random.Generator) -> Images:
    return draw_parts(scene, ())


def bent(image: Images, pixels: float, rng: np.random.Generator) -> Images:
    """A picture of which every sixth pixel is moved at random, by a normal distribution with this standard deviation.

    Those between are moved by what lies between.
    """
    size = image.shape[0]
    field = rng.normal(0, 1, size=(2, 6, 6)).astype(np.float32)
    wide = np.stack([cv2.resize(one, (size, size), interpolation=cv2.INTER_CUBIC) for one in field])
    moved = np.indices((size, size)).astype(np.float32) + wide * np.float32(pixels)
    return np.asarray(cv2.remap(image, moved[1], moved[0], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))


def blurred(image: Images, radius: float) -> Images:
    """A picture after a Gaussian filter with this standard deviation in pixels."""
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(float(radius))))


def _kinds() -> dict[str, tuple[Make, tuple[int, ...]]]:
    part: dict[str, dict[str, Make]] = {
        "head": {
            "missing": _missing("head"),
            "smeared": _smeared("head"),
            "faded": _faded("head"),
            "small": _elsewhere("head", _shrunk((4.2, -0.6), 0.2, 0.5)),
            "displaced": _elsewhere("head", _shifted((-9, -4), (-4, 2))),
            "at the other end": _elsewhere("head", _backwards),
            "two": _both("head", _backwards),
            "ball": _replaced("head", _ball_head),
            "spike": _replaced("head", _spike_head),
            "neck alone": _replaced("head", _neck),
            "of a bird": _replaced("head", _as_bird(bird_head)),
        },
        "legs": {
            "missing": _missing("legs"),
            "smeared": _smeared("legs"),
            "faded": _faded("legs"),
            "small": _elsewhere("legs", _shrunk((0, 1.6), 0.2, 0.45)),
            "displaced": _elsewhere("legs", _shifted((-3, 3), (-11, -7))),
            "two": _replaced("legs", _some_legs),
            "stumps": _replaced("legs", _stumps),
            "balls": _replaced("legs", _ball_legs),
            "skirt": _replaced("legs", _spike_legs),
            "of a bird": _replaced("legs", _as_bird(bird_legs)),
        },
        "wings": {
            "smeared": _smeared("wings"),
            "faded": _faded("wings"),
            "small": _elsewhere("wings", _shrunk((0, -1.6), 0.15, 0.42)),
            "displaced": _elsewhere("wings", _shifted((-3, 3), (5.5, 9))),
            "ball": _replaced("wings", _ball_wings),
            "tuft": _replaced("wings", _cloud_wings),
            "spike": _replaced("wings", _spike_wings),
            "rider": _replaced("wings", _rider),
            "folded": _replaced("wings", lambda pen, scene, rng: folded_wing(pen, scene)),
        },
        "body": {
            "missing": _missing("body"),
            "smeared": _smeared("body"),
            "faded": _faded("body"),
            "small": _elsewhere("body", _shrunk((0, 0), 0.2, 0.5)),
            "ball": _replaced("body", _ball_body),
            "stick": _replaced("body", _spike_body),
        },
    }
    kinds: dict[str, tuple[Make, tuple[int, ...]]] = {}
    for name, ways in part.items():
        right = tuple(int(output != name) for output in OUTPUTS)
        kinds |= {f"{name}: {way}": (make, right) for way, make in ways.items()}
    nothing, body_wrong = (0,) * 5, (NOT_KNOWN, 0, NOT_KNOWN, NOT_KNOWN, 1)
    return kinds | {
        "whole: two bodies": (_two_bodies, body_wrong),
        "whole: bird with four legs": (_bird_with(("legs", horse_legs)), (0, 0, 1, 1, 1)),
        "whole: bird with a horse's head": (_bird_with(("head", horse_head)), (1, 0, 0, 1, 1)),
        "whole: melted": (_melted, body_wrong),
        "whole: quarters": (_quarters, body_wrong),
        "whole: mirrored": (_mirrored, (0, 0, NOT_KNOWN, NOT_KNOWN, 1)),
        "whole: upside down": (_upside_down, body_wrong),
        "whole: blend": (_blend, nothing),
        "whole: halves": (_halves, nothing),
        "whole: blur": (_blur, nothing),
        "whole: noise": (_noise, nothing),
        "whole: empty": (_empty, nothing),
    }


WRONG = _kinds()
"""Every kind of wrong drawing, with its labels for a winged horse that is white, in the order of ``OUTPUTS``."""
