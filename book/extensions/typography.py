"""Write the numbers of a page's running text and tables as a printer would.

Python writes ``-1.5`` and ``36%``, and a line may end between 90 and its %. Here a minus is a
minus sign, also before a zero (an interval that ends at -0.00 holds zero), and a space that does
not break stands between a number and %, or px. Code, equations and figures stay as they are.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx

SPACE = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
_KEPT = re.compile(
    r"(<!--.*?-->"
    r"|<(?P<tag>pre|code|kbd|samp|script|style|svg|textarea)\b.*?</(?P=tag)\s*>"
    r'|<(?P<box>span|div)\b[^>]*\bclass="[^"]*\bmath\b.*?</(?P=box)>'
    r"|<[^>]+>)",
    re.DOTALL,
)
_HYPHEN = re.compile(r"(?<![\w.,/…–−-])-(?=\.?\d)")
_UNIT = re.compile(r"(?:(?<=\d)\s?(?=%(?!\w))|(?<=\d)\s(?=px\b))")
_UNIT_AFTER_TAG = re.compile(r"^\s(?=(?:%(?!\w)|px\b))")


def setup(app: Sphinx) -> dict[str, bool]:
    """Go over each page as it is written."""
    app.connect("html-page-context", mend, priority=480)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mend(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Set the numbers of one page's body."""
    if context.get("body"):
        context["body"] = set_numbers(context["body"])


def set_numbers(markup: str) -> str:
    """Return HTML with its numbers set; tags, code, equations and figures are left alone.

    >>> set_numbers("from <b>-1.5</b> to 36%").replace(SPACE, "_")
    'from <b>−1.5</b> to 36_%'
    >>> set_numbers("<code>x = -1.5</code>, ResNet-50, 3-5, [-1, 2e-08]")
    '<code>x = -1.5</code>, ResNet-50, 3-5, [−1, 2e-08]'
    """
    parts, at = [], 0
    for kept in _KEPT.finditer(markup):
        parts += [_set_text(markup[at : kept.start()]), kept.group()]
        at = kept.end()
    return "".join([*parts, _set_text(markup[at:])])


def _set_text(text: str) -> str:
    text = _UNIT_AFTER_TAG.sub(SPACE, _UNIT.sub(SPACE, text))
    return _HYPHEN.sub(MINUS, text)
