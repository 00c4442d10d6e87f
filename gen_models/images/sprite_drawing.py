"""Draws one scene: a horse, a bird or a winged horse in front of a background.

Lengths are pixels of the final picture, 32 x 32; x grows to the right, y downwards. A body's points are given for an
animal that faces right and stands at the origin. Everything is drawn at four times the size and then reduced.

Credits: Pillow's ImageDraw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIZE = 32
OVERSAMPLING = 4

Colour = tuple[int, int, int]
Point = tuple[float, float]

BEAK: Colour = (240, 150, 30)
EYE: Colour = (15, 15, 20)

# The wings of birds and of winged horses: the near one, whose root lies on the middle of the back.
RAISED_WING: tuple[Point, ...] = (
    (2.6, -0.6), (2.2, -4.6), (0.4, -8.4), (-2.6, -11.2), (-5.6, -12.4),
    (-6.0, -10.6), (-5.0, -9.4), (-6.6, -8.9), (-6.3, -7.4), (-4.9, -6.8),
    (-6.4, -5.9), (-5.6, -4.4), (-4.3, -4.2), (-5.0, -2.8), (-3.4, -0.8), (-0.6, 0.6),
)  # fmt: skip
QUILLS: tuple[tuple[Point, Point], ...] = (
    ((-5.0, -9.4), (-1.4, -5.6)),
    ((-4.9, -6.8), (-1.2, -3.8)),
    ((-4.3, -4.2), (-1.0, -1.8)),
)
FOLDED_WING: tuple[Point, ...] = (
    (2.9, -1.4), (1.2, -2.3), (-2.2, -1.8), (-6.8, 0.6), (-4.6, 1.1), (-3.8, 1.9), (-2.2, 1.6), (-0.8, 2.1), (1.6, 1.4),
)  # fmt: skip

# Angles in degrees, forwards positive: thigh and shank of near hind, far hind, near front, far front leg.
GAITS: dict[str, tuple[tuple[float, float], ...]] = {
    "stand": ((-4, 2), (6, 6), (2, 0), (-6, -4)),
    "walk": ((-22, -14), (16, 2), (20, 4), (-16, -24)),
    "trot": ((26, -12), (-26, -34), (-20, -44), (34, 6)),
    "gallop": ((-44, -56), (-30, -44), (52, 20), (36, 2)),
}


@dataclass(frozen=True)
class Scene:
    """Everything that decides a drawing.

    :param horse: a horse's body, else a bird's
    :param wings: raised wings
    :param sky: colours at the top and at the horizon
    :param ground: colours at the horizon and at the bottom, None without a horizon
    :param centre: of the body
    :param scale: 1 is an animal about 20 pixels wide
    :param tilt: of the body, in degrees, positive with the head up
    :param pose: eight numbers from -1 to 1 that bend neck, tail, legs and wings
    """

    horse: bool
    wings: bool
    body: Colour
    mane: Colour
    sky: tuple[Colour, Colour]
    ground: tuple[Colour, Colour] | None
    horizon: float
    centre: Point
    scale: float
    tilt: float
    faces_left: bool
    gait: str
    flying: bool
    pose: tuple[float, ...]


def draw_scene(scene: Scene) -> NDArray[np.uint8]:
    """The picture, uint8 (32, 32, 3)."""
    return draw_parts(scene, parts_of(scene))


def parts_of(scene: Scene) -> list[Part]:
    """What is drawn of an animal, from back to front, each with its name; the wings are two parts."""
    parts: list[Part] = [("legs", horse_legs), ("tail", horse_tail), ("body", horse_body), ("head", horse_head)]
    if not scene.horse:
        parts = [("legs", bird_legs), ("tail", bird_tail), ("body", bird_body), ("head", bird_head)]
    if scene.wings:
        return [("wings", far_wing), *parts, ("wings", near_wing)]
    return parts if scene.horse else [*parts, ("wings", folded_wing)]


def draw_parts(scene: Scene, parts: Sequence[Part]) -> NDArray[np.uint8]:
    """The background and these parts, in this order, uint8 (32, 32, 3)."""
    canvas = Image.fromarray(background(scene))
    pen = Pen(canvas, scene)
    for _, draw in parts:
        draw(pen, scene)
    return np.asarray(canvas.reduce(OVERSAMPLING))


def background(scene: Scene) -> NDArray[np.uint8]:
    """The background at four times the size, uint8 (128, 128, 3)."""
    side = SIZE * OVERSAMPLING
    rows = np.linspace(scene.sky[0], scene.sky[1], side)
    if scene.ground is not None:
        first = round(scene.horizon * OVERSAMPLING)
        rows[:first] = np.linspace(scene.sky[0], scene.sky[1], first)
        rows[first:] = np.linspace(scene.ground[0], scene.ground[1], side - first)
    return np.repeat(rows.round().astype(np.uint8)[:, None], side, axis=1)


def shade(colour: Colour, factor: float) -> Colour:
    """A darker colour, or for a factor above 1 a lighter one."""
    red, green, blue = (min(255, max(0, round(part * factor))) for part in colour)
    return red, green, blue


class Pen:
    """Draws in the animal's own coordinates.

    :param canvas: of four times the final size
    """

    def __init__(self, canvas: Image.Image, scene: Scene) -> None:
        self._draw = ImageDraw.Draw(canvas)
        turn = math.radians(-scene.tilt)
        self._cos, self._sin = math.cos(turn) * scene.scale, math.sin(turn) * scene.scale
        self._mirror = -1 if scene.faces_left else 1
        self._centre = scene.centre
        self._scale = scene.scale

    def place(self, points: Sequence[Point]) -> list[Point]:
        x0, y0 = self._centre
        return [
            (
                (x0 + self._mirror * (x * self._cos - y * self._sin)) * OVERSAMPLING,
                (y0 + x * self._sin + y * self._cos) * OVERSAMPLING,
            )
            for x, y in points
        ]

    def polygon(self, points: Sequence[Point], fill: Colour, outline: Colour | None = None) -> None:
        placed = self.place(points)
        self._draw.polygon(placed, fill)
        if outline is not None:
            self._draw.line([*placed, placed[0]], outline, 2, "curve")

    def line(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        placed = self.place(points)
        pixels = max(1, round(width * self._scale * OVERSAMPLING))
        self._draw.line(placed, fill, pixels, "curve")
        for x, y in (placed[0], placed[-1]):
            self._draw.circle((x, y), pixels / 2, fill)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour, outline: Colour, turn: float = 0) -> None:
        cos, sin = math.cos(math.radians(-turn)), math.sin(math.radians(-turn))
        circle = [(rx * math.cos(a), ry * math.sin(a)) for a in np.linspace(0, 2 * math.pi, 28, endpoint=False)]
        self.polygon([(x + u * cos - v * sin, y + u * sin + v * cos) for u, v in circle], fill, outline)


Part = tuple[str, Callable[[Pen, Scene], None]]
"""A name and the function that draws it."""


def turned(points: Sequence[Point], about: Point, degrees: float, stretch: float = 1) -> list[Point]:
    """Points rotated about a point, clockwise for an animal that faces right."""
    cos, sin = math.cos(math.radians(degrees)) * stretch, math.sin(math.radians(degrees)) * stretch
    x0, y0 = about
    return [(x0 + (x - x0) * cos - (y - y0) * sin, y0 + (x - x0) * sin + (y - y0) * cos) for x, y in points]


def far_wing(pen: Pen, scene: Scene) -> None:
    """The raised wing behind the body."""
    _raised_wing(pen, scene, far=True)


def near_wing(pen: Pen, scene: Scene) -> None:
    """The raised wing in front of the body."""
    _raised_wing(pen, scene, far=False)


def _raised_wing(pen: Pen, scene: Scene, far: bool) -> None:
    root = (0.0, -0.6)
    turn = 7 * scene.pose[0] + (24 + 5 * scene.pose[1] if far else 0)
    stretch = (1 + 0.08 * scene.pose[2]) * (0.95 if far else 1)

    def put(points: Sequence[Point]) -> list[Point]:
        return [(x, y - 1.6) for x, y in turned(points, root, turn, stretch)]

    outline = shade(scene.body, 0.55)
    pen.polygon(put(RAISED_WING), shade(scene.body, 0.78 if far else 0.95), outline)
    if not far:
        for quill in QUILLS:
            pen.line(put(quill), 0.35, shade(scene.body, 0.68))


def horse_legs(pen: Pen, scene: Scene, legs: Sequence[int] = (0, 1, 2, 3)) -> None:
    """A horse's legs: near hind, far hind, near front and far front."""
    gait = GAITS[scene.gait]
    for leg in (1, 3, 0, 2):  # the far ones first
        if leg not in legs:
            continue
        colour = shade(scene.body, 0.72) if leg in (1, 3) else scene.body
        _horse_leg(pen, (-4.4 if leg < 2 else 4.0) + (0.8 if leg in (1, 3) else 0), gait[leg], scene, leg, colour)


def horse_tail(pen: Pen, scene: Scene) -> None:
    """A horse's tail."""
    swing = 1.5 * scene.pose[3]
    pen.line([(-6.0, -1.6), (-8.0, -1.2), (-9.2 - swing, 1.6), (-9.0 - 1.6 * swing, 5.0)], 1.7, scene.mane)


def horse_body(pen: Pen, scene: Scene) -> None:
    """A horse's trunk."""
    pen.ellipse(0, 0, 6.7, 3.3, scene.body, shade(scene.body, 0.55))


def horse_head(pen: Pen, scene: Scene) -> None:
    """A horse's neck, head and mane."""
    body, outline = scene.body, shade(scene.body, 0.55)
    nod = 9 * scene.pose[4]
    base = (4.2, -0.6)

    def put(points: Sequence[Point]) -> list[Point]:
        return turned(points, base, nod)

    pen.polygon(put([(2.6, -2.2), (6.2, 1.4), (8.6, -4.6), (8.4, -8.2), (5.9, -8.0)]), body, outline)
    pen.polygon(
        put([(5.7, -8.2), (7.4, -9.3), (8.8, -8.6), (11.9, -5.4), (11.3, -4.0), (9.6, -3.9), (7.6, -5.6)]),
        body,
        outline,
    )
    pen.polygon(put([(6.2, -8.6), (6.5, -11.0), (7.8, -9.0)]), body, outline)
    pen.polygon([(3.0, -1.4), (2.5, -2.4), (5.0, -0.2), (6.1, 1.0), (4.5, 1.5), (1.0, 1.0)], body)  # hides the seam
    pen.polygon(
        put([(7.8, -9.6), (5.6, -9.2), (4.2, -7.0), (2.6, -4.6), (1.0, -2.6), (3.4, -2.0), (5.2, -5.0), (6.4, -7.8)]),
        scene.mane,
    )
    pen.ellipse(*put([(8.4, -7.2)])[0], 0.5, 0.5, EYE, EYE)


def _horse_leg(pen: Pen, x: float, angles: tuple[float, float], scene: Scene, leg: int, colour: Colour) -> None:
    thigh, shank = (math.radians(angle + 7 * scene.pose[4 + leg % 4]) for angle in angles)
    hip = (x, 1.6)
    knee = (hip[0] + 4.0 * math.sin(thigh), hip[1] + 4.0 * math.cos(thigh))
    hoof = (knee[0] + 3.9 * math.sin(shank), knee[1] + 3.9 * math.cos(shank))
    outline = shade(scene.body, 0.55)
    pen.line([hip, knee, hoof], 2.1, outline)
    pen.line([hip, knee], 1.9, colour)
    pen.line([knee, hoof], 1.4, colour)
    end = (hoof[0] - 0.7 * math.sin(shank), hoof[1] - 0.7 * math.cos(shank))
    pen.line([end, hoof], 1.5, shade(scene.mane, 0.5))


def bird_legs(pen: Pen, scene: Scene) -> None:
    """A bird's legs; none where it flies."""
    if not scene.flying:
        for x, forward in ((-0.6, scene.pose[5]), (1.5, scene.pose[6])):
            foot = (x + 0.8 * forward, 7.6)
            pen.line([(x, 2.6), foot], 0.8, BEAK)
            pen.line([(foot[0] - 0.8, 7.7), (foot[0] + 1.6, 7.7)], 0.7, BEAK)


def bird_tail(pen: Pen, scene: Scene) -> None:
    """A bird's tail."""
    swing = scene.pose[3]
    pen.polygon(
        [
            (-3.6, -0.8),
            (-9.6, 0.2 + swing),
            (-10.2, 1.8 + swing),
            (-9.4, 2.1 + swing),
            (-9.5, 3.4 + swing),
            (-3.2, 2.4),
        ],
        shade(scene.body, 0.78),
        shade(scene.body, 0.55),
    )


def bird_body(pen: Pen, scene: Scene) -> None:
    """A bird's trunk."""
    pen.ellipse(-0.2, 0.2, 5.8, 3.5, scene.body, shade(scene.body, 0.55), turn=14)


def bird_head(pen: Pen, scene: Scene) -> None:
    """A bird's head with its beak."""
    body, outline = scene.body, shade(scene.body, 0.55)
    nod = 12 * scene.pose[4]

    def put(points: Sequence[Point]) -> list[Point]:
        return turned(points, (3.6, -1.4), nod)

    pen.polygon(put([(7.4, -5.4), (11.0, -3.9), (7.2, -2.9)]), BEAK, shade(BEAK, 0.7))
    pen.ellipse(*put([(5.4, -4.1)])[0], 2.8, 2.7, body, outline)
    pen.ellipse(*put([(3.9, -1.9)])[0], 2.2, 1.7, body, body)  # hides the seam
    pen.ellipse(*put([(6.3, -4.6)])[0], 0.55, 0.55, EYE, EYE)


def folded_wing(pen: Pen, scene: Scene) -> None:
    """A bird's wing at rest."""
    outline = shade(scene.body, 0.55)
    pen.polygon(turned(FOLDED_WING, (1, -1), 5 * scene.pose[0]), shade(scene.body, 0.86), outline)
