"""``erfbook data``: what it prints, how it exits, and that no complaint is longer than a line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import datasets_cases as cases
import pytest

import erfbook
from erfbook.cli import main
from erfbook.datasets import real
from erfbook.datasets.catalogue import read_table, table_path

ROOT = Path(__file__).parents[1]


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A machine of its own with the small sets in its table."""
    monkeypatch.setenv("ERFBOOK_DATASETS", str(cases.write_table(tmp_path / "table.toml")))
    monkeypatch.setenv("ERFBOOK_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    real._load.cache_clear()
    return tmp_path


def test_list_names_every_set_with_its_terms_size_and_how_to_get_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("ERFBOOK_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    for name, entry in read_table().items():
        assert f"{name}\n" in out and entry.terms in out
        if not entry.embedded:
            assert entry.archive.url in out and f"erfbook data fetch {name}" in out
    assert "170.1 MB" in out and "50,000 train, 10,000 test" in out


def test_list_says_where_a_set_is_and_what_is_wrong_with_it(here, capsys):
    folder = cases.write_small(here / "data" / "small")
    assert main(["data", "list"]) == 0
    assert f"where     {folder}" in (out := capsys.readouterr().out) and "unlisted copy" in out
    (folder / "test.parquet").unlink()
    assert main(["data", "list"]) == 0
    assert "not usable: " in capsys.readouterr().out


def test_verify_finds_good_sets_good(here, capsys):
    cases.write_small(here / "data" / "small")
    cases.write_scenes(here / "data" / "scenes")
    assert main(["data", "verify"]) == 0
    out = capsys.readouterr().out
    assert "small: good: Small, unlisted copy" in out and "scenes: good" in out


def test_verify_of_an_absent_set_fails_only_if_it_was_asked_for(here, capsys):
    assert main(["data", "verify"]) == 0
    assert "small: not on this machine" in capsys.readouterr().out
    assert main(["data", "verify", "small"]) == 1
    assert "small is not on this machine; set ERFBOOK_DATA" in capsys.readouterr().err


def test_verify_fails_on_any_damage_and_goes_on_to_the_other_sets(here, capsys):
    folder = cases.write_small(here / "data" / "small")
    cases.write_scenes(here / "data" / "scenes")
    cases.write_table(here / "table.toml", copy=folder)
    assert main(["data", "verify"]) == 0
    path = folder / "train.parquet"
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    cases.flip(path, 400)
    os.utime(path, ns=times)  # a disk that goes bad leaves the time of change alone
    capsys.readouterr()
    assert main(["data", "verify"]) == 1
    told = capsys.readouterr()
    assert "small is bad: " in told.err and "train.parquet is damaged" in told.err
    assert told.err.count("\n") == 1 and "scenes: good" in told.out


def test_verify_compares_what_was_decoded_with_the_files(here, capsys):
    from erfbook import datasets
    from erfbook.datasets.decoded import decoded_path, read_decoded, write_decoded

    cases.write_small(here / "data" / "small")
    data = datasets.load("small")
    arrays = read_decoded(data.fingerprint)
    arrays["test.labels"][0] ^= 1
    assert write_decoded(data.fingerprint, arrays)  # sound in itself, and wrong
    assert main(["data", "verify", "small"]) == 1
    assert "did not hold the images of" in capsys.readouterr().err
    assert not decoded_path(data.fingerprint).exists()
    assert main(["data", "verify", "small"]) == 0


def test_fetch_verify_and_a_second_fetch(here, capsys):
    archive = cases.cifar_archive()
    with cases.serving(archive) as server:
        entry = cases.archive_entry(archive, server.address)
        text = cases.write_table(here / "table.toml", archive=entry).read_text()
        text = text.replace("height = 8\nwidth = 8", "height = 32\nwidth = 32")
        text = text.replace("n_classes = 3", "n_classes = 10", 1)
        (here / "table.toml").write_text(text.replace("['a', 'b', 'c']", "[]", 1))
        assert main(["data", "fetch", "small"]) == 0
        assert main(["data", "fetch", "small"]) == 0
        assert len(server.ranges) == 1
    assert f"small: {here / 'data' / 'small'}" in capsys.readouterr().out
    assert main(["data", "verify", "small"]) == 0
    assert "official archive" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["fetch", "cifar"], 2, "no data set 'cifar' (there are small, scenes)"),
        (["fetch"], 2, "NAME"),
        (["fetch", "scenes"], 2, "Scenes needs no download"),
        (["verify", "nope"], 2, "no data set 'nope'"),
        ([], 2, "ACTION"),
        (["burn"], 2, "invalid choice: 'burn'"),
    ],
)
def test_bad_words_are_one_line(here, capsys, words, code, said):
    assert main(["data", *words]) == code
    told = capsys.readouterr()
    assert said in told.err and told.err.count("\n") == 1 and told.out == ""


def test_a_folder_that_cannot_be_written_is_one_line(here, monkeypatch, capsys):
    (here / "file").write_text("")
    monkeypatch.setenv("ERFBOOK_DATA", str(here / "file"))
    entry = cases.archive_entry(b"", "http://127.0.0.1:9/")
    cases.write_table(here / "table.toml", archive=entry)
    assert main(["data", "fetch", "small"]) == 2
    told = capsys.readouterr().err
    assert "cannot write" in told and "set ERFBOOK_DATA to a folder of yours" in told
    assert told.count("\n") == 1


def test_the_table_lies_in_the_package_and_data_links_to_it(monkeypatch):
    monkeypatch.delenv("ERFBOOK_DATASETS", raising=False)
    assert table_path().parent == Path(erfbook.__file__).parent / "datasets"
    assert (ROOT / "data" / "datasets.toml").read_bytes() == table_path().read_bytes()


def test_a_bare_machine_with_the_sources_alone_lists_its_sets(tmp_path):
    """No checkout around it, nothing installed of ours: PYTHONPATH is all there is."""
    program = "import sys; sys.modules.update(dict.fromkeys(['pyarrow', 'skimage', 'dask']));"
    program += "from erfbook import datasets; d = datasets.load('streets'); print(d.fingerprint)"
    program += "; print(datasets.is_present('cifar10'))"
    source = str(Path(erfbook.__file__).parents[1])
    env = os.environ | {"PYTHONPATH": source, "XDG_CACHE_HOME": str(tmp_path)}
    env.pop("ERFBOOK_DATA", None)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["streets-v1", "False"]
