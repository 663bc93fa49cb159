"""Records that travel between machines as one file, and what comes of joining them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from erfbook.errors import UserError
from erfbook.records.archive import Source, open_source, write_archive
from erfbook.records.compare import Conflict
from erfbook.records.files import write_whole
from erfbook.records.npz import Damaged, decode
from erfbook.records.record import RESERVED, Record
from erfbook.records.store import Store
from erfbook.records.under_way import Busy, UnderWay, find_under_way, read_account, read_pieces


@dataclass(frozen=True)
class Exported:
    """What an export holds.

    Args:
        n_records: finished runs.
        n_under_way: unfinished runs, with their checkpoints.
        left_out: what was not taken, and why.
    """

    n_records: int
    n_under_way: int
    left_out: tuple[str, ...]


@dataclass
class Merged:
    """What a merge did; each list holds one line a run.

    Args:
        added: records that were not there.
        same: records that were there with the same results, or that were to be kept.
        replaced: records that gave way to others.
        conflicts: records with other results than the one that is there, which stays.
        bad: what is damaged and was not used.
        under_way: unfinished runs that were taken.
        notes: what else was left out, and why.
    """

    added: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    under_way: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def export(
    store: Store,
    file: Path,
    *,
    experiments: Collection[str] | None = None,
    with_checkpoints: bool = False,
) -> Exported:
    """Write the records of a store's own folder into one file, whole or not at all.

    Args:
        store: what to take them from; a damaged record is named and left out.
        file: the archive; one that is there gives way.
        experiments: names of those to take; None for all.
        with_checkpoints: whether unfinished runs go along, so that another machine goes on.

    Raises:
        RunError: it cannot be written; nothing of it is left.
    """
    wanted = [p for p in store.files() if experiments is None or p.parent.name in experiments]
    wanted = [path for path in wanted if store.look(path) is not None]
    members = {f"records/{p.parent.name}/{p.name}": p for p in wanted}
    n_under_way, left_out = 0, []
    with contextlib.ExitStack() as held:
        for run in find_under_way(store.folder) if with_checkpoints else ():
            if experiments is not None and run.spec.experiment not in experiments:
                continue
            try:
                held.enter_context(run.hold(0))
            except Busy as error:
                left_out.append(f"{error}; it is left out")
                continue
            run.settle()
            members |= {f"{RESERVED}/{p.name}": p for p in (run.account, *run.files())}
            n_under_way += 1
        write_whole(file, write_archive(members), replace=True)
    return Exported(len(wanted), n_under_way, tuple(left_out))


def merge(source: Path, into: Store, *, prefer: str | None = None) -> Merged:
    """Put the records of an exported file, or of a folder of records, into a store.

    Args:
        source: the file or folder.
        into: where they go; a record that is there with other results stays.
        prefer: ``theirs`` for those of ``source`` to take its place, ``ours`` to keep it without
            calling it a conflict.

    Raises:
        UserError: there is no such file, or it holds no records.
        RunError: the store cannot be written.
    """
    if prefer not in (None, "theirs", "ours"):
        raise UserError(f"--prefer must be theirs or ours, not {prefer!r}")
    result = Merged()
    with open_source(source) as found:
        result.bad += [f"{name}: it is missing from {source}" for name in found.lost()]
        for name, member in found.records.items():
            try:
                content = found.read(member)
                record = decode(content)
                if f"{record.spec.experiment}/{record.spec.key}" != name:
                    raise Damaged(f"it holds {record.spec.experiment} {record.spec.key}")
            except Damaged as error:
                result.bad.append(f"{name}: {error}")
            else:
                _put(content, record, into, prefer, result)
        for key, members in found.under_way.items():
            _merge_unfinished(found, key, members, into, result)
    return result


def _put(content: bytes, record: Record, into: Store, prefer: str | None, result: Merged) -> None:
    line = f"{record.spec.experiment} {record.spec.key}, seed {record.spec.seed}"
    is_new = into.read(into.path(record.spec)) is None
    try:
        into.add(content)
        UnderWay(into.folder, record.spec).discard()
        (result.added if is_new else result.same).append(line)
    except Conflict as conflict:
        if prefer == "theirs":
            into.add(content, replace=True)
            result.replaced.append(line)
        elif prefer == "ours":
            result.same.append(line)
        else:
            result.conflicts.append(str(conflict))


def _merge_unfinished(
    found: Source, key: str, members: dict[str, str], into: Store, result: Merged
) -> None:
    """Take an unfinished run, unless it is finished here or has come further here."""
    try:
        account = found.read(members[".json"])
        spec, (pieces, _) = read_account(account), read_pieces(account)
        if spec.key != key:
            raise Damaged(f"its account is that of {spec.experiment} {spec.key}")
        if any(name.startswith(f"{RESERVED}/{key}") for name in found.lost()):
            raise Damaged("a part of it is missing")
        for member in members.values():  # all of it is whole before any of it is put in place
            found.copy(member, len)
    except Damaged as error:
        result.bad.append(f"{RESERVED}/{key}: {error}")
        return
    run = UnderWay(into.folder, spec)
    line = f"{spec.experiment} {key}, seed {spec.seed}"
    if into.find(spec) is not None:
        result.notes.append(f"{line}: finished here, its checkpoint is left out")
        return
    try:
        with run.hold(0):
            if run.files() and run.seconds() >= sum(p["seconds"] for p in pieces):
                result.notes.append(f"{line}: the checkpoint here has come as far, it is kept")
                return
            run.clear()
            for suffix, member in sorted(members.items(), key=lambda item: item[0] == ".json"):
                _copy(found, member, run.account.with_name(f"{key}{suffix}"))
            result.under_way.append(line)
    except Busy as error:
        result.notes.append(f"{error}; its checkpoint is left out")


def _copy(found: Source, member: str, path: Path) -> None:
    """Copy a member of an unfinished run; its time goes along, for accounts may rest on it."""
    write_whole(path, lambda file: found.copy(member, file.write), replace=True)
    original = found.place / member
    if found.place.is_dir() and original.exists():
        stamp = original.stat()
        with contextlib.suppress(OSError):
            os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
