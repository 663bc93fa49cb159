"""Execute one notebook: text to notebook by jupytext, notebook to outputs by papermill."""

from __future__ import annotations

import contextlib
import glob
import json
import logging
import os
import platform
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erfbook import parameters
from erfbook.book import fingerprint, reading, results
from erfbook.book.paths import Project, absolute_places
from erfbook.errors import RunError, UserError
from erfbook.records.files import Unwritable, is_alive

Progress = Callable[[int, int], None]  # cells done, cells in all


@dataclass(frozen=True)
class Execution:
    """What is to be executed: a notebook, its profile and the values changed by hand."""

    notebook: str
    profile: str
    overrides: Mapping[str, Any]

    def key(self, project: Project) -> str:
        """Return the fingerprint of this execution in ``project``."""
        values = parameters.of(self.notebook).resolve(self.profile, self.overrides)
        return fingerprint.of_execution(project, self.notebook, self.profile, values)


def plan(project: Project, notebook: str, profile: str, overrides: Mapping[str, Any]) -> Execution:
    """Check a notebook's name and parameters before anything runs.

    Raises:
        UserError: no such notebook, profile or parameter, or a value that cannot be.
    """
    parameters.of(notebook).resolve(profile, overrides)
    if notebook not in project.notebooks:
        raise UserError(f"notebook {notebook!r} has no file in {project.root / 'notebooks'}")
    return Execution(notebook, profile, dict(overrides))


def execute(
    project: Project, execution: Execution, output: Path, progress: Progress | None = None
) -> Path:
    """Execute a notebook into ``output``, which appears whole or not at all.

    Raises:
        Unwritable: there is no room for it.
        RunError: a cell failed; the part that ran is kept under the build folder's ``failed``.
        UserError: the notebook itself says what it was given and can't use.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    key = execution.key(project)
    logging.getLogger("papermill").setLevel(logging.ERROR)  # names were checked, profile is known
    # A write that fails in a callback reaches us as an error too; its traceback would come first.
    logging.getLogger("tornado").setLevel(logging.CRITICAL)
    values = {"profile": execution.profile, **execution.overrides}
    with _naming(output), _stage(output.parent) as folder:
        source, made = folder / "source.ipynb", folder / output.name
        n_cells = _convert(project.notebooks[execution.notebook], source)
        done = iter(range(1, n_cells + 1))
        with _kernel_environment() as kernel:
            try:
                papermill.execute_notebook(
                    str(source),
                    str(made),
                    parameters={
                        k: list(v) if isinstance(v, tuple) else v for k, v in values.items()
                    },
                    kernel_name="python3",
                    cwd=str(project.root),
                    progress_bar=False,
                    **kernel,
                    on_cell_executed=lambda **_: (
                        progress and progress(next(done, n_cells), n_cells)
                    ),
                )
            except PapermillExecutionError as error:
                if error.ename == UserError.__name__:  # what was given is to blame, not the cell
                    raise UserError(f"notebook {execution.notebook}: {error.evalue}") from None
                kept = project.build / "failed" / f"{execution.notebook}.ipynb"
                _make_folder(kept.parent)
                os.replace(made, kept)
                raise RunError(_explain(execution, error, kept)) from None
        _finish(made, key, execution)
        os.replace(made, output)
    return output


def is_current(path: Path, key: str, project: Project) -> bool:
    """Return whether ``path`` is an executed notebook with this key that would read the same.

    One that is damaged, or does not say which records it read, is not.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        if notebook["metadata"]["erfbook"]["key"] != key:
            return False
        noted = results.last_note(notebook, results.READ)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
    return noted is not None and reading.is_unchanged(project, noted)


@contextlib.contextmanager
def _naming(output: Path) -> Iterator[None]:
    """Name the file that was to be written where the system, having no room, names none."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise Unwritable(
            f"cannot write {output}: {error.strerror}; nothing half-made is kept"
        ) from error


@contextlib.contextmanager
def _stage(folder: Path) -> Iterator[Path]:
    """Yield a hidden folder to work in, on the disk of ``folder``, which is made.

    Nothing of it is left, nor an empty ``folder`` where the work fails. What a killed process of
    this machine has left is removed.
    """
    fresh = [place for place in (folder, *folder.parents) if not place.exists()]
    _make_folder(folder)
    mark = f".erfbook-{platform.node()}-"
    for left in folder.glob(f"{glob.escape(mark)}*"):
        words = left.name.removeprefix(mark).split("-")
        if words[0].isdigit() and not is_alive(int(words[0])):
            shutil.rmtree(left, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory(prefix=f"{mark}{os.getpid()}-", dir=folder) as stage:
            yield Path(stage)
    except BaseException:
        for place in fresh:
            with contextlib.suppress(OSError):  # something else has come into it
                place.rmdir()
        raise


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror}") from None


def _convert(text: Path, notebook: Path) -> int:
    import jupytext

    content = jupytext.read(text, fmt="py:percent")
    content.metadata.setdefault("kernelspec", {}).update(name="python3", language="python")
    jupytext.write(content, notebook, fmt="ipynb")
    return sum(cell.cell_type == "code" for cell in content.cells) + 1  # papermill injects one


def _finish(path: Path, key: str, execution: Execution) -> None:
    """Stamp the key, and hide the injected cell where it changes nothing but the profile."""
    content = json.loads(path.read_text(encoding="utf-8"))
    stamp = {"key": key, "profile": execution.profile, "overrides": dict(execution.overrides)}
    content["metadata"]["erfbook"] = stamp
    content["metadata"].pop("papermill", None)  # holds paths of this machine
    for cell in content["cells"]:
        cell["metadata"].pop("papermill", None)
        cell["metadata"].pop("execution", None)
        tags = cell["metadata"].get("tags", [])
        if "injected-parameters" in tags and not execution.overrides:
            cell["metadata"]["tags"] = [*tags, "remove-cell"]
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _kernel_environment() -> Iterator[dict[str, Any]]:
    """Shield the kernel from the user's own start-up files and from other users of the machine.

    It works in the checkout, and still reads the data that the caller named from another folder.
    The kernel talks over sockets in a private folder instead of TCP ports; its path is short, as
    such sockets need it. Yields what the kernel's manager must be told.
    """
    from traitlets.config import Config

    with tempfile.TemporaryDirectory(prefix="erfbook-") as folder:
        wanted = {**absolute_places(), "IPYTHONDIR": folder, "JUPYTER_RUNTIME_DIR": folder}
        wanted["JUPYTER_PREFER_ENV_PATH"] = "1"
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            yield {
                "config": Config(KernelManager={"transport": "ipc", "ip": f"{folder}/k"}),
                "extra_arguments": ["--log-level=50"],  # a cell's own errors come through papermill
            }
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def _explain(execution: Execution, error: Any, kept: Path) -> str:
    words = ["erfbook", "run", execution.notebook, "--profile", execution.profile]
    for name, value in execution.overrides.items():
        words += ["-p", name, _word(value)]
    source = "\n".join(f"    {line}" for line in str(error.source).rstrip().splitlines())
    return (
        f"notebook {execution.notebook} failed in cell {error.exec_count}: "
        f"{error.ename}: {error.evalue}\n{source}\n"
        f"  run just it again: {shlex.join(words)}\n  what ran until then: {kept}"
    )


def _word(value: Any) -> str:
    """Return a parameter's value as the command line takes it."""
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
