"""How much memory there is, and what it is planned for, before anything is computed."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from erfbook.errors import RunError

SHARE = 0.7  # of what is free; the rest is for what a product needs while it is computed


def free_bytes(device: torch.device) -> int:
    """Return the bytes that can still be had on a device, or in the machine's own memory."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + cached
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)


def in_words(n_bytes: float) -> str:
    """Return a number of bytes with a unit that suits it."""
    for unit in ("B", "KiB", "MiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.3g} GiB"


def place_basis(
    n_vectors: int,
    least: int,
    bytes_each: int,
    device: torch.device,
    limit: int | None,
) -> tuple[int, torch.device, str]:
    """Return how many vectors of a basis to keep, where, and a message if that is not the device.

    Args:
        n_vectors: wanted.
        least: with fewer the method cannot work.
        bytes_each: of one vector.
        device: the model's.
        limit: bytes that may be used on it; None for a share of what is free.

    Raises:
        RunError: not even the least number fits anywhere.
    """
    host = torch.device("cpu")
    room = int(free_bytes(device) * SHARE) if limit is None else limit
    fitting = room // bytes_each
    if fitting >= n_vectors:
        return n_vectors, device, ""
    on_device = f"{n_vectors} vectors of {in_words(bytes_each)} do not fit {device}"
    if device.type == "cpu":
        if fitting < least:
            raise RunError(
                f"{least} vectors of {in_words(bytes_each)} are needed at least, and "
                f"{in_words(room)} of memory can be used: ask for fewer eigenvalues, or for those "
                "of some of the parameters"
            )
        return fitting, host, f"{on_device} ({in_words(room)}): {fitting} are kept instead"
    on_host = int(free_bytes(host) * SHARE) // bytes_each
    if fitting >= least and on_host < n_vectors:
        return fitting, device, f"{on_device} ({in_words(room)}): {fitting} are kept instead"
    kept, _, _ = place_basis(n_vectors, least, bytes_each, host, None)
    return kept, host, f"{on_device} ({in_words(room)}): {kept} are kept in the host's memory"
