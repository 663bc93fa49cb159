"""What all tests share: shapes checked at run time, and a browser in the book."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

ROOT = Path(__file__).parents[1]
# Doctests are looked for in every module here; importing this one takes the package's place.
collect_ignore = ["light_start.py"]
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


# Shapes and types of the modules that compute are checked in every call that a test makes; an int
# passes where a float is asked for.
COMPUTE = ["erfbook.theory", "erfbook.rf", "erfbook.erf", "erfbook.experiments"]
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
install_import_hook(COMPUTE, "conftest.checked")


# A shell that runs the tests in the background lets them ignore Ctrl-C, and with them every program
# that they start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a test draw the same weights and images in every run, whatever ran before it."""
    torch.manual_seed(zlib.crc32(item.nodeid.encode()))


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on a free loopback port for as long as the block lasts; yield its address."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        [*command, "--directory", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            port = re.search(r"port (\d+)", server.stdout.readline())[1]
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


@pytest.fixture(scope="session")
def browser():
    """Return headless Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("the page tests need Chromium: on Debian, apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=SWITCHES)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def book() -> Path:
    """Return the pages of the smoke book: those in ERFBOOK_HTML, or freshly built ones."""
    if given := os.environ.get("ERFBOOK_HTML"):
        return Path(given)
    command = [sys.executable, "-m", "erfbook", "build", "--profile", "smoke"]
    done = subprocess.run(
        [*command, "--output", "_build/smoke"], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        pytest.fail(f"the smoke book did not build:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return ROOT / "_build" / "smoke" / "html"


@pytest.fixture(scope="session")
def address(book) -> Iterator[str]:
    """Return the address at which the book is served."""
    with serve(book) as url:
        yield url
