"""Open a page in a browser, and the checks of it: functions that return what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1400, "height": 900}
AXE = Path(__file__).parent / "assets" / "axe.min.js"


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
    """Return what sticks out of the window sideways and cannot be scrolled to by itself.

    That is everything beyond the edge where the page scrolls sideways at all, and words of running
    text cut off at the edge where it does not.
    """
    script = """() => {
        const beyond = e => e.getBoundingClientRect().right > innerWidth + 1;
        const scrolls = document.documentElement.scrollWidth > innerWidth;
        const found = scrolls ? document.querySelectorAll('body, body *')
            : document.querySelectorAll('main :is(p, li) :is(a, code, em, strong, span.math)');
        const apart = 'table, pre, nav, .output, .visually-hidden';
        return [...found].filter(e => beyond(e) && (scrolls || !e.closest(apart))).slice(0, 8)
            .map(e => `${e.tagName}.${e.className} ${e.getBoundingClientRect().right}`);
    }"""
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


class Anchors(HTMLParser):
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


def read_anchors(folder: Path) -> dict[str, Anchors]:
    """Return the anchors of every page of a folder, by path."""
    found = {}
    for path in sorted(folder.rglob("*.html")):
        if "_static" not in path.parts:
            name = path.relative_to(folder).as_posix()
            found[name] = Anchors(path.read_text(encoding="utf-8"))
    return found


def broken_links(folder: Path, pages: dict[str, Anchors]) -> list[str]:
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
