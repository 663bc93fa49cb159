"""The command itself: how any of its parts ends."""

import errno
import os
import signal

import pytest

from erfbook import cli
from erfbook.rf import command


def call(monkeypatch, act, *words):
    monkeypatch.setattr(command, "run", act)
    return cli.main(["rf", "resnet18", "--input", "3x64x64", *words])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["-o", "out.txt"], "out.txt"),
        (["--svg", "field.svg"], "field.svg"),
        (["-o", "out.txt", "--svg", "field.svg"], "out.txt or field.svg"),
        ([], "the output"),
    ],
)
def test_a_full_disk_names_what_was_to_be_written(monkeypatch, capsys, words, named):
    def write(options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert call(monkeypatch, write, *words) == 1
    said = f"cannot write {named}: No space left on device; nothing half-made is kept\n"
    assert capsys.readouterr().err == f"erfbook: error: {said}"


@pytest.mark.parametrize("kind", ["ENAMETOOLONG", "ENOTDIR", "EISDIR", "ELOOP"])
def test_a_name_that_cannot_be_one_is_a_line_with_code_2(monkeypatch, capsys, kind):
    def look(options):
        raise OSError(getattr(errno, kind), "that is wrong", "place")

    assert call(monkeypatch, look) == 2
    assert capsys.readouterr().err == (
        "erfbook: error: cannot use place: that is wrong; name another\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_end_is_one_line_in_every_command(monkeypatch, capsys, number):
    before = signal.getsignal(number)
    assert call(monkeypatch, lambda options: signal.raise_signal(number)) == 130
    assert capsys.readouterr().err.startswith("erfbook: error: interrupted; ")
    assert signal.getsignal(number) is before
