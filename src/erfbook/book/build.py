"""Build the book: execute what changed, in parallel, judge the claims, make the HTML."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

from erfbook import claims
from erfbook.book import execute, fingerprint, results, scoreboard, times
from erfbook.book.paths import Project, absolute_places
from erfbook.errors import RunError, UserError
from erfbook.records import Store


def build(project: Project, profile: str, output: Path, jobs: int | None = None) -> Path:
    """Build the whole book and return the path of its first page.

    Args:
        project: the checkout.
        profile: the profile every notebook runs under.
        output: the folder that will hold ``html``.
        jobs: notebooks executed at once; the number of processors where it is None.

    Raises:
        UserError: another build of this checkout is running.
        RunError: a notebook failed, or the pages have a warning; the pages built before stand.
    """
    with _alone(project):
        plans = [execute.plan(project, name, profile, {}) for name in project.notebooks]
        execute_all(project, plans, jobs or os.cpu_count() or 1)
        _write_pages(project, plans, profile)
        return _make_html(project, output)


def execute_all(project: Project, plans: list[execute.Execution], jobs: int) -> None:
    """Execute the notebooks that are not current, ``jobs`` at a time, one progress line each.

    Raises:
        RunError: a notebook failed; the others are stopped, and those done are kept.
    """
    todo = [
        p for p in plans if not execute.is_current(_stored(project, p), p.key(project), project)
    ]
    for item in plans:
        if item not in todo:
            print(f"{item.notebook:<24} unchanged", flush=True)
    if not todo:
        return
    threads = max(1, (os.cpu_count() or 1) // min(jobs, len(todo)))
    workers = [_Worker(project, item, position, threads) for position, item in enumerate(todo)]
    with ThreadPoolExecutor(min(jobs, len(todo))) as pool:
        futures = [pool.submit(worker.run) for worker in workers]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            for worker in workers:
                worker.stop()
            raise


def _stored(project: Project, item: execute.Execution) -> Path:
    return project.executed / item.profile / f"{item.notebook}.ipynb"


class _Worker:
    """One notebook in a process of its own, and its progress line."""

    def __init__(self, project: Project, item: execute.Execution, position: int, threads: int):
        self.project, self.item, self.position, self.threads = project, item, position, threads
        self.process: subprocess.Popen | None = None
        self.stopped = False

    def run(self) -> None:
        if self.stopped:
            return
        item, start = self.item, time.perf_counter()
        command = [sys.executable, "-m", "erfbook", "run", item.notebook, "--profile", item.profile]
        command += ["-o", str(_stored(self.project, item)), "--progress", "lines"]
        environment = {**os.environ, **absolute_places(), "OMP_NUM_THREADS": str(self.threads)}
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            with subprocess.Popen(
                command,
                cwd=self.project.root,
                env=environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=said,  # a file: a pipe that nobody reads would fill up and block
                start_new_session=True,
            ) as self.process:
                self._follow(self.process)
            said.seek(0)
            errors = said.read()
        if self.stopped:
            return
        if self.process.returncode:
            raise RunError(errors.strip().removeprefix("erfbook: error: "))
        seconds = time.perf_counter() - start
        print(f"{item.notebook:<24} executed in {seconds:.0f} s", flush=True)

    def _follow(self, process: subprocess.Popen) -> None:
        form = "{desc:<24} {bar:20} {n_fmt}/{total_fmt} cells {elapsed} (about {remaining} left)"
        with tqdm(
            desc=self.item.notebook,
            position=self.position,
            bar_format=form,
            leave=False,
            disable=None,  # drawn on a terminal only
        ) as bar:
            assert process.stdout is not None
            for line in process.stdout:
                words = line.split()
                if words[:1] == ["cell"]:
                    bar.total = int(words[2])
                    bar.update(int(words[1]) - bar.n)

    def stop(self) -> None:
        """Stop the notebook, its kernel included; it leaves nothing behind."""
        self.stopped = True
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)


def _write_pages(project: Project, plans: list[execute.Execution], profile: str) -> None:
    """Put notebooks, scoreboard and times where the book looks for its chapters."""
    project.chapters.mkdir(parents=True, exist_ok=True)
    for stale in project.chapters.glob("*.ipynb"):
        if stale.stem not in project.notebooks:
            stale.unlink()
    for item in plans:
        _copy_if_changed(_stored(project, item), project.chapters / f"{item.notebook}.ipynb")
    verdicts = claims.judge(claims.load(project.ledger), results.read_all(project.chapters))
    pages = {
        "scoreboard": scoreboard.render(verdicts, profile),
        "times": times.render(project.chapters, Store(project.records)),
    }
    for name, page in pages.items():
        target = project.chapters / f"{name}.md"
        if not target.exists() or target.read_text(encoding="utf-8") != page:
            target.write_text(page, encoding="utf-8")


def _copy_if_changed(source: Path, target: Path) -> None:
    if not target.exists() or target.read_bytes() != source.read_bytes():
        shutil.copyfile(source, target)


def _make_html(project: Project, output: Path) -> Path:
    stage, html, stamp = output / "stage", output / "html", output / "html.key"
    inputs = [*project.pages.rglob("*"), project.config, project.toc, project.lock]
    key = fingerprint.of_files((f for f in inputs if "_build" not in f.parts), project.root)
    if stamp.exists() and stamp.read_text() == key and (html / "index.html").exists():
        print(f"{'pages':<24} unchanged", flush=True)
        return html / "index.html"
    start = time.perf_counter()
    stage.mkdir(parents=True, exist_ok=True)
    program = "from jupyter_book.cli.main import main; main()"  # it has no __main__
    command = [sys.executable, "-c", program, "build", str(project.pages)]
    command += ["--config", str(project.config), "--toc", str(project.toc)]
    command += ["--path-output", str(stage), "-W", "-n", "--keep-going"]
    log = output / "html.log"
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, cwd=project.root)
    if done.returncode:
        stamp.unlink(missing_ok=True)
        shutil.rmtree(stage)  # a later build must meet the same warnings again
        raise RunError(_explain_html(log))
    _replace_folder(stage / "_build" / "html", html)
    stamp.write_text(key)
    print(f"{'pages':<24} built in {time.perf_counter() - start:.0f} s", flush=True)
    return html / "index.html"


def _explain_html(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line for line in lines if "WARNING" in line or "ERROR" in line]
    shown = "\n".join(f"  {line}" for line in (told or lines)[-12:])
    return f"the pages were not built; the pages built before stand. All of it is in {log}\n{shown}"


def _replace_folder(source: Path, target: Path) -> None:
    """Copy a folder to ``target``, which is never seen half made: two renames swap it in."""
    fresh, old = target.with_name(target.name + ".new"), target.with_name(target.name + ".old")
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(source, fresh)
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _alone(project: Project) -> Iterator[None]:
    """Hold the checkout's build lock, which ends with the process however it ends."""
    try:
        project.build.mkdir(parents=True, exist_ok=True)
        file = (project.build / "lock").open("w")
    except OSError as error:
        raise UserError(f"cannot write in {project.build}: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError("another build of this checkout is running; wait for it") from None
        yield
