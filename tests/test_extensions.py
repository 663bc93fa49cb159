"""The book's Sphinx extensions, each on a project of a few lines.

Oracles: the standard library's XML parser (ids, references, ink) and the text of the pages that
Sphinx writes. The checks are shown to refuse a wrong result once.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import warnings
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pytest

from erfbook.plots import style

EXTENSIONS = Path(__file__).parents[1] / "book" / "extensions"


def load(name: str):
    """Return one extension as a module, under the name Sphinx knows it by."""
    spec = importlib.util.spec_from_file_location(name, EXTENSIONS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


inline_figures, result_anchors, offline_pages, typography = map(
    load, ("inline_figures", "result_anchors", "offline_pages", "typography")
)


def drawn(path: Path) -> str:
    """Return a figure with ink, a clip path and a picture in it, as matplotlib writes SVG."""
    style.use_style()
    fig, ax = plt.subplots(figsize=(3.5, 2))
    ax.plot([0, 1], [0, 1], color=style.INK)
    ax.imshow([[0, 1], [1, 0]], extent=(0, 1, 0, 1))
    ax.set_xlabel("layers")
    fig.savefig(path, format="svg")
    plt.close(fig)
    return path.read_text(encoding="utf-8")


def parsed(markup: str) -> ElementTree.Element:
    """Return the svg element of an inlined figure."""
    return ElementTree.fromstring(markup)[0]


def dangling_references(*figures: str) -> set[str]:
    """Return references that no id answers, and ids that two elements share, over one page."""
    page = "".join(figures)
    ids = re.findall(r'\bid="([^"]+)"', page)
    references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page)
    wanted = {first or second for first, second in references}
    return wanted - set(ids) | {name for name in ids if ids.count(name) > 1}


def test_ink_is_the_one_the_figures_use():
    assert inline_figures.INK == style.INK


def test_inlined_figure_keeps_its_box_and_takes_label_and_theme(tmp_path):
    svg = drawn(tmp_path / "f.svg")
    figure = parsed(inline_figures.inline_svg(svg, label='a "line" & more', prefix="f1-"))
    assert figure.get("role") == "img"
    assert figure.get("aria-label") == 'a "line" & more'
    assert figure.get("viewBox") == "0 0 252 144"  # 3.5 x 2 inches at 72 points
    assert float(figure.get("width")) == pytest.approx(336)  # 252 pt at 96 px an inch
    assert figure.get("height") is None  # else the picture would not keep its shape when it shrinks
    markup = ElementTree.tostring(figure, encoding="unicode")
    assert style.INK in svg and style.INK not in markup and "currentColor" in markup
    assert "<style" not in markup  # a style element would reach the whole page


def test_two_figures_of_a_page_share_no_id_and_lose_no_reference(tmp_path):
    svg = drawn(tmp_path / "f.svg")
    one, two = (inline_figures.inline_svg(svg, label="x", prefix=p) for p in ("f1-", "f2-"))
    assert "clip-path" in one and dangling_references(one, two) == set()


def test_id_check_rejects_one_prefix_for_two_figures_and_a_lost_clip_path(tmp_path):
    svg = drawn(tmp_path / "f.svg")
    one = inline_figures.inline_svg(svg, label="x", prefix="f1-")
    assert dangling_references(one, one)
    assert dangling_references(one.replace("url(#f1-", "url(#"))


def test_inlining_refuses_what_is_no_svg():
    with pytest.raises(ValueError, match="expected an SVG document, got '<html>'"):
        inline_figures.inline_svg("<html>", label="x", prefix="f1-")


@pytest.mark.parametrize(
    ("length", "pixels"), [("72pt", 96), ("10px", 10), ("2in", 192), ("5", 5), (None, 672)]
)
def test_lengths_are_css_pixels(length, pixels):
    assert inline_figures._pixels(length) == pytest.approx(pixels)


def test_live_code_scripts_are_told_from_the_others():
    class Script:
        def __init__(self, filename=None, body=""):
            self.filename, self.attributes = filename, {"body": body}

    assert offline_pages.is_live_code(Script("sphinx-thebe.js"))
    assert offline_pages.is_live_code(Script(body='const THEBE_JS_URL = "https://host/x.js"'))
    assert not offline_pages.is_live_code(Script("_static/doctools.js"))
    assert not offline_pages.is_live_code(Script(body="let toggleHintShow = 1"))


@pytest.mark.parametrize(
    ("python", "page"),
    [
        ("<td>-1.5 [-2, +3]</td>", "<td>−1.5 [−2, +3]</td>"),
        ("(-.5; ±-1, ≤ -0.6)", "(−.5; ±−1, ≤ −0.6)"),
        ("[-0.30, -0.00] and -0.0 px", "[−0.30, −0.00] and −0.0_px"),
        ("90 % and 36%", "90_% and 36_%"),
        ("<strong>38</strong>\n% of 32 px", "<strong>38</strong>_% of 32_px"),
        ("ResNet-50, CIFAR-10, 3-5, 2e8, p. 1-2", "ResNet-50, CIFAR-10, 3-5, 2e8, p. 1-2"),
        ("<td>-4.67e-05</td> 1e-16, [1.0e+00, 5e+02]", "<td>−4.67 × 10⁻⁵</td> 10⁻¹⁶, [1, 500]"),
        ("12e-05, v1.2e-05, 3e-05x, 1e-06.", "12e-05, v1.2e-05, 3e-05x, 10⁻⁶."),
        ("<code>1e-06</code> a1e-06-7", "<code>1e-06</code> a1e-06-7"),
        ("2016-11-03, <a href='x-1?a=5%20b'>-x</a>", "2016-11-03, <a href='x-1?a=5%20b'>-x</a>"),
        ("<code><b>x = -1</b> -1</code> -1", "<code><b>x = -1</b> -1</code> −1"),
        ("<pre>a\n-1 %</pre>\n-1", "<pre>a\n-1 %</pre>\n−1"),
        ("<span class=\"a math\">\\(-1\\)</span> -1", "<span class=\"a math\">\\(-1\\)</span> −1"),
        ("<svg><text>-1</text></svg>", "<svg><text>-1</text></svg>"),
    ],
)  # fmt: skip
def test_numbers_are_set_in_text_and_nowhere_else(python, page):
    assert typography.set_numbers(python).replace(typography.SPACE, "_") == page
    assert typography.set_numbers(typography.set_numbers(python)) == typography.set_numbers(python)


def test_an_equation_keeps_the_marks_next_to_it():
    math = '<span class="math notranslate nohighlight">\\(k &lt; 3\\)</span>'
    for before, kept, after in (
        ("of ", f"{math},", " in"),
        ("a ", f"({math});", ""),
        ("", f"[{math}", " b]"),
    ):
        kept_together = f'{before}<span class="together">{kept}</span>{after}'
        assert typography.set_equations(before + kept + after) == kept_together
    for alone in (f"of {math} in, all", '<div class="math">\\[x\\]</div>, so', "(k), [3]."):
        assert typography.set_equations(alone) == alone


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        ("1.5 [1.2, 1.9] px", ["1.5", "[1.2, 1.9] px"]),
        ("-0.1 [-0.3, -0.0] (2), p = 1", ["−0.1", "[−0.3, −0.0]", "(2), p = 1"]),
        ("8 % [4 %, 9 %]", ["8_%", "[4_%, 9_%]"]),
        ("[1, 2]", None),
        ("<b>1 [1, 2]</b>", None),
        ("9 × 9, 1 × 1", None),
        ("yes", None),
    ],
)  # fmt: skip
def test_an_estimate_breaks_between_its_parts_and_nowhere_else(cell, parts):
    markup = typography.set_cells(typography.set_numbers(f"<td>{cell}</td>"))
    if parts is None:
        assert "class" not in markup and "span" not in markup
    else:
        shown = " ".join(f"<span>{part}</span>" for part in parts).replace("_", typography.SPACE)
        assert markup == f'<td class="estimate">{shown}</td>'
    assert typography.set_cells(markup) == markup
    assert typography.set_cells("<td>two words</td>") == '<td class="words">two words</td>'


# A whole build


def result(name: str, *, record: bool = True) -> dict:
    """Return the output by which a cell reports a result, or only glues a value."""
    data = {"application/papermill.record/text/plain": "0.5"}
    if record:
        data[result_anchors.RESULT] = json.dumps({"name": name, "value": 0.5})
    metadata = {"scrapbook": {"name": name, "mime_prefix": "application/papermill.record/"}}
    return {"output_type": "display_data", "data": data, "metadata": metadata}


def code(source: str, *outputs: dict, tags: tuple[str, ...] = (), mystnb: dict | None = None):
    """Return a code cell."""
    metadata = {"tags": list(tags)} | ({"mystnb": mystnb} if mystnb else {})
    return {
        "cell_type": "code", "execution_count": 1, "id": re.sub(r"\W", "", source)[:20],
        "metadata": metadata, "source": source, "outputs": list(outputs),
    }  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Return a project of one notebook: results in two cells, one hidden, and a figure."""
    folder = tmp_path_factory.mktemp("project")
    svg = drawn(folder / "f.svg")
    picture = {"output_type": "display_data", "metadata": {}, "data": {"image/svg+xml": svg}}
    text = {"cell_type": "markdown", "id": "t", "metadata": {}, "source": "# Title\n\nText."}
    figure = {"figure": {"name": "fig-x", "caption": "It grows."}, "image": {"alt": "it grows"}}
    cells = [
        text,
        code("first()", result("slope"), result("slope_low", record=False)),
        code("hidden()", result("ratio"), tags=("remove-cell",)),
        code("draw()", picture, mystnb=figure),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": cells}
    (folder / "page.ipynb").write_text(json.dumps(notebook))
    (folder / "index.md").write_text("# Index\n\n```{toctree}\npage\n```\n\n{numref}`fig-x`\n")
    return folder


def build(folder: Path, **settings) -> tuple[Path, str]:
    """Build the project with the extensions; return the folder of pages, and the warnings."""
    import io

    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace

    complaints = io.StringIO()
    overrides = {
        "extensions": ["myst_nb", "inline_figures", "result_anchors", "offline_pages"],
        "nb_execution_mode": "off",
        "numfig": True,
        **settings,
    }
    sys.path.insert(0, str(EXTENSIONS))
    try:
        with warnings.catch_warnings(), docutils_namespace():
            warnings.simplefilter("ignore")  # Sphinx's own deprecations
            app = Sphinx(
                folder, None, folder / "out", folder / "doctrees", "html", overrides,
                status=None, warning=complaints, freshenv=True,
            )  # fmt: skip
            app.build(force_all=True)
    finally:
        sys.path.remove(str(EXTENSIONS))
    return folder / "out", complaints.getvalue()


@pytest.fixture(scope="module")
def page(project) -> str:
    """Return the built page of the notebook."""
    out, complaints = build(project)
    assert complaints == ""
    return (out / "page.html").read_text(encoding="utf-8")


def cell_of(page: str, target: str) -> str:
    """Return the page from an id to the end of the next code block."""
    start = page.index(f'id="{target}"')
    return page[start : page.index("</pre>", start)]


def test_result_is_anchored_at_the_cell_that_reports_it(page):
    assert page.count('id="result-slope"') == 1
    assert "first" in cell_of(page, "result-slope")
    assert "draw" not in cell_of(page, "result-slope")


def test_result_reported_twice_belongs_to_the_first_cell():
    cells = [code("a()"), code("b()", result("slope")), code("c()", result("slope"))]
    assert result_anchors.results_by_cell({"cells": cells}) == {"slope": 1}


def test_anchor_is_an_id_even_for_an_odd_name():
    assert result_anchors.anchor("size slope/2") == "result-size-slope-2"


def test_unknown_picture_is_named():
    class App:
        class env:
            images = {"a.svg": ({"page"}, "b.svg")}

    assert inline_figures._source_of(App, "b.svg") == "a.svg"
    with pytest.raises(FileNotFoundError, match=r"published as 'c\.svg'"):
        inline_figures._source_of(App, "c.svg")


def test_result_of_a_hidden_cell_is_anchored_at_the_cell_before(page):
    assert "hidden" not in page
    assert "first" in cell_of(page, "result-ratio")


def test_glued_value_that_is_no_result_has_no_anchor(page):
    assert "result-slope_low" not in page


def test_figure_of_a_cell_stands_in_the_page_with_its_label(page):
    figure = re.search(r"<figure[^>]*id=\"fig-x\".*?</figure>", page, re.DOTALL)[0]
    assert '<svg class="inline-figure" role="img" aria-label="it grows"' in figure
    assert "<img" not in figure and "It grows." in figure


def test_figure_without_alternative_text_is_a_warning(project, tmp_path):
    notebook = json.loads((project / "page.ipynb").read_text())
    del notebook["cells"][3]["metadata"]["mystnb"]["image"]
    (tmp_path / "page.ipynb").write_text(json.dumps(notebook))
    (tmp_path / "index.md").write_text("# Index\n\n```{toctree}\npage\n```\n")
    _, complaints = build(tmp_path)
    assert "has no alternative text" in complaints


def test_two_panels_with_one_picture_keep_their_ids_apart():
    svg = '<svg width="10pt"><image id="a" href="data:x"/><image id="a" href="data:x"/></svg>'
    assert inline_figures.inline_svg(svg, label="x", prefix="f1-").count('id="f1-a"') == 1
