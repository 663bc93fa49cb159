"""Mend markup of the tools that a screen reader would stumble over.

- The button that unfolds a cell says "Show code cell source", but its label says something else.
- The bibliography claims to be a list, of entries whose role is no list item's.
"""

from __future__ import annotations

from sphinx.application import Sphinx

MENDED = {
    ' aria-label="Toggle hidden content"': "",
    '<div role="list" class="citation-list">': '<div class="citation-list">',
    ' role="doc-biblioentry"': "",
}


def setup(app: Sphinx) -> dict[str, bool]:
    """Mend each page as it is written."""
    app.connect("html-page-context", mend, priority=490)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mend(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Replace the markup in one page's body."""
    for wrong, right in MENDED.items():
        context["body"] = context.get("body", "").replace(wrong, right)
