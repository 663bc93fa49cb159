"""Leave out of every page the scripts that exist only to reach another host.

The theme's live-code button (thebe) is not used here, yet its settings are written into each page,
twice, which the browser reports as an error, and they name a script on a public host.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx

_SETTINGS = re.compile(r'<script type="text/x-thebe-config">.*?</script>', re.DOTALL)


def setup(app: Sphinx) -> dict[str, bool]:
    """Filter the scripts after every extension has added its own."""
    app.connect("html-page-context", drop_live_code, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def drop_live_code(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Remove thebe's scripts and styles from one page."""
    for key in ("script_files", "css_files"):
        context[key] = [asset for asset in context.get(key, []) if not is_live_code(asset)]
    if "body" in context:
        context["body"] = _SETTINGS.sub("", context["body"])


def is_live_code(asset: object) -> bool:
    """Tell whether a script or style sheet belongs to the live-code button."""
    text = str(getattr(asset, "filename", None) or asset)
    body = str(getattr(asset, "attributes", {}).get("body", ""))
    return "thebe" in text.lower() or "THEBE_JS_URL" in body
