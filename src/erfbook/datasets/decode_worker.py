"""Decode images; as a program, on behalf of another process, from standard input to its output.

The program imports numpy and Pillow only, so that starting one costs a fraction of a second. A
request is five whole numbers of 64 bits (count, height, width, channels, 0), the lengths of the
encoded images, and the images; the answer is a length and as many bytes of pixels, or minus a
length and as many bytes of a message that begins with the image's number.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from PIL import Image


class DecodeError(ValueError):
    """An image that cannot be used: its place in the batch, and why."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(index, reason)
        self.index, self.reason = index, reason


def decode_batch(encoded: Sequence[bytes], height: int, width: int, channels: int) -> np.ndarray:
    """Return images as an array of bytes.

    Args:
        encoded: files of images.
        height, width: that each must have, in pixels.
        channels: 3 for colours (n, 3, height, width), 1 for class indices (n, height, width).

    Raises:
        DecodeError: an image is damaged or of another size.
    """
    shape = (3, height, width) if channels == 3 else (height, width)
    out = np.empty((len(encoded), *shape), np.uint8)
    for index, data in enumerate(encoded):
        try:
            with Image.open(io.BytesIO(data)) as image:
                if image.size != (width, height):
                    found = "{} x {}".format(*image.size)
                    raise DecodeError(index, f"it is {found} px, not {width} x {height}")
                pixels = np.asarray(image.convert("RGB") if channels == 3 else _indices(image))
        except DecodeError:
            raise
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DecodeError(index, f"the image cannot be decoded: {error}") from None
        out[index] = pixels.transpose(2, 0, 1) if channels == 3 else pixels
    return out


def _indices(image: Image.Image) -> Image.Image:
    if image.mode not in ("L", "P", "1"):
        raise ValueError(f"class indices need one channel, not {image.mode}")
    return image


def main() -> None:
    """Answer requests until the input ends."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while head := requests.read(40):
        count, height, width, channels, _ = np.frombuffer(head, np.int64).tolist()
        lengths = np.frombuffer(requests.read(8 * count), np.int64).tolist()
        _answer(answers, [requests.read(n) for n in lengths], height, width, channels)


def _answer(answers: BinaryIO, encoded: list[bytes], *shape: int) -> None:
    try:
        reply = decode_batch(encoded, *shape).tobytes()
        answers.write(np.int64(len(reply)).tobytes())
    except DecodeError as error:
        reply = f"{error.index} {error.reason}".encode()
        answers.write(np.int64(-len(reply)).tobytes())
    answers.write(reply)
    answers.flush()


if __name__ == "__main__":
    main()
