"""The command line of ``erfbook data``: list, fetch and verify data sets."""

from __future__ import annotations

import argparse
import sys

from erfbook import datasets
from erfbook.datasets.catalogue import Entry, find_entry, read_table
from erfbook.datasets.decoded import decoded_folder
from erfbook.datasets.fetch import fetch
from erfbook.datasets.folders import locate
from erfbook.datasets.identity import identify
from erfbook.datasets.verify import hash_content, verify
from erfbook.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="the data sets, where they are, their terms, how to get them")
    one = actions.add_parser("fetch", help="download a set; run again, it goes on")
    one.add_argument("names", nargs="+", metavar="NAME")
    check = actions.add_parser("verify", help="check every file, image and label of sets again")
    check.add_argument("names", nargs="*", metavar="NAME", help="default: all on this machine")


def run(options: argparse.Namespace) -> int:
    """Carry out the command and return the exit code."""
    if options.action == "list":
        return _list()
    entries = [find_entry(name) for name in options.names]
    return _fetch(entries) if options.action == "fetch" else _verify(entries)


def _list() -> int:
    for entry in read_table().values():
        print(entry.name)
        for label, text in _rows(entry):
            print(f"  {label:<9} {text}")
    kept = sorted(decoded_folder().glob("*.images")) if decoded_folder().is_dir() else []
    if kept:
        size = sum(path.stat().st_size for path in kept)
        print(f"decoded images, which may be removed: {decoded_folder()}, {_megabytes(size)}")
    return 0


def _rows(entry: Entry) -> list[tuple[str, str]]:
    rows = [("what", _describe(entry)), ("terms", entry.terms)]
    if entry.embedded:
        return [*rows, ("where", "in the package; no download")]
    archive = entry.archive
    if archive:
        size = _megabytes(archive.bytes) if archive.bytes else "size not established"
        rows += [("archive", f"{archive.url}, {size}"), ("checked", archive.checked)]
    return [*rows, ("where", _where(entry))]


def _describe(entry: Entry) -> str:
    if entry.embedded:
        return f"{entry.task}, made by the package, version {entry.version}"
    counts = ", ".join(f"{n:,} {split}" for split, n in entry.rows.items())
    size = f"{entry.width} x {entry.height} px"
    return f"{entry.title}: {entry.task}, {entry.n_classes} classes, {size}, {counts}"


def _where(entry: Entry) -> str:
    try:
        found = locate(entry)
        if found is None:
            return f"not on this machine; {entry.how_to_get}"
        size = sum(size for _, size, _ in found.state)
        return f"{found.folder}, {_megabytes(size)}, {identify(found).note}"
    except UserError as error:
        return f"not usable: {error}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _fetch(entries: list[Entry]) -> int:
    for entry in entries:
        folder = fetch(entry)
        print(f"{entry.name}: {folder}")
    return 0


def _verify(entries: list[Entry]) -> int:
    n_bad = 0
    for entry in entries or read_table().values():
        try:
            told = _verify_embedded(entry) if entry.embedded else verify(entry)
        except UserError as error:
            print(f"erfbook: {entry.name} is bad: {error}", file=sys.stderr)
            n_bad += 1
            continue
        if told is None and entries:
            print(
                f"erfbook: {entry.name} is not on this machine; {entry.how_to_get}", file=sys.stderr
            )
            n_bad += 1
        else:
            print(f"{entry.name}: {f'good: {told}' if told else 'not on this machine'}")
    return 1 if n_bad else 0


def _verify_embedded(entry: Entry) -> str:
    data = datasets.load(entry.name)
    found = hash_content(data)
    if found != entry.sha256:
        raise UserError(
            f"its content has SHA-256 {found[:12]}…, that of {data.fingerprint} is "
            f"{entry.sha256[:12]}…: install the versions of requirements.lock"
        )
    return f"{data.note}, {data.fingerprint}"
