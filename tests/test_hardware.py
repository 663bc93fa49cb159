"""What computes, by name and by its instructions."""

import pytest
import torch
from training_cases import recipe, run

from erfbook import hardware
from erfbook.training import devices

X86 = "model name\t: Fast One 9000\nflags\t\t: fpu avx2 {}\n\nmodel name\t: Another\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd {}\n"


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Give the processor another description; a cache that holds the true one is set aside."""
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(hardware, "_CPUINFO", path)
    hardware._name_processor.cache_clear()
    devices._warn_once.cache_clear()
    yield path.write_text
    hardware._name_processor.cache_clear()
    devices._warn_once.cache_clear()


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (X86.format("avx512_bf16"), True),
        (X86.format("amx_bf16 amx_tile"), True),
        (X86.format("avx512f avx512_bf16x"), False),  # a longer word is another flag
        (ARM.format("bf16 i8mm"), True),
        (ARM.format("crc32"), False),
        ("", None),
    ],
)
def test_instructions_for_bf16_are_read_off_the_flags(told, text, known):
    told(text)
    assert hardware.has_bf16() is known


def test_without_a_description_nothing_is_claimed(told):
    assert hardware.has_bf16() is None
    assert hardware.name_device("cpu")


def test_a_processor_is_named_with_what_pytorch_uses_of_it(told, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    told(X86.format("avx512_bf16"))
    assert hardware.name_device(torch.device("cpu")) == "Fast One 9000 (AVX512, bf16)"
    assert hardware.describe_device("cpu").startswith("Fast One 9000 (AVX512, bf16), ")
    assert hardware.describe_device("meta") == hardware.name_device("meta") == "meta"


def test_a_processor_of_no_known_instructions_has_its_plain_name(told, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    told(X86.format(""))
    assert hardware.name_device("cpu") == "Fast One 9000"


@pytest.mark.parametrize(
    ("flag", "precision", "n_lines"),
    [("", "bf16", 1), ("avx512_bf16", "bf16", 0), ("", "float32", 0), ("", "auto", 0)],
)
def test_slow_bf16_is_said_once(told, capsys, flag, precision, n_lines):
    told(X86.format(flag))
    for _ in range(2):
        run(recipe=recipe(precision=precision, epochs=1))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == n_lines
    assert all("no instructions for bf16" in line and "float32" in line for line in lines)
