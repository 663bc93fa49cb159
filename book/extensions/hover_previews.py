"""Keep hover previews whole when only some pages changed.

The previews of a page are taken from the pages it links to as they are written, so a build that
writes one page alone would leave it without the previews of all the others. Every page is
therefore written whenever one is; notebooks and Markdown are still read only where they changed.
"""

from __future__ import annotations

from collections.abc import Iterable

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


def setup(app: Sphinx) -> dict[str, bool]:
    """Ask for every page once the changed sources have been read."""
    app.connect("env-updated", every_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def every_page(app: Sphinx, env: BuildEnvironment) -> Iterable[str]:
    """Return the names of all pages of the book."""
    return sorted(env.found_docs)
