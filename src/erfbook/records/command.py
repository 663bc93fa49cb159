"""``erfbook records``: what runs have left, moved about, checked and published."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from erfbook.errors import RunError, UserError
from erfbook.records import plain
from erfbook.records.files import check_target
from erfbook.records.npz import LARGEST, Damaged
from erfbook.records.places import find_places
from erfbook.records.portable import Merged, export, merge
from erfbook.records.publishing import publish
from erfbook.records.record import Record
from erfbook.records.store import Store
from erfbook.records.under_way import find_under_way
from erfbook.records.words import duration, flatten, ranges, size, table, tell_apart

OWN = "folder of records (default: this project's own)"
EVERY = "folder of records (default: this project's own, and the published ones)"
BOOK = "folder of published records (default: the book's)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(
        name: str, help: str, option: str = "--folder", folder: str = OWN
    ) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=help, description=help)
        added.add_argument(option, dest="folder", metavar="FOLDER", help=folder)
        return added

    listed = action("list", "a table of the records, and the runs under way", folder=EVERY)
    listed.add_argument("experiment", nargs="?", metavar="EXPERIMENT", help="only its records")
    shown = action("show", "one record: settings, results, arrays, provenance", folder=EVERY)
    shown.add_argument("key", metavar="KEY", help="the first digits of its key")
    action("verify", "read every record; name the bad ones, and the sizes", folder=EVERY)
    merged = action("merge", "take the records of exported files or of folders", "--into")
    merged.add_argument("sources", nargs="+", metavar="SOURCE", help="exported file, or folder")
    merged.add_argument(
        "--prefer", metavar="WHOSE", help="in conflicts: theirs replaces, ours keeps"
    )
    published = action(
        "publish", "put finished runs of the paper profile among the book's records", "--into", BOOK
    )
    published.add_argument("experiments", nargs="+", metavar="EXPERIMENT", help="whose runs")
    exported = action("export", "write the records as one file")
    exported.add_argument("file", metavar="FILE", help="a .zip")
    exported.add_argument("--experiment", action="append", metavar="NAME", help="only this one's")
    exported.add_argument(
        "--with-checkpoints", action="store_true", help="unfinished runs too, to go on elsewhere"
    )


def run(options: argparse.Namespace) -> int:
    """Carry out the action; 1 if a record is bad, in conflict or too large.

    Raises:
        UserError: options that cannot be used.
        RunError: something cannot be read or written.
    """
    stores = _open(options.folder, options.action)
    actions = {
        "list": _list,
        "show": _show,
        "verify": _verify,
        "merge": _merge,
        "export": _export,
        "publish": _publish,
    }
    return actions[options.action](stores, options)


def _open(folder: str | None, action: str) -> list[Store]:
    places = find_places()
    if action == "publish":
        into = folder or places.published
        if into is None:
            raise UserError("there is no book here to publish in; name a folder with --into")
        return [Store(places.own), _open_named(into, is_written=True)]
    if folder is not None:
        return [_open_named(folder, is_written=action == "merge")]
    folders = [places.own]
    if action in ("list", "show", "verify") and places.published is not None:
        folders.append(places.published)
    return [Store(path) for path in folders]


def _open_named(folder: str | Path, *, is_written: bool) -> Store:
    path = Path(folder).expanduser()
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a file; name a folder of records")
    if not path.exists() and not is_written:
        raise UserError(f"there is no folder {path}")
    return Store(path)


def _records(stores: Sequence[Store], experiment: str | None = None) -> Iterator[Record]:
    first, *rest = stores
    return Store(first.folder, also=[store.folder for store in rest]).select(experiment)


def _folders(stores: Sequence[Store]) -> str:
    return " or ".join(str(store.folder) for store in stores)


def _check_known(names: Sequence[str], stores: Sequence[Store]) -> None:
    """Refuse the name of an experiment of which there is nothing, finished or under way."""
    known = {path.parent.name for store in stores for path in store.files()}
    known |= {run.spec.experiment for run in find_under_way(stores[0].folder)}
    for name in names:
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise UserError(f"no records of {name!r} in {_folders(stores)}; there are: {there}")


def _list(stores: Sequence[Store], options: argparse.Namespace) -> int:
    if options.experiment is not None:
        _check_known([options.experiment], stores)
    groups: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for record in _records(stores, options.experiment):
        groups[record.spec.experiment, record.spec.version].append(record)
    rows = [row for name, records in sorted(groups.items()) for row in _rows(name, records)]
    if rows:
        head = ("experiment", "configuration", "seeds", "device", "a run", "last", "key")
        print(table(head, rows))
    else:
        print(f"no records in {_folders(stores)}")
    for unfinished in find_under_way(stores[0].folder):
        spec, spent = unfinished.spec, duration(unfinished.seconds())
        if options.experiment in (None, spec.experiment):
            print(f"under way: {spec.experiment} {spec.key}, seed {spec.seed}, {spent} so far")
    return 0


def _rows(name: tuple[str, int], records: Sequence[Record]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each configuration, data set and device."""
    configs: dict[str, tuple[dict[str, Any], list[Record]]] = {}
    for record in records:
        settings = {**record.spec.config, "data": record.spec.data}
        text = plain.dumps(plain.canonical(settings))
        configs.setdefault(text, (settings, []))[1].append(record)
    words = tell_apart([settings for settings, _ in configs.values()])
    for word, (_, alike) in sorted(zip(words, configs.values(), strict=True), key=lambda w: w[0]):
        by_device: dict[str, list[Record]] = defaultdict(list)
        for record in alike:
            by_device[str(record.provenance.get("device", "unknown"))].append(record)
        for device, made in sorted(by_device.items()):
            seconds = [m.provenance["seconds"] for m in made if "seconds" in m.provenance]
            yield (
                f"{name[0]} v{name[1]}",
                word,
                ranges(m.spec.seed for m in made),
                device,
                duration(fmean(seconds)) if seconds else "-",
                max(str(m.provenance.get("date", "-")) for m in made)[:10],
                made[0].spec.key[:8],
            )


def _show(stores: Sequence[Store], options: argparse.Namespace) -> int:
    files = [file for store in stores for file in store.files()]
    matching = {file.stem: file for file in reversed(files) if file.stem.startswith(options.key)}
    if not matching:
        raise UserError(f"no record's key begins with {options.key!r}; see erfbook records list")
    if len(matching) > 1:
        named = ", ".join(sorted(matching)[:4])
        raise UserError(
            f"{len(matching)} keys begin with {options.key!r}: {named}; give more of it"
        )
    ((key, file),) = matching.items()
    try:
        record = Store(file.parents[1]).check(file)
    except Damaged as error:
        raise UserError(f"the record {file} is damaged: {error}; make the run again") from None
    except FileNotFoundError:
        raise UserError(f"the record {file} has just been removed") from None
    spec = record.spec
    print(f"{spec.experiment} version {spec.version}, seed {spec.seed}, data {spec.data}")
    print(f"key {key}\nfile {file}, {size(file.stat().st_size)}")
    parts = (
        ("settings", flatten(spec.config)),
        ("results", flatten(record.metrics)),
        (
            "arrays",
            {n: f"{a.dtype} {'x'.join(map(str, a.shape))}" for n, a in record.arrays.items()},
        ),
        ("provenance", flatten(record.provenance)),
    )
    for title, values in parts:
        if values:
            rows = [(f"  {name}", _value(value)) for name, value in values.items()]
            print(table((title, ""), rows))
    return 0


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else plain.dumps(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _verify(stores: Sequence[Store], options: argparse.Namespace) -> int:
    published = find_places().published
    is_bad = False
    for store in stores:
        good, bad, total = 0, [], 0
        for file in store.files():
            try:
                store.check(file)
                total += file.stat().st_size
                good += 1
            except FileNotFoundError:  # another process has removed it since
                continue
            except Damaged as error:
                bad.append(f"bad: {file}: {error}")
            except RunError as error:
                bad.append(f"bad: {error}")
        print(f"{store.folder}: {good} records, {size(total)}")
        aside = sorted(store.folder.glob("*/*.npz.bad*"))
        for line in (*bad, *(f"set aside earlier: {file}" for file in aside)):
            print(line)
        too_large = store.folder == published and total > LARGEST
        if too_large:
            print(f"too large: published records must stay under {size(LARGEST)} together")
        is_bad = is_bad or bool(bad) or too_large
    return 1 if is_bad else 0


def _merge(stores: Sequence[Store], options: argparse.Namespace) -> int:
    code = 0
    for source in options.sources:
        result = merge(Path(source).expanduser(), stores[0], prefer=options.prefer)
        print(f"{source}: {_summary(result)}; into {stores[0].folder}")
        for line in result.notes:
            print(f"note: {line}")
        for line in result.bad:
            print(f"bad, not used: {line}")
        for line in result.conflicts:
            print(f"conflict: {line}")
        if result.conflicts:
            print("the records here were kept; --prefer theirs takes the others instead")
        code = code or (1 if result.bad or result.conflicts else 0)
    return code


def _publish(stores: Sequence[Store], options: argparse.Namespace) -> int:
    own, into = stores
    there = sorted({path.parent.name for path in own.files()})
    for name in options.experiments:
        if name not in there:
            known = ", ".join(there) or "none"
            raise UserError(f"no records of {name!r} in {own.folder}; there are: {known}")
    result = publish(own, into, options.experiments)
    for line in result.added:
        print(f"published: {line}")
    for line in result.refused:
        print(f"not published: {line}")
    left_out = [f"{n} {reason}" for reason, n in sorted(result.left_out.items())]
    total = sum(path.stat().st_size for path in into.files())
    print(
        f"{into.folder}: {len(result.added)} published, {result.n_same} there already; left out: "
        f"{', '.join(left_out) or 'none'}; {size(total)} of {size(LARGEST)}"
    )
    return 1 if result.refused else 0


def _summary(result: Merged) -> str:
    counts = {
        "added": result.added,
        "there already": result.same,
        "replaced": result.replaced,
        "in conflict": result.conflicts,
        "bad": result.bad,
        "under way": result.under_way,
    }
    return ", ".join(f"{len(lines)} {word}" for word, lines in counts.items() if lines) or "nothing"


def _export(stores: Sequence[Store], options: argparse.Namespace) -> int:
    file = Path(options.file).expanduser()
    check_target(file, "FILE")
    _check_known(options.experiment or (), stores)
    made = export(
        stores[0], file, experiments=options.experiment, with_checkpoints=options.with_checkpoints
    )
    for line in made.left_out:
        print(f"note: {line}")
    unfinished = f" and {made.n_under_way} unfinished runs" if made.n_under_way else ""
    print(f"{file}: {made.n_records} records{unfinished}, {size(file.stat().st_size)}")
    return 0
