"""Every page of the built book, in a real browser, as a reader without a network would see it.

The last part of the module runs each check on a page that has just that fault, so that a check
which sees nothing is itself found out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, serve
from page_checks import (
    DESK,
    PHONE,
    Anchors,
    Visit,
    barriers,
    broken_links,
    nameless_pictures,
    overflow,
    raw_equations,
    raw_markup,
    read_anchors,
    visit,
)

THEMES = ("light", "dark")


def pages_of(toc: dict) -> list[str]:
    """Return every page of the table of contents, in order."""
    return [toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])]


PAGES = pages_of(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))


# The book


@pytest.fixture(scope="module", params=PAGES)
def opened(request, browser, address) -> Iterator[Visit]:
    """Return each page of the book in turn."""
    yield from visit(browser, address, f"{request.param}.html")


@pytest.fixture(scope="module")
def anchors(book) -> dict[str, Anchors]:
    """Return the anchors of the whole book."""
    return read_anchors(book)


def test_page_opens_without_a_complaint(opened):
    assert opened.complaints == []
    assert opened.page.locator("article h1").count() == 1


def test_page_asks_no_other_host(opened):
    assert opened.strangers == []


def test_page_finds_everything_it_asks_for(opened):
    assert opened.failures == []


def test_every_picture_has_a_name(opened):
    assert nameless_pictures(opened.page) == []


def test_equations_are_typeset(opened):
    assert raw_equations(opened.page) == []


def test_no_markup_is_left_raw(opened):
    assert raw_markup(opened.page) == []


@pytest.mark.parametrize("theme", THEMES)
def test_page_is_accessible(opened, theme):
    opened.page.emulate_media(color_scheme=theme)
    opened.page.wait_for_selector(f"html[data-theme={theme}]", state="attached")
    assert barriers(opened.page) == []


@pytest.mark.parametrize("theme", THEMES)
def test_page_fits_a_phone(opened, theme):
    opened.page.emulate_media(color_scheme=theme)
    opened.page.set_viewport_size(PHONE)
    opened.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert overflow(opened.page) == []
    opened.page.set_viewport_size(DESK)


def test_internal_links_lead_somewhere(book, anchors):
    assert broken_links(book, anchors) == []


def test_no_page_has_an_id_twice(anchors):
    assert {name: anchors[f"{name}.html"].twice for name in PAGES} == {name: [] for name in PAGES}


def test_every_page_of_the_table_of_contents_is_built(anchors):
    assert {f"{name}.html" for name in PAGES} <= set(anchors)


def test_scoreboard_links_to_the_cells_that_report(anchors):
    links = [x for x in anchors["chapters/scoreboard.html"].links if "#result-" in x]
    assert links
    for link in links:
        page, place = link.split("#")
        assert place in anchors[f"chapters/{page}"].ids


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("#term-", "dd"),
        ("#fig-", "figure img"),
        ("#equation-", "mjx-container"),
        ("references.html#", "p"),
    ],
    ids=["term", "figure", "equation", "citation"],
)
def test_hover_shows_a_preview(browser, address, book, kind, shown):
    reference = re.compile(f'class="reference internal" href="[^"]*{kind}')
    name = next(f"{n}.html" for n in PAGES if reference.search((book / f"{n}.html").read_text()))
    for opened in visit(browser, address, name):
        opened.page.locator(f"article a.reference.internal[href*='{kind}']").first.hover()
        opened.page.wait_for_selector(f".tippy-box {shown}", timeout=5000)
        assert opened.strangers + opened.failures + opened.complaints == []


def test_search_finds_a_word_without_a_network(browser, address):
    for opened in visit(browser, address, "search.html?q=dilation"):
        results = opened.page.locator("#search-results li a")
        results.first.wait_for(timeout=10000)
        assert any("glossary" in link.get_attribute("href") for link in results.all())
        assert opened.strangers + opened.failures + opened.complaints == []


def test_theme_button_changes_page_and_figures(browser, address, anchors):
    name = next(n for n in anchors if n.startswith("chapters/") and "scoreboard" not in n)
    colours = """() => [getComputedStyle(document.body).backgroundColor,
        getComputedStyle(document.querySelector('svg.inline-figure')).color]"""
    for opened in visit(browser, address, name, color_scheme="light"):
        before = opened.page.evaluate(colours)
        for _ in range(3):  # the button goes through light, dark and what the system says
            opened.page.locator("button.theme-switch-button:visible").first.click()
            if opened.page.get_attribute("html", "data-theme") == "dark":
                break
        after = opened.page.evaluate(colours)
        assert before[0] != after[0] and before[1] != after[1]
        assert opened.complaints == []


def test_first_page_leads_to_the_book(browser, address):
    for opened in visit(browser, address, f"{PAGES[-1]}.html"):
        opened.page.goto(f"{address}/index.html", wait_until="commit")
        opened.page.wait_for_url(f"**/{PAGES[0]}.html")
        assert opened.strangers + opened.complaints == []


# The checks themselves, each on a page with one fault

SOUND = """<!doctype html><html lang="en"><title>t</title><meta name="viewport"
    content="width=device-width"><link rel="icon" href="data:,"><main><h1>t</h1>{}</main></html>"""
FAULTS = {
    "picture without text": ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "pictures"),
    "picture named by its file": ('<svg role="img" aria-label="a/b.svg"></svg>', "pictures"),
    "words cut off": (
        f'<div style="overflow: hidden"><p><code>{"long" * 30}</code></p></div>',
        "overflow",
    ),
    "wide table": ('<div style="width: 600px">wide</div>', "overflow"),
    "equation left raw": (r'<span class="math">\(x^2\)</span>', "equations"),
    "directive left raw": ("<p>```{list-table} A `title`</p>", "markup"),
    "pale text": ('<p style="color: #bbb; background: #fff">pale</p>', "barriers"),
    "request to a host": ('<script src="https://example.org/x.js"></script>', "strangers"),
    "missing file": ('<img alt="a blob" src="missing.png">', "failures"),
    "thrown error": ("<script>throw new Error('x')</script>", "complaints"),
    "console error": ("<script>console.error('x')</script>", "complaints"),
    "link to nowhere": ('<a href="#nowhere">link</a>', "links"),
}


def faults(opened: Visit, folder: Path) -> dict[str, list[str]]:
    """Return everything the checks find wrong with a page."""
    opened.page.set_viewport_size(PHONE)
    return {
        "strangers": opened.strangers,
        "failures": [f for f in opened.failures if "example.org" not in f],
        "complaints": [c for c in opened.complaints if "Failed to load resource" not in c],
        "pictures": nameless_pictures(opened.page),
        "overflow": overflow(opened.page),
        "equations": raw_equations(opened.page),
        "markup": raw_markup(opened.page),
        "barriers": [b for b in barriers(opened.page) if "image" not in b and "svg" not in b],
        "links": broken_links(folder, read_anchors(folder)),
    }


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_checks_find_the_fault_and_nothing_else(browser, tmp_path, fault):
    markup, finder = FAULTS.get(fault, ("<p>sound</p>", None))
    (tmp_path / "page.html").write_text(SOUND.format(markup))
    with serve(tmp_path) as url:
        for opened in visit(browser, url, "page.html"):
            found = {check for check, wrong in faults(opened, tmp_path).items() if wrong}
    assert found == ({finder} if finder else set())
