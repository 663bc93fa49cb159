"""Turn unpacked archives into the Hub's parquet layout, without loss."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from erfbook.errors import RunError

CONVERTER_VERSION = 1  # raised when the same archive would give other images or labels

_CIFAR_SIDE = 32
_CIFAR_RECORD = 1 + 3 * _CIFAR_SIDE**2


class Sample(NamedTuple):
    """One image to be written: its file's name and bytes, and a class or a label image."""

    name: str
    image: bytes
    label: int | tuple[str, bytes]


class Source(NamedTuple):
    """What an archive's format offers: samples of each split, and the classes' names if any."""

    splits: dict[str, Callable[[], Iterator[Sample]]]
    classes: tuple[str, ...] = ()


def open_source(folder: Path, format: str) -> Source:
    """Return what an unpacked archive holds.

    Raises:
        RunError: it is not of that format.
    """
    if format not in _FORMATS:
        raise RunError(f"no converter for archives of format {format!r} ({', '.join(_FORMATS)})")
    return _FORMATS[format][0](folder)


def is_wanted(format: str, name: str) -> bool:
    """Return whether a member of an archive of a format is needed."""
    return format in _FORMATS and _FORMATS[format][1](name)


def _open_cifar(folder: Path) -> Source:
    inside = _only(folder, "cifar-10-batches-bin")

    def read(files: list[str]) -> Iterator[Sample]:
        for file in files:
            data = np.frombuffer(_bytes(inside / file), np.uint8)
            if data.size % _CIFAR_RECORD:
                raise RunError(f"{file} of the archive ends in the middle of an image")
            records = data.reshape(-1, _CIFAR_RECORD)
            for number, record in enumerate(records):
                pixels = record[1:].reshape(3, _CIFAR_SIDE, _CIFAR_SIDE).transpose(1, 2, 0)
                yield Sample(f"{file}/{number}.png", _png(pixels), int(record[0]))

    batches = sorted(path.name for path in inside.glob("data_batch_*.bin"))
    return Source({"train": lambda: read(batches), "test": lambda: read(["test_batch.bin"])})


def _open_tiny(folder: Path) -> Source:
    inside = _only(folder, "tiny-imagenet-200")
    ids = sorted(path.name for path in (inside / "train").iterdir())
    number = {word: i for i, word in enumerate(ids)}

    def train() -> Iterator[Sample]:
        for word in ids:
            for path in sorted((inside / "train" / word / "images").iterdir()):
                yield Sample(path.name, path.read_bytes(), number[word])

    def test() -> Iterator[Sample]:
        for line in _bytes(inside / "val" / "val_annotations.txt").decode().splitlines():
            name, word = line.split("\t")[:2]
            yield Sample(name, _bytes(inside / "val" / "images" / Path(name).name), number[word])

    lines = _bytes(inside / "words.txt").decode().splitlines()
    words = dict(line.split("\t", 1) for line in lines if "\t" in line)
    return Source({"train": train, "test": test}, tuple(words.get(i, i) for i in ids))


def _open_segnet(folder: Path) -> Source:
    inside = next((path for path in sorted(folder.rglob("CamVid")) if path.is_dir()), None)
    if inside is None:
        raise RunError("the archive holds no folder CamVid")

    def read(split: str) -> Iterator[Sample]:
        images = sorted((inside / split).glob("*.png"))
        if not images:
            raise RunError(f"the archive's CamVid has no images in {split}")
        for path in images:
            label = inside / f"{split}annot" / path.name
            yield Sample(path.name, path.read_bytes(), (label.name, _bytes(label)))

    return Source({split: partial(read, split) for split in ("train", "val", "test")})


_FORMATS: dict[str, tuple[Callable[[Path], Source], Callable[[str], bool]]] = {
    "cifar-binary": (_open_cifar, lambda name: name.endswith((".bin", ".txt"))),
    "tiny-imagenet": (_open_tiny, lambda name: "/test/" not in name),
    "camvid-segnet": (_open_segnet, lambda name: "/CamVid/" in name and name.endswith(".png")),
}


def write_parquet(path: Path, samples: Iterator[Sample], segmentation: bool, tick: Any) -> int:
    """Write samples as one parquet file and return their number; ``tick(n)`` counts them."""
    import pyarrow
    import pyarrow.parquet as parquet

    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    label = image if segmentation else pyarrow.int64()
    schema = pyarrow.schema([("image", image), ("label", label)])
    n = 0
    # What is in the images is compressed already.
    options = {"compression": "none", "write_page_checksum": True, "use_dictionary": False}
    with parquet.ParquetWriter(path, schema, **options) as writer:
        rows: list[dict[str, Any]] = []
        for sample in samples:
            rows.append(_as_row(sample))
            if len(rows) == 1000:
                writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
                tick(len(rows))
                rows = []
            n += 1
        if rows:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
            tick(len(rows))
    return n


def _as_row(sample: Sample) -> dict[str, Any]:
    label: Any = sample.label
    if isinstance(label, tuple):
        label = {"path": label[0], "bytes": label[1]}
    return {"image": {"bytes": sample.image, "path": sample.name}, "label": label}


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _only(folder: Path, name: str) -> Path:
    if not (folder / name).is_dir():
        raise RunError(f"the archive holds no folder {name}")
    return folder / name


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise RunError(f"the archive lacks {path.name}") from None
