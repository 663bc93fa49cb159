"""Draw one street scene in perspective, with a class for every pixel.

A scene is a box: sky above a horizon, a road that narrows towards a vanishing point, pavements and
house fronts beside it, and things that stand or move, drawn from far to near. Several classes share
one palette, so a pixel's class depends on what is around it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64, UInt8

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
UNLABELLED = 11
SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)

# Grey levels (red, green, blue) that buildings, signs, fences, cars and clothes have in common.
_PALETTE = np.array(
    [
        (168, 74, 62),
        (196, 182, 150),
        (122, 116, 112),
        (84, 98, 124),
        (206, 202, 196),
        (146, 120, 86),
        (62, 84, 74),
        (58, 56, 62),
    ]
)
# A row of the ground: kerbs left and right, width of a pavement, outer ends of the pavements.
Edges = tuple[int, int, int, int, int]


class Numbers:
    """The random whole numbers of one scene, handed out one by one."""

    def __init__(self, values: Int64[np.ndarray, n]) -> None:
        self._left = iter(values.tolist())

    def __call__(self, low: int, high: int) -> int:
        """Return a number from ``low`` to ``high``, both included; ``low`` if ``high`` is less."""
        return low + next(self._left) % max(high - low + 1, 1)


class Canvas:
    """Labels and colours of one scene; boxes are cut at the borders."""

    def __init__(self, labels: UInt8[np.ndarray, "h w"], colours: UInt8[np.ndarray, "3 h w"]):
        self.labels, self.colours = labels, colours
        self.height, self.width = labels.shape

    def box(self, top: int, left: int, height: int, width: int, label: int, colour) -> None:
        """Paint a rectangle."""
        rows = slice(max(top, 0), max(top + height, 0))
        columns = slice(max(left, 0), max(left + width, 0))
        self.labels[rows, columns] = label
        self.colours[:, rows, columns] = np.asarray(colour, np.uint8)[:, None, None]

    def ellipse(self, top: int, left: int, height: int, width: int, label: int, colour) -> None:
        """Paint the ellipse that fills a rectangle."""
        rows = np.arange(max(top, 0), min(top + height, self.height))
        columns = np.arange(max(left, 0), min(left + width, self.width))
        if not len(rows) or not len(columns):
            return
        vertical = ((2 * (rows - top) + 1 - height) * width) ** 2
        across = ((2 * (columns - left) + 1 - width) * height) ** 2
        inside = vertical[:, None] + across[None, :] <= (height * width) ** 2
        place = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        self.labels[place][inside] = label
        self.colours[:, *place][:, inside] = np.asarray(colour, np.uint8)[:, None]


def draw_scene(canvas: Canvas, number: Numbers) -> None:
    """Paint a whole scene."""
    height, width = canvas.height, canvas.width
    horizon = height * number(38, 52) // 100
    vanishing = width * number(35, 65) // 100
    blue = number(0, 60)
    canvas.box(0, 0, height, width, SKY, (150 + blue // 2, 180 + blue // 3, 190 + blue))
    ground = _draw_ground(canvas, number, horizon, vanishing)
    _draw_fronts(canvas, number, horizon, ground)
    things = sorted(_things(number, height, horizon), key=lambda thing: thing[0])
    for foot, kind, side, place in things:
        edges = ground[foot - horizon]
        _STANDING[kind](canvas, number, foot, _scale(foot, horizon, height), edges, side, place)
    if number(0, 1):  # the bonnet of the car that carries the camera
        rows = height * number(4, 8) // 100
        canvas.box(height - rows, width // 5, rows, width * 3 // 5, UNLABELLED, (40, 40, 44))


def _scale(foot: int, horizon: int, height: int) -> int:
    """Return how many thousandths of the image's height a metre takes up at a row of the ground."""
    return 28 + 150 * (foot - horizon) // max(height - horizon, 1)


def _things(number: Numbers, height: int, horizon: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (row of its foot, kind, side of the road, place) of what stands in a scene."""
    for kind, (low, high) in enumerate(_COUNTS):
        for _ in range(number(low, high)):
            depth = number(2, 80) * number(20, 100) // 100
            yield horizon + (height - 1 - horizon) * depth // 100, kind, number(0, 1), number(0, 99)


def _draw_fronts(canvas: Canvas, number: Numbers, horizon: int, ground: list[Edges]) -> None:
    """Paint house fronts on both sides, each as far away as the pavement it stands at."""
    left = 0
    while left < canvas.width:
        wide = canvas.width * number(7, 16) // 100
        middle = left + wide // 2
        near = next((i for i, e in enumerate(ground) if e[3] <= middle <= e[4]), len(ground))
        above = 8 + near * number(50, 130) // 100
        tall = min(canvas.height * above // 100, horizon * number(80, 96) // 100)
        if number(0, 9):
            colour = _PALETTE[number(0, 5)]
            canvas.box(horizon - tall, left, tall + near, wide, BUILDING, colour)
            _draw_windows(canvas, number, (horizon - tall, left, tall + near // 2, wide), colour)
        left += wide


def _draw_windows(canvas: Canvas, number: Numbers, front: tuple[int, ...], colour) -> None:
    top, left, tall, wide = front
    step = number(6, 11)
    shade = np.maximum(colour - 45, 0) if number(0, 2) else np.minimum(colour + 40, 255)
    for row in range(top + 3, top + tall - 4, step):
        for column in range(left + 2, left + wide - 3, step):
            canvas.box(row, column, step // 2, step // 2, BUILDING, shade)


def _draw_ground(canvas: Canvas, number: Numbers, horizon: int, vanishing: int) -> list[Edges]:
    """Paint pavements and the road, and return where both lie in each row below the horizon."""
    height, width = canvas.height, canvas.width
    left_foot, right_foot = -width * number(0, 25) // 100, width + width * number(0, 25) // 100
    grey = number(88, 120)
    pavement = (grey + number(-6, 22), grey + number(-6, 18), grey + number(-6, 14))
    rows = []
    for row in range(horizon, height):
        near = (row - horizon) * 1000 // max(height - horizon, 1)
        left = vanishing + (left_foot - vanishing) * near // 1000
        right = vanishing + (right_foot - vanishing) * near // 1000
        wide = 2 + width * near // 3500
        canvas.box(row, 0, 1, width, PAVEMENT, pavement)
        canvas.box(row, left, 1, right - left, ROAD, (grey,) * 3)
        if near // 70 % 2:
            canvas.box(row, (left + right) // 2, 1, 1 + near // 500, ROAD, (grey + 90,) * 3)
        rows.append((left, right, wide, left - 2 * wide, right + 2 * wide))
    return rows


def _beside(edges, side: int, place: int) -> int:
    """Return a column on the pavement of a side."""
    left, right, wide = edges[:3]
    return left - wide * place // 100 if side == 0 else right + wide * place // 100


def _draw_tree(canvas, number, foot, scale, edges, side, place) -> None:
    tall = canvas.height * scale * number(35, 60) // 10_000
    column, trunk = _beside(edges, side, place), max(scale * canvas.height // 4000, 1)
    canvas.box(foot - tall, column, tall, trunk, TREE, (84, 66, 50))
    green = (50 + number(0, 40), 84 + number(0, 50), 40 + number(0, 30))
    across = tall * number(60, 90) // 100
    canvas.ellipse(foot - tall - across // 3, column - across // 2, across, across, TREE, green)


def _draw_pole(canvas, number, foot, scale, edges, side, place) -> None:
    tall = canvas.height * scale * number(30, 50) // 10_000
    wide = max(canvas.height * scale // 9000, 1)
    column = _beside(edges, side, place)
    canvas.box(foot - tall, column, tall, wide, POLE, (number(70, 150),) * 3)
    if number(0, 2):
        plate = max(canvas.height * scale * 8 // 10_000, 3)
        left = column + wide // 2 - plate // 2
        shape = canvas.ellipse if number(0, 1) else canvas.box
        shape(foot - tall, left, plate, plate, SIGN, _PALETTE[number(0, 5)])


def _draw_fence(canvas, number, foot, scale, edges, side, place) -> None:
    tall = max(canvas.height * scale * 11 // 10_000, 2)
    long = canvas.height * scale * number(30, 70) // 10_000
    left = edges[0] - edges[2] - long if side == 0 else edges[1] + edges[2]
    colour = _PALETTE[number(1, 7)]
    canvas.box(foot - tall, left, tall, long, FENCE, colour)
    for column in range(left, left + long, max(tall // 3, 3)):
        canvas.box(foot - tall, column, tall, 1, FENCE, np.maximum(colour - 40, 0))


def _draw_car(canvas, number, foot, scale, edges, side, place) -> None:
    tall, wide = (max(canvas.height * scale * m // 10_000, 4) for m in (15, number(18, 40)))
    lane = (edges[1] - edges[0]) // 2
    left = edges[0] + lane * side + (lane - wide) * place // 100
    colour = _PALETTE[number(0, 7)]
    canvas.box(foot - tall, left + wide // 6, tall // 2 + 1, wide * 2 // 3, CAR, colour)
    canvas.box(foot - tall + tall // 8, left + wide // 4, tall // 3, wide // 2, CAR, (46, 54, 66))
    canvas.box(foot - tall * 5 // 8, left, tall // 2, wide, CAR, colour)
    wheel = max(tall // 3, 2)
    for column in (left + wide // 10, left + wide - wide // 10 - wheel):
        canvas.ellipse(foot - wheel, column, wheel, wheel, CAR, (26, 26, 28))


def _draw_person(canvas, number, foot, scale, edges, side, place, label=PEDESTRIAN) -> None:
    tall = max(canvas.height * scale * 17 // 10_000, 4)
    wide, head = max(tall // 3, 2), max(tall // 5, 2)
    column = _beside(edges, side, place) if label == PEDESTRIAN else place
    coat, legs = _PALETTE[number(0, 7)], _PALETTE[number(3, 7)]
    canvas.box(foot - tall // 2, column + wide // 5, tall // 2, wide * 3 // 5, label, legs)
    canvas.box(foot - tall + head, column, tall * 45 // 100, wide, label, coat)
    canvas.ellipse(foot - tall, column + wide // 2 - head // 2, head, head, label, (190, 150, 124))


def _draw_bicyclist(canvas, number, foot, scale, edges, side, place) -> None:
    wheel = max(canvas.height * scale * 7 // 10_000, 3)
    lane = max((edges[1] - edges[0]) // 6, 1)
    left = edges[0] + lane * place // 100 if side == 0 else edges[1] - lane * place // 100 - wheel
    for column in (left, left + wheel):
        canvas.ellipse(foot - wheel, column, wheel, wheel, BICYCLIST, (30, 30, 32))
    middle = left + wheel - wheel // 4
    _draw_person(canvas, number, foot - wheel // 3, scale, edges, side, middle, label=BICYCLIST)


_STANDING = (_draw_fence, _draw_tree, _draw_pole, _draw_car, _draw_person, _draw_bicyclist)
_COUNTS = ((0, 3), (1, 4), (2, 5), (1, 5), (1, 5), (0, 2))
