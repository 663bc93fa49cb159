"""Small data sets, a table of them, and a server that misbehaves: what the data tests share."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from PIL import Image

from erfbook.datasets import ImageSet
from erfbook.datasets.counter import shuffled

SIDE, N_CLASSES = 8, 3
ROWS = {"train": 30, "test": 12}
SCENE = (6, 10)  # height, width
SCENES = {"train": 5, "val": 2, "test": 3}


def png(pixels: np.ndarray) -> bytes:
    """Return an image file without loss."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def make_images(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (n, height, width, 3) and classes of a split of the small set."""
    random = np.random.default_rng([len(split), 1])
    n = ROWS[split]
    labels = np.sort(np.arange(n) % N_CLASSES)  # class by class, as publishers often sort
    return random.integers(0, 256, (n, SIDE, SIDE, 3), np.uint8), labels


def make_scenes(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels and the class of every pixel of a split of the small scenes."""
    random = np.random.default_rng([len(split), 2])
    n = SCENES[split]
    return (
        random.integers(0, 256, (n, *SCENE, 3), np.uint8),
        random.integers(0, N_CLASSES + 1, (n, *SCENE), np.uint8),
    )


def write_small(folder: Path, *, column: str = "img", shards: int = 1) -> Path:
    """Write the small set as the Hub does, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ROWS:
        images, labels = make_images(split)
        cells = [{"bytes": png(image), "path": f"{i}.png"} for i, image in enumerate(images)]
        for k, rows in enumerate(np.array_split(np.arange(len(labels)), shards)):
            ending = "" if shards == 1 else f"-{k:05d}-of-{shards:05d}"
            table = {column: [cells[i] for i in rows], "label": labels[rows].tolist()}
            pyarrow.parquet.write_table(
                pyarrow.table(table), folder / f"{split}{ending}.parquet", compression="none"
            )
    return folder


def write_scenes(folder: Path) -> Path:
    """Write the small scenes as the Hub does, and return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in SCENES:
        images, labels = (
            [{"bytes": png(a), "path": f"{i}.png"} for i, a in enumerate(arrays)]
            for arrays in make_scenes(split)
        )
        table = pyarrow.table({"image": images, "label": labels})
        pyarrow.parquet.write_table(table, folder / f"{split}.parquet")
    return folder


def rewrite(path: Path, **columns) -> None:
    """Write a parquet file again with other columns."""
    table = pyarrow.parquet.read_table(path)
    kept = {name: table.column(name) for name in table.column_names if name not in columns}
    new = {name: values for name, values in columns.items() if values is not None}
    pyarrow.parquet.write_table(pyarrow.table({**kept, **new}), path, compression="none")


def flip(path: Path, position: int) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def assert_is_small(data: ImageSet) -> None:
    """Hold a loaded set to the arrays it was written from, in the set's order."""
    for name, split in (("train", data.train), ("test", data.test)):
        images, labels = make_images(name)
        order = shuffled(len(labels))
        assert np.array_equal(split.images.numpy(), images[order].transpose(0, 3, 1, 2))
        assert np.array_equal(split.labels.numpy(), labels[order])


def spoil_image(path: Path, row: int) -> None:
    """Cut an image of a parquet file short."""
    cells = pyarrow.parquet.read_table(path).to_pylist()
    cells[row]["img"]["bytes"] = cells[row]["img"]["bytes"][:40]
    rewrite(path, img=[cell["img"] for cell in cells])


def file_entry(path: Path) -> dict:
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def write_table(path: Path, archive: dict | None = None, copy: Path | None = None) -> Path:
    """Write a table of data sets with ``small`` and ``scenes``, and return it."""
    lines = [
        "[small]",
        'title = "Small"\ntask = "classification"\nterms = "ours"',
        f"classes = ['a', 'b', 'c']\nn_classes = {N_CLASSES}\nheight = {SIDE}\nwidth = {SIDE}",
        f"rows = {{ train = {ROWS['train']}, test = {ROWS['test']} }}",
        'splits = { train = ["train"], test = ["test", "val"] }',
    ]
    if archive:
        lines += ["[small.archive]", *(f"{k} = {json.dumps(v)}" for k, v in archive.items())]
    if copy:
        lines += ['[[small.copies]]\nnote = "listed copy"', "[small.copies.files]"]
        for file in sorted(copy.glob("*.parquet")):
            known = file_entry(file)
            lines.append(
                f'"{file.name}" = {{ bytes = {known["bytes"]}, sha256 = "{known["sha256"]}" }}'
            )
    counts = ", ".join(f"{split} = {n}" for split, n in SCENES.items())
    lines += [
        "[scenes]",
        'title = "Scenes"\ntask = "segmentation"\nterms = "ours"',
        f"classes = ['a', 'b', 'c']\nn_classes = {N_CLASSES}\nignore = {N_CLASSES}",
        f"height = {SCENE[0]}\nwidth = {SCENE[1]}\nrows = {{ {counts} }}",
        'splits = { train = ["train"], val = ["val"], test = ["test"] }',
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def cifar_archive(side: int = 32) -> bytes:
    """Return an archive in CIFAR-10's binary format with 30 + 12 images of ten classes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for name, seeds in {
            "data_batch_1": (1, 15),
            "data_batch_2": (2, 15),
            "test_batch": (3, 12),
        }.items():
            data = cifar_records(*seeds, side).tobytes()
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def cifar_records(seed: int, n: int, side: int = 32) -> np.ndarray:
    """Return records: a label, then the red, green and blue plane."""
    random = np.random.default_rng(seed)
    records = random.integers(0, 256, (n, 1 + 3 * side * side), np.uint8)
    records[:, 0] = np.arange(n) % 10
    return records


def zip_of(members: dict[str, bytes]) -> bytes:
    """Return a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


class Server:
    """A server of one file that misbehaves as told, one behaviour a request, then behaves.

    Behaviours: ``ok``; ``no-range`` (sends all, whatever was asked); ``drop`` and
    ``no-range-drop`` (end in the middle);
    ``no-length-drop`` (chunks, ends in the middle); ``wrong`` (one bit differs); ``short`` (claims
    to be shorter than it is); ``busy`` (503); ``missing`` (404); ``slow`` (a little at a time).
    """

    def __init__(self, data: bytes, behaviours: list[str]) -> None:
        self.data, self.behaviours = data, list(behaviours)
        self.ranges: list[str | None] = []
        self.address = ""


@contextlib.contextmanager
def serving(data: bytes, *behaviours: str) -> Iterator[Server]:
    """Serve ``data`` on a free loopback port for as long as the block lasts."""
    state = Server(data, list(behaviours))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.ranges.append(asked)
            behaviour = state.behaviours.pop(0) if state.behaviours else "ok"
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                _answer(self, state.data, behaviour, asked)
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}/archive"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(
    request: BaseHTTPRequestHandler, data: bytes, behaviour: str, asked: str | None
) -> None:
    if behaviour in ("busy", "missing"):
        request.send_error(503 if behaviour == "busy" else 404)
        return
    start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
    if asked and not behaviour.startswith("no-range"):
        if start >= len(data):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(data)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206)
        request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
    else:
        start = 0
        request.send_response(200)
    body = bytearray(data[start:])
    if behaviour == "wrong":
        body[len(body) // 2] ^= 1
    if behaviour == "short":
        body = body[: len(body) // 2]
    half = bytes(body[: len(body) // 2])
    if behaviour == "no-length-drop":
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(b"%x\r\n" % len(body) + half)
        return
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if behaviour == "slow":
        for i in range(0, len(body), 2000):
            request.wfile.write(bytes(body[i : i + 2000]))
            time.sleep(0.05)
        return
    request.wfile.write(half if behaviour.endswith("drop") else bytes(body))


def archive_entry(data: bytes, url: str, **changes) -> dict:
    """Return the table's entry of an archive."""
    return {
        "url": url,
        "file": "archive.tar.gz",
        "format": "cifar-binary",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        **changes,
    }
