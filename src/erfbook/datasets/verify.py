"""Check everything again: checksums, rows, labels, every image, and what was decoded of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from erfbook.datasets.catalogue import Entry
from erfbook.datasets.decode import decode_split
from erfbook.datasets.decoded import decoded_path, read_decoded
from erfbook.datasets.folders import locate
from erfbook.datasets.identity import identify
from erfbook.datasets.sets import ImageSet
from erfbook.errors import UserError


def verify(entry: Entry) -> str | None:
    """Return what a set is, all of it having been read; None if it is not on this machine.

    Raises:
        UserError: something is damaged or missing.
    """
    found = locate(entry)
    if found is None:
        return None
    identity = identify(found, afresh=True)
    arrays = {}
    for split in found.files:
        arrays[split] = decode_split(found, split)
    path = decoded_path(identity.fingerprint)
    if path.is_file():
        kept = read_decoded(identity.fingerprint)
        if kept is None:
            raise UserError(f"{path} was damaged and is removed; the next start decodes again")
        for split in ("train", "test"):
            for part, array in zip(("images", "labels"), arrays[split], strict=True):
                if not (kept[f"{split}.{part}"] == array).all():
                    path.unlink()
                    raise UserError(
                        f"{path} did not hold the images of {found.folder} and is removed; "
                        "the next start decodes again"
                    )
    return f"{identity.note}, {identity.fingerprint}, in {found.folder}"


def hash_content(data: ImageSet) -> str:
    """Return the SHA-256 over the images and labels of both splits, in their order."""
    digest = hashlib.sha256()
    for array in _arrays(data):
        digest.update(array)
    return digest.hexdigest()


def _arrays(data: ImageSet) -> Iterator[bytes]:
    for split in (data.train, data.test):
        yield split.images.numpy().tobytes()
        yield split.labels.numpy().tobytes()
