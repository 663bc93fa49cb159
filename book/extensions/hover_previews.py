"""Keep hover previews whole when only some pages changed.

The previews of a page are taken from the pages it links to as they are written, so a build that
writes one page alone would leave it without the previews of all the others. Every page is
therefore written in every build; notebooks and Markdown are still read only where they changed.
The previews of earlier builds are removed, since every build gives them new names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

_PREVIEWS = re.compile(r".+\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.js")


def setup(app: Sphinx) -> dict[str, bool]:
    """Start without old previews; ask for every page once the changed sources have been read."""
    app.connect("builder-inited", remove_previews)
    app.connect("env-updated", every_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def remove_previews(app: Sphinx) -> None:
    """Remove the preview files of earlier builds."""
    for path in Path(app.outdir, "_static", "tippy").rglob("*.js"):
        if _PREVIEWS.fullmatch(path.name):
            path.unlink()


def every_page(app: Sphinx, env: BuildEnvironment) -> Iterable[str]:
    """Return the names of all pages of the book."""
    return sorted(env.found_docs)
