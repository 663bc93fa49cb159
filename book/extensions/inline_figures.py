"""Put every SVG figure into the page itself, so that its ink follows the theme.

A figure that is loaded as a picture can't see the page's colours. Here each local SVG that a page
shows becomes an ``<svg role="img">`` in it: its grey ink turns into the page's text colour, the
alternative text is its label, and a prefix on its ids keeps two figures from sharing a clip path.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
INK = "#767677"  # the value of erfbook.plots.style.INK; a test compares the two

_IMAGE = re.compile(r"<img\b[^>]*?\bsrc=\"(?P<src>[^\"]*?_images/[^\"]+\.svg)\"[^>]*?/?>")
_ATTRIBUTE = re.compile(r"([\w:-]+)\s*=\s*\"([^\"]*)\"")
_ROOT = re.compile(r"<svg\b[^>]*>", re.DOTALL)
_PROLOGUE = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>", re.DOTALL)
_STYLE = re.compile(
    r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>|<style[^>]*>.*?</style>", re.DOTALL
)
_PIXELS_PER = {"": 1.0, "px": 1.0, "pt": 96 / 72, "in": 96.0}


def setup(app: Sphinx) -> dict[str, bool]:
    """Inline figures after the hover previews were collected, which keep small pictures."""
    app.connect("html-page-context", inline_page, priority=480)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def inline_page(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Replace the SVG pictures of one page's body by their source."""
    if not doctree or "_images/" not in context.get("body", ""):
        return
    count = 0

    def replace(match: re.Match) -> str:
        nonlocal count
        attributes = dict(_ATTRIBUTE.findall(match.group(0)))
        source = Path(app.srcdir, _source_of(app, Path(attributes["src"]).name))
        label = html.unescape(attributes.get("alt", ""))
        if not label or label == attributes["src"]:
            LOGGER.warning(
                "figure %s has no alternative text", attributes["src"], location=pagename
            )
            label = ""
        count += 1
        return inline_svg(source.read_text(encoding="utf-8"), label=label, prefix=f"figure{count}-")

    context["body"] = _IMAGE.sub(replace, context["body"])


def _source_of(app: Sphinx, name: str) -> str:
    """Return the path, relative to the source folder, of the image published as ``name``."""
    for path, (_, published) in app.env.images.items():
        if published == name:
            return path
    raise FileNotFoundError(f"no image of the book is published as {name!r}")


def inline_svg(svg: str, *, label: str, prefix: str) -> str:
    """Return an SVG document as an element of a page, in a box that scrolls on a small screen.

    Args:
        svg: The document, as matplotlib writes it.
        label: The alternative text.
        prefix: Prepended to every id of the document.
    """
    svg = _STYLE.sub("", _PROLOGUE.sub("", svg)).strip()
    opening = _ROOT.search(svg)
    if opening is None:
        raise ValueError(f"expected an SVG document, got {svg[:60]!r}")
    attributes = dict(_ATTRIBUTE.findall(opening.group(0)))
    width, height = _pixels(attributes.get("width")), _pixels(attributes.get("height"))
    box = attributes.get("viewBox") or f"0 0 {width:g} {height:g}"
    root = (
        f'<svg class="inline-figure" role="img" aria-label="{html.escape(label)}"'
        f' width="{width:g}" viewBox="{box}"'
        f' style="--figure-width:{width:g}px;stroke-linejoin:round;stroke-linecap:butt"'
        ' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    inner = re.sub(re.escape(INK), "currentColor", svg[opening.end() :], flags=re.IGNORECASE)
    inner = re.sub(r'\bid="', f'id="{prefix}', _without_twins(inner))
    inner = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", inner)
    return f'<div class="figure-scroll">{root}{inner}</div>'


def _without_twins(svg: str) -> str:
    """Keep each id once: two panels with the same picture give it the same id."""
    seen: set[str] = set()

    def keep(match: re.Match) -> str:
        known = match[1] in seen
        seen.add(match[1])
        return "" if known else match[0]

    return re.sub(r'\s+id="([^"]*)"', keep, svg)


def _pixels(length: str | None) -> float:
    """Return a CSS length in pixels; 672 (7 inches) where the document has none."""
    match = re.fullmatch(r"([\d.]+)([a-z]*)", length or "")
    return float(match[1]) * _PIXELS_PER.get(match[2], 1.0) if match else 672.0
