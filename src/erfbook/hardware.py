"""What computes: a GPU or a processor by name, and what the processor has instructions for."""

from __future__ import annotations

import platform
from functools import lru_cache
from pathlib import Path
from typing import Any

from erfbook.notation import count

_CPUINFO = Path("/proc/cpuinfo")
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # of x86, of x86 with tiles, of ARM


def name_device(device: Any) -> str:
    """Return a device as a person knows it: the model of the GPU or of the processor.

    A processor's name alone tells little in a virtual machine: behind it are the instructions that
    PyTorch uses there, as in ``AMD EPYC (AVX512, bf16)``.

    Args:
        device: a ``torch.device`` or its name.
    """
    import torch

    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return _name_processor() if device.type == "cpu" else str(device)


def describe_device(device: Any) -> str:
    """Return a device in words: the GPU's name, or the processor's and the threads used."""
    import torch

    name = name_device(device)
    if torch.device(device).type != "cpu":
        return name
    return f"{name}, {count(torch.get_num_threads(), 'thread')}"


def has_bf16() -> bool | None:
    """Return whether the processor has instructions for bf16; None where nothing tells.

    Without them PyTorch computes the same, many times slower than in float32.
    """
    flags = _read_cpuinfo("flags") or _read_cpuinfo("Features")
    return bool(_BF16_FLAGS & set(flags.split())) if flags else None


@lru_cache(maxsize=1)
def _name_processor() -> str:
    import torch

    name = _read_cpuinfo("model name") or platform.processor() or platform.machine()
    found = torch.backends.cpu.get_cpu_capability()
    extras = [found] if found not in ("DEFAULT", "NO AVX") else []
    extras += ["bf16"] if has_bf16() else []
    return f"{name} ({', '.join(extras)})" if extras else name


def _read_cpuinfo(key: str) -> str:
    """Return what Linux says of the first processor; nothing elsewhere."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return next((value.strip() for name, value in pairs if name.strip() == key), "")
