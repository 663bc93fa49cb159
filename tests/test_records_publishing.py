"""What goes out with the book: whole runs of the latest version; weights only where they fit."""

import dataclasses

import numpy as np
import pytest

from erfbook import cli
from erfbook.errors import RunError
from erfbook.experiments.pooled import networks, plans
from erfbook.experiments.registry import Workspace, default_device
from erfbook.records import Record, Spec, Store, encode, find_differences, publish, read_spec

CLEAN = {"dirty": False, "device": "A"}


def record(name="quarter width", seed=0, version=1, value=1.5, weights=(), **about):
    spec = Spec("toy", version, {"name": name} if name else {"taps": 3}, seed, "data")
    arrays = {f"weights.{n}": np.full(n, value) for n in weights}
    return Record(spec, {"value": value}, {"map": np.zeros(3), **arrays}, {**CLEAN, **about})


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book's folder; own and published records are in it."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").write_text("")
    monkeypatch.setenv("ERFBOOK_ROOT", str(tmp_path))
    return Store(tmp_path / "_build" / "records"), Store(tmp_path / "data" / "records")


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (record("laptop, short"), "of a profile that a build runs itself"),
        (record("smoke: vgg"), "of a profile that a build runs itself"),
        (record(""), "of settings without a name, for which there is erfbook records merge"),
        (record(dirty=True), "made by code with local changes"),
        (record("half width"), "of an older version of the experiment"),
    ],
)
def test_what_is_not_fit_stays_and_is_counted(book, other, reason):
    own, into = book
    fit = record(version=2, seed=1) if reason.startswith("of an older") else record(seed=1)
    own.save(other)
    own.save(fit)
    done = publish(own, into, ["toy"])
    assert dict(done.left_out) == {reason: 1} and len(done.added) == 1
    assert [r.spec.key for r in into.select()] == [fit.spec.key]


def test_code_without_a_repository_is_fit(book):
    own, into = book
    own.save(record(dirty=None))
    assert len(publish(own, into, ["toy"]).added) == 1


def test_weights_go_along_with_two_seeds_and_where_they_fit(book, monkeypatch):
    own, into = book
    for seed in range(4):
        own.save(record(seed=seed, weights=(4,)))
    own.save(record("half width", weights=(4, 5)))
    monkeypatch.setattr(
        "erfbook.records.publishing.HEAVIEST", len(encode(record(weights=(4,)))) + 1
    )
    publish(own, into, ["toy"])
    found = {(r.spec.config["name"], r.spec.seed): r for r in into.select()}
    assert {k for k, r in found.items() if "weights.4" in r.arrays} == {
        ("quarter width", 0),
        ("quarter width", 1),
    }
    assert len(found) == 5 and all("map" in r.arrays for r in found.values())
    said = {k for k, r in found.items() if "left out" in r.provenance.get("weights", "")}
    assert said == {("quarter width", 2), ("quarter width", 3), ("half width", 0)}
    again = publish(own, into, ["toy"])
    assert again.n_same == 5 and not again.added and not again.refused


def test_missing_weights_are_no_difference_and_other_weights_are():
    whole, light = record(weights=(4, 5)), record()
    assert not find_differences(whole, light) and not find_differences(light, whole)
    some = dataclasses.replace(whole, arrays={**light.arrays, "weights.4": np.zeros(4)})
    assert {d.name for d in find_differences(whole, some)} == {"weights.4[0]", "weights.5"}


def test_the_command_publishes_says_what_it_left_and_keeps_the_limit(book, monkeypatch, capsys):
    own, into = book
    for seed in range(2):
        own.save(record(seed=seed))
    own.save(record("laptop"))
    assert cli.main(["records", "publish", "toy"]) == 0
    printed = capsys.readouterr().out
    assert "published: toy, quarter width, seed 1" in printed
    assert "2 published, 0 there already; left out: 1 of a profile that a build" in printed
    own.save(record(seed=2))
    size = sum(path.stat().st_size for path in into.files())
    done = publish(own, into, ["toy"], largest=size + 10)
    assert done.n_same == 2 and "too much room" in done.refused[0] and len(into.files()) == 2
    own.path(record(seed=1).spec).unlink()
    own.save(record(seed=1, value=2.5))
    assert cli.main(["records", "publish", "toy"]) == 1
    printed = capsys.readouterr().out
    assert "not published: two results of toy" in printed and "value 1.5 here" in printed
    assert into.find(record(seed=1).spec).metrics["value"] == 1.5
    assert cli.main(["records", "publish", "tau"]) == 2
    assert "no records of 'tau'" in capsys.readouterr().err


def test_without_a_book_a_folder_has_to_be_named(monkeypatch, capsys):
    places = type("Places", (), {"own": "records", "published": None})
    monkeypatch.setattr("erfbook.records.command.find_places", lambda: places)
    assert cli.main(["records", "publish", "toy"]) == 2
    assert "name a folder with --into" in capsys.readouterr().err


def test_a_file_tells_what_it_is_of_without_its_arrays(book):
    path = book[0].save(record(seed=3))
    assert read_spec(path) == record(seed=3).spec


def test_a_network_published_without_weights_is_trained_again_where_it_is_asked_for(tmp_path):
    config = dataclasses.replace(
        networks.with_pool(plans.SMOKE, 2), n_train=48, n_test=20, epochs=0.5
    )
    whole = Store(tmp_path / "whole")
    space = Workspace(default_device(), None, None, "", store=whole)
    full = networks.train_or_find(config, 0, space)
    light = dataclasses.replace(full, arrays={})
    published, own = Store(tmp_path / "published"), tmp_path / "own"
    published.save(light)
    behind = dataclasses.replace(space, store=Store(own, also=[published.folder]))
    made = networks.train_or_find(config, 0, behind)
    assert not find_differences(full, made) and len(made.arrays) == len(full.arrays)
    assert len(Store(own).files()) == 1
    assert networks.train_or_find(config, 0, behind).arrays.keys() == full.arrays.keys()
    with pytest.raises(RunError, match="holds no weights; remove the file"):
        networks.network_of(light)
