"""The ``erfbook`` command: read the words, call the package, turn errors into one line."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import importlib
import os
import signal
import sys
import threading
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from erfbook import parameters, profiles
from erfbook.errors import RunError, UserError

_NAMES = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL}
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EPERM}

_MODULES = {
    "rf": ("erfbook.rf.command", "compute the theoretical receptive field of every layer"),
    "erf": ("erfbook.erf.command", "measure the effective receptive field of a model"),
    "data": ("erfbook.datasets.command", "list, fetch and verify data sets"),
    "sweep": ("erfbook.sweep.command", "make the missing runs of an experiment"),
    "records": ("erfbook.records.command", "list, show, verify, merge, export and publish records"),
}


class _Parser(argparse.ArgumentParser):
    """A parser whose every complaint is one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 failed, 2 bad input, 130 interrupted."""
    options = argparse.Namespace()
    try:
        words = sys.argv[1:] if words is None else list(words)
        with _stopped_by_sigterm():
            _parser(words).parse_args(words, options)
            return options.handler(options) or 0
    except UserError as error:
        return _complain(str(error), 2)
    except RunError as error:
        return _complain(str(error), 1)
    except KeyboardInterrupt:
        return _complain("interrupted; what was finished is kept, run it again to go on", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno in _NAMES and error.filename is not None:
            return _complain(f"cannot use {error.filename}: {error.strerror}; name another", 2)
        if error.errno not in _DISK:
            raise
        place = error.filename or _name_outputs(options)
        return _complain(f"cannot write {place}: {error.strerror}; nothing half-made is kept", 1)


@contextlib.contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Take a request to end, as batch systems send it, like Ctrl-C: nothing is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _name_outputs(options: argparse.Namespace) -> str:
    """Return what was to be written: a full disk does not say to which file it had no room."""
    given = (getattr(options, name, None) for name in ("output", "svg", "readme"))
    return " or ".join(str(name) for name in given if name) or "the output"


def _complain(message: str, code: int) -> int:
    print(f"erfbook: error: {message}", file=sys.stderr)
    return code


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(prog="erfbook", description="Receptive fields, reproduced.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    _add_run(commands)
    _add_build(commands)
    _add_claims(commands)
    for name, (place, help) in _MODULES.items():
        _add_module(commands, words, name, place, help)
    return parser


def _add_profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile", default="laptop", metavar="P", help="smoke, laptop or paper (default: laptop)"
    )


def _add_run(commands: Any) -> None:
    parser = commands.add_parser("run", help="execute one notebook", add_help=False)
    parser.add_argument("notebook", nargs="?", metavar="NOTEBOOK")
    parser.add_argument("-h", "--help", action="store_true", help="with NOTEBOOK: its parameters")
    parser.add_argument(
        "-p", dest="pairs", nargs=2, action="append", default=[], metavar=("NAME", "VALUE")
    )
    _add_profile(parser)
    parser.add_argument("-o", "--output", metavar="OUT", help="an .ipynb file, or a folder")
    parser.add_argument("--progress", choices=("bar", "lines"), default="bar")
    parser.set_defaults(handler=lambda options: _run(parser, options))


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if options.notebook is None:
        if options.help:
            print(parser.format_help() + f"\nnotebooks: {', '.join(parameters.NOTEBOOKS)}")
            return 0
        raise UserError(f"name a notebook: {', '.join(parameters.NOTEBOOKS)}")
    notebook = Path(options.notebook).stem if options.notebook.endswith(".py") else options.notebook
    declared = parameters.of(notebook)
    if options.help:
        print(_describe(declared))
        return 0
    overrides = _overrides(declared, options.pairs)
    from erfbook.book import execute, paths

    project = paths.find_project()
    plan = execute.plan(project, notebook, options.profile, overrides)
    output = _output_file(options.output or project.build / "runs", notebook)
    print(execute.execute(project, plan, output, _progress(options.progress, notebook)))
    return 0


def _overrides(declared: type[profiles.Parameters], pairs: Sequence[Sequence[str]]) -> dict:
    hints = typing.get_type_hints(declared)
    overrides: dict[str, Any] = {}
    for name, word in pairs:
        if name in overrides:
            raise UserError(f"the parameter {name!r} is given twice")
        overrides[name] = profiles.parse(word, hints[name]) if name in hints else word
    return overrides


def _output_file(word: str | Path, notebook: str) -> Path:
    path = Path(word).expanduser()
    file = path if path.suffix == ".ipynb" else path / f"{notebook}.ipynb"
    existing = next(p for p in (file, *file.parents) if p.exists())
    if existing.is_dir() is (existing == file) or not os.access(existing, os.W_OK):
        raise UserError(f"cannot write {file}: {existing} is not writable; choose another with -o")
    return file.resolve()


def _progress(kind: str, notebook: str) -> Any:
    if kind == "lines":
        return lambda done, total: print(f"cell {done} {total}", flush=True)
    from tqdm import tqdm

    bar = tqdm(desc=notebook, unit="cell", disable=None)

    def show(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return show


def _describe(declared: type[profiles.Parameters]) -> str:
    hints = typing.get_type_hints(declared)
    lines = [f"erfbook run {declared.notebook}: {declared.__doc__}", ""]
    for name, f in declared.fields().items():
        meta, values = f.metadata, f.metadata["values"]
        kind = profiles.describe_type(hints[name])
        allowed = profiles.describe_range(f)
        unit = f" {meta['unit']}" if meta["unit"] else ""
        lines.append(f"  -p {name} <{kind}{': ' + allowed if allowed else ''}>{unit}")
        lines.append(f"      {meta['help']}")
        told = ", ".join(f"{profile} {_shown(values[profile])}" for profile in profiles.PROFILES)
        lines.append(f"      {told}")
    lines += ["", "What a profile can't conclude:"]
    lines += [f"  {profile}: {declared.limits[profile]}" for profile in profiles.PROFILES]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return ",".join(str(v) for v in value) if isinstance(value, tuple) else str(value)


def _add_build(commands: Any) -> None:
    parser = commands.add_parser("build", help="execute every notebook, then make the HTML")
    _add_profile(parser)
    parser.add_argument("-o", "--output", metavar="DIR", help="folder for html (default: _build)")
    parser.add_argument("-j", "--jobs", type=int, metavar="N", help="notebooks at once")
    parser.set_defaults(handler=_build)


def _build(options: argparse.Namespace) -> int:
    from erfbook.book import build, paths

    if options.jobs is not None and options.jobs < 1:
        raise UserError(f"--jobs must be at least 1, not {options.jobs}")
    project = paths.find_project()
    output = Path(options.output).resolve() if options.output else project.build
    print(build.build(project, profiles.check_profile(options.profile), output, options.jobs))
    return 0


def _add_claims(commands: Any) -> None:
    parser = commands.add_parser("claims", help="the ledger and its verdicts, from the last build")
    parser.add_argument("--verdict", metavar="WORD", help="only these: reproduced, partly, …")
    parser.add_argument("--readme", metavar="FILE", help="put the headline rows into this README")
    parser.set_defaults(handler=_claims)


def _claims(options: argparse.Namespace) -> int:
    from erfbook import claims
    from erfbook.book import paths, readme, results

    if options.verdict is not None and options.verdict not in claims.VERDICTS:
        close = difflib.get_close_matches(options.verdict, claims.VERDICTS, n=1, cutoff=0.3)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UserError(f"--verdict must be one of {', '.join(claims.VERDICTS)}{hint}")
    project = paths.find_project()
    found = results.read_all(project.chapters)
    verdicts = claims.judge(claims.load(project.ledger), found)
    if options.readme:
        readme.update(Path(options.readme), verdicts, found[0].profile if found else "none")
    for verdict in verdicts:
        if options.verdict in (None, verdict.word):
            shown = ", ".join(str(o.result.value) for o in verdict.outcomes if o.result)
            print(f"{verdict.word:<15} {verdict.claim.id:<44} {shown or verdict.reason}")
    print(", ".join(f"{n} {word}" for word, n in claims.count(verdicts).items()))
    return 0


def _add_module(commands: Any, words: Sequence[str], name: str, place: str, help: str) -> None:
    """Add a command that a module of its own describes, and import that only if it is asked for.

    Importing PyTorch takes seconds, which the other commands should not.
    """
    parser = commands.add_parser(name, help=help)
    if name in words[:1]:
        command = importlib.import_module(place)
        command.add_arguments(parser)
        parser.set_defaults(handler=command.run)
