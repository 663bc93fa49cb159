"""Every page of the built book, in a real browser, as a reader without a network would see it.

The checks are functions that return what is wrong. The last part of the module runs each of them on
a page that has just that fault, so that a check which sees nothing is itself found out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
import yaml
from conftest import ROOT, serve

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1400, "height": 900}
THEMES = ("light", "dark")
AXE = Path(__file__).parent / "assets" / "axe.min.js"


def pages_of(toc: dict) -> list[str]:
    """Return every page of the table of contents, in order."""
    return [toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])]


PAGES = pages_of(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))


@dataclass
class Visit:
    """One opened page and everything that went wrong while it was open."""

    page: object
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def listen(self, address: str) -> None:
        """Record errors and failed requests, and refuse every request to another host."""

        def admit(route) -> None:
            if route.request.url.startswith(address):
                route.continue_()
            else:
                self.strangers.append(route.request.url)
                route.abort()

        def answered(response) -> None:
            if response.status >= 400:
                self.failures.append(f"{response.status} {response.url}")

        def told(message) -> None:
            if message.type in ("error", "warning"):
                self.complaints.append(f"{message.type}: {message.text}")

        self.page.route("**/*", admit)
        self.page.on("response", answered)
        self.page.on("requestfailed", lambda r: self.failures.append(f"failed {r.url}"))
        self.page.on("console", told)
        self.page.on("pageerror", lambda error: self.complaints.append(f"thrown: {error}"))

    def open(self, url: str) -> Visit:
        """Go to a page and wait until its scripts and equations have settled."""
        self.page.goto(url, wait_until="load")
        self.page.evaluate("async () => { await window.MathJax?.startup?.promise }")
        return self


def visit(browser, address: str, path: str, **settings) -> Iterator[Visit]:
    """Yield a page in a browser window of its own."""
    context = browser.new_context(viewport=DESK, **settings)
    try:
        opened = Visit(context.new_page())
        opened.listen(address)
        yield opened.open(f"{address}/{path}")
    finally:
        context.close()


# The checks: each returns what is wrong


def nameless_pictures(page) -> list[str]:
    """Return pictures that a screen reader cannot name; a file's name is no name."""
    script = """() => [...document.querySelectorAll('img, svg[role="img"]')]
        .filter(e => !e.closest('.navbar-brand, [aria-hidden="true"]'))
        .filter(e => {
            const name = e.getAttribute('alt') ?? e.getAttribute('aria-label') ?? '';
            return !name.trim() || /\\.(svg|png|jpe?g)$/.test(name);
        })
        .map(e => e.outerHTML.slice(0, 120))"""
    return page.evaluate(script)


def overflow(page) -> list[str]:
    """Return what sticks out of the window sideways, where the page scrolls sideways at all."""
    script = """() => document.documentElement.scrollWidth <= innerWidth ? [] :
        [...document.querySelectorAll('body, body *')]
        .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
        .map(e => `${e.tagName}.${e.className} ${e.getBoundingClientRect().right}`).slice(0, 8)"""
    return page.evaluate(script)


def raw_equations(page) -> list[str]:
    """Return equations that are still TeX, or that MathJax could not read."""
    script = r"""() => [...document.querySelectorAll('.math')]
        .filter(e => /\\[(\[]/.test(e.textContent) || e.querySelector('mjx-merror')
                     || !e.querySelector('mjx-container'))
        .map(e => e.textContent.slice(0, 80))"""
    return page.evaluate(script)


def raw_markup(page) -> list[str]:
    """Return directives and roles that reached the reader as they were typed."""
    script = r"""() => [...document.querySelectorAll('main p, main li, main td, main pre, main h2')]
        .filter(e => !e.closest('.cell_input'))
        .filter(e => /(```|:::)\{|\{(glue|cite|term|ref|eq|numref|doc)[:}]/.test(e.textContent))
        .map(e => e.textContent.slice(0, 80))"""
    return page.evaluate(script)


def barriers(page) -> list[str]:
    """Return serious and critical accessibility violations of the main content.

    A figure is judged as a whole; its thousands of strokes hold nothing to read out.
    """
    page.add_script_tag(path=str(AXE))
    script = """async () => (await axe.run(
            {include: ['main'], exclude: ['svg[role="img"] > *']}, {resultTypes: ['violations']}
        )).violations
        .filter(v => ['serious', 'critical'].includes(v.impact))
        .flatMap(v => v.nodes.map(n => `${v.id}: ${n.html.slice(0, 120)}`))"""
    return page.evaluate(script)


class _Anchors(HTMLParser):
    """The ids and links of a page, and the links inside its scoreboard."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.twice: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        values = dict(attrs)
        if name := values.get("id"):
            (self.ids.add if name not in self.ids else self.twice.append)(name)
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])


def read_anchors(folder: Path) -> dict[str, _Anchors]:
    """Return the anchors of every page of a folder, by path."""
    found = {}
    for path in sorted(folder.rglob("*.html")):
        if "_static" not in path.parts:
            name = path.relative_to(folder).as_posix()
            found[name] = _Anchors(path.read_text(encoding="utf-8"))
    return found


def broken_links(folder: Path, pages: dict[str, _Anchors]) -> list[str]:
    """Return links of a folder of pages that lead to no page, no file or no place in a page."""
    broken = []
    for name, anchors in pages.items():
        for link in anchors.links:
            parts = urlsplit(urljoin(f"http://book/{name}", link))
            target = unquote(parts.path.lstrip("/"))
            if parts.netloc != "book" or parts.scheme != "http":
                continue
            known = pages[target].ids if target in pages else None
            if known is None and not (folder / target).exists():
                broken.append(f"{name} -> {link}: no such page")
            elif known is not None and parts.fragment and unquote(parts.fragment) not in known:
                broken.append(f"{name} -> {link}: no such place")
    return broken


# The book


@pytest.fixture(scope="module", params=PAGES)
def opened(request, browser, address) -> Iterator[Visit]:
    """Return each page of the book in turn."""
    yield from visit(browser, address, f"{request.param}.html")


@pytest.fixture(scope="module")
def anchors(book) -> dict[str, _Anchors]:
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
def test_hover_shows_a_preview(browser, address, anchors, kind, shown):
    name = next(n for n, page in anchors.items() if any(kind in x for x in page.links))
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
