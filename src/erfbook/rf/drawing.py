"""The field of one unit over the image plane, as an SVG that needs nothing else.

Everything is drawn in input pixels and scaled: pixel i covers i to i + 1, so that a region from
first to last is a rectangle of whole pixels, also where it leaves the image.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np
from jaxtyping import Bool

from erfbook.rf.fields import Field
from erfbook.rf.printing import columns

SIDE = 620.0  # of the drawing's longer side, in SVG units; chosen by us
STRIP = 60.0  # height of a signal's strip
MARGIN = 34.0  # room for labels around the plane
LINE = 19.0  # of text
LEAST_GAP = 6.0  # between two lines of the stride grid
MOST_BLOCKS = 40_000  # rectangles of a support with holes, beyond which it is not drawn

# Every colour is given for a light and a dark surface; the drawing brings its own surface.
STYLE = """
.surface{fill:#fff}.image{fill:#eceff3}.border{fill:none;stroke:#24292f;stroke-width:1.5}
.region{fill:#0072b2;fill-opacity:.16;stroke:#0072b2;stroke-width:2;stroke-dasharray:7 4}
.inside{fill:#0072b2;fill-opacity:.3}.support{fill:#0072b2;fill-opacity:.75}
.grid{stroke:#24292f;stroke-opacity:.3;stroke-width:.75;fill:none}
.centre{stroke:#b3470a;stroke-width:2.5;fill:none}
text{font:14px system-ui,sans-serif;fill:#24292f}.name{font-weight:600}
@media (prefers-color-scheme:dark){
.surface{fill:#14181d}.image{fill:#262c34}.border{stroke:#e6e9ed}
.region{fill:#56b4e9;stroke:#56b4e9}.inside,.support{fill:#56b4e9}
.grid{stroke:#e6e9ed}.centre{stroke:#ffa94d}text{fill:#e6e9ed}}
"""


@dataclass(frozen=True)
class _Plane:
    """Where an input pixel lies in the drawing: ``left + (x - x0) * scale`` and the like."""

    x0: float
    y0: float
    width: float
    height: float
    x_scale: float
    y_scale: float

    def x(self, pixel: float) -> float:
        return MARGIN + (pixel - self.x0) * self.x_scale

    def y(self, pixel: float) -> float:
        return MARGIN + LINE + (pixel - self.y0) * self.y_scale

    def rectangle(self, kind: str, ends: Sequence[tuple[float, float]]) -> str:
        """Return a rectangle from the first to the last pixel of both axes, inclusive."""
        (top, bottom), (left, right) = ends
        w, h = (right - left + 1) * self.x_scale, (bottom - top + 1) * self.y_scale
        place = f'x="{_n(self.x(left))}" y="{_n(self.y(top))}" width="{_n(w)}" height="{_n(h)}"'
        return f'<rect class="{kind}" {place}/>'


def draw_field(field: Field, unit: tuple[int, ...], *, model: str = "the model") -> str:
    """Return an SVG of one unit's field: image, region, holes, grid of units and centre.

    Args:
        field: the field of a layer's units, with one or two spatial axes.
        unit: the unit's index, per axis.
        model: how to name the model.

    Raises:
        ValueError: the field has three axes, or there is no such unit.
    """
    if len(field.input_size) > 2:
        raise ValueError(f"a field can be drawn with 1 or 2 spatial axes, not {len(field.grid)}")
    region, inside = (_in_plane(field.region(unit, clip=clip)) for clip in (False, True))
    image = _in_plane(tuple((0, n - 1) for n in field.input_size))
    plane = _plane(image, region, strip=len(field.input_size) == 1)
    parts = [plane.rectangle("image", image), plane.rectangle("region", region)]
    parts += _read_pixels(plane, field, unit, inside)
    lines, every = _grid(plane, field)
    parts += [*lines, plane.rectangle("border", image), *_centre(plane, field, unit)]
    caption = _caption(field, unit, every)
    parts += _labels(plane, image, region, strip=len(field.input_size) == 1)
    name = f"{field.path or 'output'} of {model}, unit {_numbers(unit)}"
    return _document(plane, name, caption, parts)


def _in_plane(box: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return rows and columns; a signal is a plane of one row."""
    return [(0, 0), *box] if len(box) == 1 else list(box)


def _plane(image, region, *, strip: bool) -> _Plane:
    first = [min(a[0], b[0]) for a, b in zip(image, region, strict=True)]
    last = [max(a[1], b[1]) for a, b in zip(image, region, strict=True)]
    height, width = (b - a + 1 for a, b in zip(first, last, strict=True))
    scale = SIDE / width if strip else SIDE / max(height, width)
    y_scale = STRIP if strip else scale
    return _Plane(first[1], first[0], width * scale, height * y_scale, scale, y_scale)


def _read_pixels(plane: _Plane, field: Field, unit: tuple[int, ...], inside) -> list[str]:
    """Fill what the unit reads inside the image: all of the region, or its exact pixels."""
    if any(last < first for first, last in inside):
        return []
    (top, bottom), (left, right) = inside
    support = field.support(unit).reshape(-1, field.input_size[-1])
    support = support[top : bottom + 1, left : right + 1]
    if support.all():
        return [plane.rectangle("inside", inside)]
    blocks = [*_blocks(support)]
    if len(blocks) > MOST_BLOCKS:
        return [plane.rectangle("inside", inside)]
    runs = []
    for y, x, h, w in blocks:
        box = f"{_n(plane.x(left + x))} {_n(plane.y(top + y))}"
        across, down = _n(w * plane.x_scale), _n(h * plane.y_scale)
        runs.append(f"M{box}h{across}v{down}h-{across}z")
    return [f'<path class="support" d="{"".join(runs)}"/>']


def _blocks(mask: Bool[np.ndarray, "rows columns"]) -> Iterator[tuple[int, int, int, int]]:
    """Yield (row, column, height, width) of rectangles that tile the true part of a mask.

    >>> [*_blocks(np.array([[1, 0, 1], [1, 0, 1], [0, 1, 1]], bool))]
    [(0, 0, 2, 1), (0, 2, 2, 1), (2, 1, 1, 2)]
    """
    changed = np.any(mask[1:] != mask[:-1], axis=1)
    starts = [0, *(np.flatnonzero(changed) + 1), len(mask)]
    for top, end in itertools.pairwise(starts):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], mask[top].view(np.int8), [0]])))
        for left, right in zip(edges[::2], edges[1::2], strict=True):
            yield int(top), int(left), int(end - top), int(right - left)


def _grid(plane: _Plane, field: Field) -> tuple[list[str], int]:
    """Return lines through the centres of the layer's units, and of how many one is drawn."""
    if not field.grid or field.is_global:
        return [], 0
    rows, columns = _centres(field)
    gaps = [abs(plane.x_scale * (b - a)) for a, b in itertools.pairwise(columns)]
    gaps += [abs(plane.y_scale * (b - a)) for a, b in itertools.pairwise(rows)]
    gap = min([g for g in gaps if g > 0], default=SIDE)
    every = max(1, int(np.ceil(LEAST_GAP / gap)))
    left, right = plane.x(min(columns) + 0.5), plane.x(max(columns) + 0.5)
    top, bottom = plane.y(min(rows) + 0.5), plane.y(max(rows) + 0.5)
    if len(field.grid) == 1:  # a strip has no rows to mark
        top, bottom, rows = plane.y(0), plane.y(1), []
    across = "".join(f"M{_n(left)} {_n(plane.y(c + 0.5))}H{_n(right)}" for c in rows[::every])
    down = "".join(f"M{_n(plane.x(c + 0.5))} {_n(top)}V{_n(bottom)}" for c in columns[::every])
    return [f'<path class="grid" d="{across}{down}"/>'], every


def _centres(field: Field) -> list[list[float]]:
    """Return the centres of the units along rows and columns, in input pixels."""
    found = []
    for axis, n in enumerate(field.grid):
        units = [tuple(u if a == axis else 0 for a in range(len(field.grid))) for u in range(n)]
        found.append([field.centre(unit)[axis] for unit in units])
    return [[0.0], *found] if len(found) == 1 else found


def _centre(plane: _Plane, field: Field, unit: tuple[int, ...]) -> list[str]:
    if field.is_global:
        return []
    y, x = [0.0, *field.centre(unit)][-2:]
    x, y = plane.x(x + 0.5), plane.y(y + 0.5)
    return [f'<path class="centre" d="M{_n(x - 7)} {_n(y)}h14M{_n(x)} {_n(y - 7)}v14"/>']


def _labels(plane: _Plane, image, region, *, strip: bool) -> Iterator[str]:
    yield _label(plane, f"field {_extent(region, strip=strip)}", region, above=True)
    what = "signal" if strip else "image"
    yield _label(plane, f"{what} {_extent(image, strip=strip)}", image, above=False)


def _label(plane: _Plane, words: str, box, *, above: bool) -> str:
    """Put words at a rectangle's upper or lower edge, at the side where there is room."""
    (top, bottom), (left, right) = box
    y = plane.y(top) - 6 if above else plane.y(bottom + 1) + 15
    x, anchor = plane.x(left), "start"
    if x > MARGIN + 0.6 * plane.width:
        x, anchor = plane.x(right + 1), "end"
    return f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{words}</text>'


def _extent(box, *, strip: bool) -> str:
    height, width = (b - a + 1 for a, b in box)
    return f"{width} px" if strip else f"{height} × {width} px"


def _caption(field: Field, unit: tuple[int, ...], every: int) -> list[str]:
    """Return sentences that say in numbers what is drawn."""
    _, size, stride, padding = columns(field)
    if field.is_global:
        return [f"The unit sees the whole image: {field.why}."]
    said = [f"Dashed: the field, {size} px, {_ends(field.region(unit))}."]
    inside = field.region(unit, clip=True)
    if any(last < first for first, last in inside):
        said.append("Nothing of the image reaches the unit.")
    else:
        n = int(field.support(unit).sum())
        said.append(f"Filled: the {n:,} pixels that reach the unit, in {_ends(inside)}.")
    said.append(f"Cross: its centre, {_numbers(field.centre(unit))}.")
    if every:
        which = "" if every == 1 else f", every {_ordinal(every)} unit"
        said.append(f"Thin lines meet at the centres of units{which}: stride {stride} px.")
    said.append(f"Effective padding {padding} px." if padding != "-" else "")
    said.append("" if field.aligned else f"Misaligned: {field.why}.")
    return [sentence for sentence in said if sentence]


def _ends(box: Sequence[tuple[int, int]]) -> str:
    names = ("positions",) if len(box) == 1 else ("rows", "columns")
    return ", ".join(f"{name} {a} to {b}" for name, (a, b) in zip(names, box, strict=True))


def _ordinal(n: int) -> str:
    return f"{n}{'nd' if n % 10 == 2 and n % 100 != 12 else 'rd' if n % 10 == 3 else 'th'}"


def _document(plane: _Plane, name: str, caption: list[str], parts: list[str]) -> str:
    width = plane.width + 2 * MARGIN
    room = int((width - 2 * MARGIN) / 7)  # characters of a line of text
    heading = textwrap.wrap(name, room)
    lines = [line for sentence in caption for line in textwrap.wrap(sentence, room)]
    shift = LINE * (len(heading) - 1)
    bottom = shift + plane.height + 2 * MARGIN + 2 * LINE + 8
    height = bottom + LINE * len(lines)
    text = [_text(MARGIN, 24 + LINE * i, line, "name") for i, line in enumerate(heading)]
    text += [_text(MARGIN, bottom + LINE * i, line) for i, line in enumerate(lines)]
    size = f'viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" height="{_n(height)}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" '
            'aria-labelledby="name described">',
            f'<title id="name">Receptive field of {escape(name)}</title>',
            f'<desc id="described">{escape(" ".join(caption))}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect class="surface" width="{_n(width)}" height="{_n(height)}"/>',
            f'<g transform="translate(0 {_n(shift + LINE)})">',
            *parts,
            "</g>",
            *text,
            "</svg>\n",
        ]
    )


def _text(x: float, y: float, line: str, kind: str = "") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text{kind} x="{_n(x)}" y="{_n(y)}">{escape(line)}</text>'


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{v:g}" for v in values)


def _n(value: float) -> str:
    """Return a coordinate with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
