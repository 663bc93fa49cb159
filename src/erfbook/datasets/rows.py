"""Read the rows of a set: encoded images with their labels, from parquet or from folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from erfbook.datasets.catalogue import Entry
from erfbook.datasets.folders import Found, class_folders, label_image
from erfbook.errors import UserError

_IMAGE_COLUMNS = ("image", "img")
_BATCH = 512


class Row(NamedTuple):
    """One image: where it stands, its encoded bytes, and a class or an encoded label image."""

    where: str
    image: bytes
    label: int | bytes


def count_rows(found: Found, split: str) -> int:
    """Return the number of images of a split.

    Raises:
        UserError: a file is damaged, or the number is not what the set has.
    """
    entry, files = found.entry, found.files[split]
    if found.layout == "images":
        n, place = len(files), f"{files[0].parents[1] if files else found.folder}"
    else:
        n, place = sum(_open(p, entry).metadata.num_rows for p in files), str(files[0])
    if n != entry.rows[split]:
        raise UserError(
            f"{place} has {n} images where {entry.title} has {entry.rows[split]}: "
            f"it is not whole; {remedy(entry)}"
        )
    return n


def read_rows(found: Found, split: str) -> Iterator[Row]:
    """Yield the rows of a split in the order of its files.

    Raises:
        UserError: a file is damaged, lacks a column, or holds a label out of range.
    """
    read = _from_images if found.layout == "images" else _from_parquet
    return read(found, split)


def remedy(entry: Entry) -> str:
    """Return what to do about a damaged or unfit file, in one clause."""
    again = f" or run erfbook data fetch {entry.name}" if entry.archive else ""
    return f"remove it, then copy it again{again}"


def _from_parquet(found: Found, split: str) -> Iterator[Row]:
    import pyarrow

    for path in found.files[split]:
        file = _open(path, found.entry)
        image = _column(path, file.schema_arrow, _IMAGE_COLUMNS)
        label = _column(path, file.schema_arrow, ("label",))
        number = 0
        try:
            for batch in file.iter_batches(_BATCH, columns=[image, label]):
                images, labels = batch.column(image).to_pylist(), batch.column(label).to_pylist()
                for cell, answer in zip(images, labels, strict=True):
                    yield _row(f"{path} row {number}", cell, answer, found.entry)
                    number += 1
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _damaged(path, error, found.entry) from None


def _row(where: str, cell: Any, answer: Any, entry: Entry) -> Row:
    if not isinstance(cell, dict) or not isinstance(cell.get("bytes"), bytes):
        raise UserError(f"{where}: the image has no bytes; {remedy(entry)}")
    if entry.task == "segmentation":
        if not isinstance(answer, dict) or not isinstance(answer.get("bytes"), bytes):
            raise UserError(f"{where}: the label has no bytes of an image; {remedy(entry)}")
        return Row(where, cell["bytes"], answer["bytes"])
    if not isinstance(answer, int) or not 0 <= answer < entry.n_classes:
        raise UserError(
            f"{where}: label must be 0 to {entry.n_classes - 1}, not {answer!r}; {remedy(entry)}"
        )
    return Row(where, cell["bytes"], answer)


def _from_images(found: Found, split: str) -> Iterator[Row]:
    entry = found.entry
    names: tuple[str, ...] = ()
    if entry.task == "classification":
        names = class_folders(found)
        if len(names) != entry.n_classes:
            raise UserError(
                f"{found.folder} has {len(names)} class folders where {entry.title} has "
                f"{entry.n_classes}; one folder a class"
            )
    labels = {name: i for i, name in enumerate(names)}
    for path in found.files[split]:
        if entry.task == "segmentation":
            yield Row(str(path), _bytes(path), _bytes(label_image(path)))
            continue
        name = path.relative_to(found.folder).parts[1]
        if name not in labels:
            raise UserError(f"{path}: there is no class folder {name!r} among the training images")
        yield Row(str(path), _bytes(path), labels[name])


def _open(path: Path, entry: Entry) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise UserError("parquet files need pyarrow: pip install pyarrow") from None
    try:
        return parquet.ParquetFile(path, page_checksum_verification=True)
    except PermissionError:
        raise UserError(f"no permission to read {path}") from None
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(path, error, entry) from None


def _column(path: Path, schema: Any, names: tuple[str, ...]) -> str:
    for name in names:
        if name in schema.names:
            return name
    held = ", ".join(schema.names) or "none"
    raise UserError(f"{path} has no column {' or '.join(names)} (it has {held}); rename it there")


def _damaged(path: Path, error: BaseException, entry: Entry) -> UserError:
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return UserError(f"{path} is damaged or not whole ({reason}); {remedy(entry)}")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
