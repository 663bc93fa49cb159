"""Decode a split into two arrays of bytes, on several processes where there is much of it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from queue import SimpleQueue

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from erfbook.datasets.catalogue import Entry
from erfbook.datasets.counter import shuffled
from erfbook.datasets.decode_worker import DecodeError, decode_batch
from erfbook.datasets.folders import Found
from erfbook.datasets.rows import Row, count_rows, read_rows, remedy
from erfbook.errors import RunError, UserError

_BATCH = 256
_MOST_WORKERS = 8
# Starting a process takes as long as decoding some 1.5 million pixels.
_PIXELS_A_WORKER = 4_000_000

Decoder = Callable[[Sequence[bytes], int], np.ndarray]


def decode_split(
    found: Found, split: str
) -> tuple[UInt8[np.ndarray, "n 3 height width"], UInt8[np.ndarray, n * pixels]]:
    """Return a split's images and labels in the set's fixed order, which mixes the classes.

    Raises:
        UserError: a file is damaged, rows are missing, or a label is out of range.
    """
    entry, n = found.entry, count_rows(found, split)
    size = (entry.height, entry.width)
    images = np.empty((n, 3, *size), np.uint8)
    labels = np.empty((n, *size) if entry.task == "segmentation" else n, np.uint8)
    place = np.empty(n, np.int64)
    place[shuffled(n)] = np.arange(n)  # row i of the files goes to place[i]
    done = 0
    with (
        tqdm(total=n, desc=f"decode {entry.name} {split}", unit="image", disable=None) as bar,
        _decoder(entry, n) as (decode, at_once),
    ):
        batches = _batches(read_rows(found, split))
        for rows, decoded in _in_order(lambda rows: _decode(rows, entry, decode), batches, at_once):
            where = place[done : done + len(rows)]
            images[where], labels[where] = decoded
            done += len(rows)
            bar.update(len(rows))
    if done != n:
        raise UserError(f"{found.folder}: {split} ends after {done} of {n} rows; {remedy(entry)}")
    return images, labels


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _decode(rows: list[Row], entry: Entry, decode: Decoder) -> tuple[np.ndarray, np.ndarray]:
    images = _checked(rows, [row.image for row in rows], 3, decode, entry)
    if entry.task == "classification":
        return images, np.array([row.label for row in rows], np.uint8)
    labels = _checked(rows, [bytes(row.label) for row in rows], 1, decode, entry)
    highest = labels.reshape(len(rows), -1).max(axis=1)
    if (wrong := np.flatnonzero(highest > entry.highest_label)).size:
        raise UserError(
            f"{rows[wrong[0]].where}: label {highest[wrong[0]]} is above the highest of "
            f"{entry.title}, {entry.highest_label}; {remedy(entry)}"
        )
    return images, labels


def _checked(
    rows: list[Row], encoded: list[bytes], channels: int, decode: Decoder, entry: Entry
) -> np.ndarray:
    try:
        return decode(encoded, channels)
    except DecodeError as error:
        what = "image" if channels == 3 else "label image"
        where = rows[error.index].where
        raise UserError(f"{where}, {what}: {error.reason}; {remedy(entry)}") from None


def _in_order(work, batches, at_once: int) -> Iterator[tuple[list[Row], tuple]]:
    """Yield each batch with its result, in order, a few being worked on ahead."""
    if at_once == 1:
        yield from ((batch, work(batch)) for batch in batches)
        return
    waiting: deque[tuple[list[Row], Future]] = deque()
    with ThreadPoolExecutor(at_once) as threads:
        try:
            for batch in batches:
                waiting.append((batch, threads.submit(work, batch)))
                if len(waiting) > 2 * at_once:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            threads.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _decoder(entry: Entry, n: int) -> Iterator[tuple[Decoder, int]]:
    """Yield what decodes a batch, and how many batches it takes at once."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    size = (entry.height, entry.width)
    wanted = n * size[0] * size[1] // _PIXELS_A_WORKER
    n_workers = min(cores or 1, _MOST_WORKERS, wanted)
    if n_workers < 2:
        yield lambda encoded, channels: decode_batch(encoded, *size, channels), 1
        return
    workers = [_Worker(*size) for _ in range(n_workers)]
    idle: SimpleQueue[_Worker] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def decode(encoded: Sequence[bytes], channels: int) -> np.ndarray:
        worker = idle.get()
        try:
            return worker.decode(encoded, channels)
        finally:
            idle.put(worker)

    try:
        yield decode, n_workers
    finally:
        for worker in workers:
            worker.close()


class _Worker:
    """A process that decodes."""

    def __init__(self, height: int, width: int) -> None:
        self.size = (height, width)
        program = str(Path(__file__).with_name("decode_worker.py"))
        # -P keeps this folder off the worker's import path, where its modules could be taken for
        # others of the same name.
        self.process = subprocess.Popen(
            [sys.executable, "-P", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def decode(self, encoded: Sequence[bytes], channels: int) -> np.ndarray:
        """Return what :func:`decode_batch` returns, computed by the process."""
        requests, answers = self.process.stdin, self.process.stdout
        assert requests is not None and answers is not None
        try:
            requests.write(np.array([len(encoded), *self.size, channels, 0], np.int64).tobytes())
            requests.write(np.array([len(data) for data in encoded], np.int64).tobytes())
            requests.writelines(encoded)
            requests.flush()
            head = answers.read(8)
            length = int(np.frombuffer(head, np.int64)[0]) if len(head) == 8 else 0
            reply = answers.read(abs(length))
        except BrokenPipeError:
            length, reply = 0, b""
        if length == 0 or len(reply) != abs(length):
            raise RunError("a process that decodes images ended early; run the command again")
        if length < 0:
            index, reason = reply.decode().split(" ", 1)
            raise DecodeError(int(index), reason)
        shape = (len(encoded), 3, *self.size) if channels == 3 else (len(encoded), *self.size)
        return np.frombuffer(reply, np.uint8).reshape(shape)

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self.process.wait()
