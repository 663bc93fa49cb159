"""Write the numbers of a page's running text and tables as a printer would.

Python writes ``-1.5``, ``2e-08`` and ``36%``, and a line may end between 90 and its %, or between
an equation and its comma. Here a minus is a minus sign, also before a zero (an interval that ends
at -0.00 holds zero), a power of ten is written out, a space that does not break stands between a
number and %, or px, and an equation in a line keeps the brackets and marks next to it. Code,
equations and figures stay as they are.
A table's cell with an estimate may break between the number, its interval and what follows, one of
words between these, and no other cell breaks, so that many columns fit beside each other.
A result that is a number stands out in running text; one of several words does not.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx

from erfbook.notation import round_to

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
_POWER = re.compile(r"(?<![\w.,])(?P<mantissa>\d(?:\.\d+)?)e[+-]\d{2,3}(?![\w.]*\w)")
_UNIT = re.compile(r"(?:(?<=\d)\s?(?=%(?!\w))|(?<=\d)\s(?=px\b))")
_ESTIMATE = re.compile(
    r"<td>(?P<number>[^<\[]*[^<\[\s])\s(?P<interval>\[[^]<]*\](?:\spx)?)(?:\s(?P<rest>[^<]+))?</td>"
)
_WORDS = re.compile(r"<td>(?=[^<\[]*[^\W\d_]{4})(?=[^<]*\s)(?P<words>[^<\[]+)</td>")
_INLINE = re.compile(
    r'(?P<open>[(\[]?)(?P<math><span\b[^>]*\bclass="[^"]*\bmath\b[^>]*>[^<]*</span>)'
    r"(?P<mark>[,.;:?!)\]]*)"
)
_PHRASE = re.compile(r'<span class="pasted-text">(?P<words>[^<]*(?:\s[^<\s]+){4}[^<]*)</span>')
_UNIT_AFTER_TAG = re.compile(r"^\s(?=(?:%(?!\w)|px\b))")


def setup(app: Sphinx) -> dict[str, bool]:
    """Go over each page as it is written."""
    app.connect("html-page-context", mend, priority=480)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mend(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Set the numbers of one page's body."""
    if context.get("body"):
        body = set_cells(set_equations(set_numbers(context["body"])))
        context["body"] = set_phrases(body)


def set_numbers(markup: str) -> str:
    """Return HTML with its numbers set; tags, code, equations and figures are left alone.

    >>> set_numbers("from <b>-1.5</b> to 36%").replace(SPACE, "_")
    'from <b>−1.5</b> to 36_%'
    >>> set_numbers("<code>x = -1.5</code>, ResNet-50, 3-5, [-1, 2e-08, 5e+02]")
    '<code>x = -1.5</code>, ResNet-50, 3-5, [−1, 2 × 10⁻⁸, 500]'
    """
    parts, at = [], 0
    for kept in _KEPT.finditer(markup):
        parts += [_set_text(markup[at : kept.start()]), kept.group()]
        at = kept.end()
    return "".join([*parts, _set_text(markup[at:])])


def set_equations(markup: str) -> str:
    """Return HTML in which no line ends between an equation and a bracket or mark next to it.

    >>> set_equations('<span class="math">n</span>, or <span class="math">m</span> px')
    '<span class="together"><span class="math">n</span>,</span> or <span class="math">m</span> px'
    """
    return _INLINE.sub(_together, markup)


def set_cells(markup: str) -> str:
    """Return HTML whose cells say where they may break; a part in a span stays in one line.

    >>> set_cells("<td>1.5 [1.2, 1.9] (3), p = 0.02</td>")
    '<td class="estimate"><span>1.5</span> <span>[1.2, 1.9]</span> <span>(3), p = 0.02</span></td>'
    >>> set_cells("<td>12 × 12</td><td>[0, 1]</td><td>too few networks</td>")
    '<td>12 × 12</td><td>[0, 1]</td><td class="words">too few networks</td>'
    """
    return _WORDS.sub(r'<td class="words">\g<words></td>', _ESTIMATE.sub(_parts, markup))


def set_phrases(markup: str) -> str:
    """Return HTML in which a result in several words is marked as such, not as a number is.

    >>> set_phrases('<span class="pasted-text">51 %</span>')
    '<span class="pasted-text">51 %</span>'
    >>> set_phrases('<span class="pasted-text">no published record decides it</span>')
    '<span class="pasted-text phrase">no published record decides it</span>'
    """
    return _PHRASE.sub(r'<span class="pasted-text phrase">\g<words></span>', markup)


def _parts(cell: re.Match[str]) -> str:
    shown = " ".join(f"<span>{part}</span>" for part in cell.groups() if part)
    return f'<td class="estimate">{shown}</td>'


def _together(found: re.Match[str]) -> str:
    alone = not (found["open"] or found["mark"])
    return found.group() if alone else f'<span class="together">{found.group()}</span>'


def _power(number: re.Match[str]) -> str:
    return round_to(float(number.group()), len(number["mantissa"].replace(".", "")))


def _set_text(text: str) -> str:
    text = _POWER.sub(_power, text)
    text = _UNIT_AFTER_TAG.sub(SPACE, _UNIT.sub(SPACE, text))
    return _HYPHEN.sub(MINUS, text)
