"""Records: what comes back is what went in, and nothing that was damaged comes back."""

import hashlib
import io
import json
import logging
import math
import zipfile

import numpy as np
import pytest

from erfbook import records
from erfbook.records import Conflict, Damaged, Record, Spec, Store, npz, plain

SPEC = Spec("toy", 1, {"channels": 16, "recipe": {"lr": 0.1}, "kernels": (3, 5)}, 0, "data-1")


def record(seed=0, value=1.5, **arrays):
    spec = Spec("toy", 1, SPEC.config, seed, "data-1")
    metrics = {"value": value, "odd": [math.nan, math.inf, -math.inf], "words": ["a", None, True]}
    arrays = arrays or {"map": np.arange(12, dtype=np.uint8).reshape(3, 4)}
    return Record(spec, metrics, arrays, {"device": "A", "seconds": 2.0})


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "records")


def test_a_record_reads_with_numpy_and_json_alone(store):
    path = store.save(record())
    with np.load(path, allow_pickle=False) as stored:
        head = json.loads(stored["head.json"])
        assert np.array_equal(stored["map"], np.arange(12).reshape(3, 4))
    assert head["spec"]["config"] == {"channels": 16, "recipe": {"lr": 0.1}, "kernels": [3, 5]}
    assert head["metrics"]["odd"] == [{"$float": "nan"}, {"$float": "inf"}, {"$float": "-inf"}]
    content = path.read_bytes()
    assert content[-64:].decode() == hashlib.sha256(content[:-64]).hexdigest()


def test_a_result_is_the_same_before_it_was_written_and_after(store):
    metrics = {"n": np.int64(3), "x": np.float32(0.5), "t": (1, 2), "at": {"z": 1, "a": 2}}
    before = Record(SPEC, metrics, {"a": [[1, 2]]})
    store.save(before)
    after = store.find(SPEC)
    plain = {"n": 3, "x": 0.5, "t": [1, 2], "at": {"z": 1, "a": 2}}
    assert before.metrics == after.metrics == plain
    assert list(after.metrics) == list(plain) and list(after.metrics["at"]) == ["z", "a"]
    assert type(after.metrics["n"]) is int and before.spec == after.spec
    assert before.arrays["a"].dtype == after.arrays["a"].dtype


def test_equal_content_has_equal_bytes():
    first = record(b=np.ones((2, 3)), a=np.zeros(4, bool))
    turned = record(a=np.zeros(4, bool), b=np.ones((3, 2)).T.astype(">f8"))
    assert npz.encode(first) == npz.encode(turned)
    assert npz.encode(first) != npz.encode(record(b=np.ones((2, 3)), a=np.ones(4, bool)))


def test_the_key_asks_what_a_setting_is_not_how_it_is_written():
    key = SPEC.key
    assert key == Spec("toy", 1, json.loads(json.dumps(SPEC.config)), 0, "data-1").key
    assert (
        Spec("toy", 1, {"epochs": 10}, 0, "d").key == Spec("toy", 1, {"epochs": 10.0}, 0, "d").key
    )
    turned = dict(reversed(SPEC.config.items()))
    assert list(turned) != list(SPEC.config)
    assert key == Spec("toy", 1, turned, 0, "data-1").key
    others = [
        Spec("toy2", 1, SPEC.config, 0, "data-1"),
        Spec("toy", 2, SPEC.config, 0, "data-1"),
        Spec("toy", 1, {**SPEC.config, "channels": 17}, 0, "data-1"),
        Spec("toy", 1, SPEC.config, 1, "data-1"),
        Spec("toy", 1, SPEC.config, 0, "data-2"),
        Spec("toy", 1, {**SPEC.config, "channels": True}, 0, "data-1"),
    ]
    assert len({key, *(other.key for other in others)}) == 7


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Spec("a/b", 1, {}, 0, ""), "experiment 'a/b'"),
        (lambda: Spec("under-way", 1, {}, 0, ""), "experiment 'under-way'"),
        (lambda: Spec("toy", 1, {"x": {1, 2}}, 0, ""), r"config\.x is a set"),
        (lambda: Spec("toy", 1, {"x": math.nan}, 0, "").key, "not finite"),
        (lambda: Record(SPEC, {"m": np.ones(3)}), r"metrics\.m is a ndarray"),
        (lambda: Record(SPEC, {"m": {1: 2}}), r"metrics\.m has the name 1"),
        (lambda: Record(SPEC, {"m": {"$float": 2}}), r"has the name '\$float'"),
        (lambda: Record(SPEC, {}, {"a": np.array(["x"])}), "array 'a' holds <U1"),
        (lambda: Record(SPEC, {}, {"a": np.array([None])}), "array 'a' holds object"),
        (lambda: Record(SPEC, {}, {"../a": np.ones(2)}), "array '../a'"),
        (lambda: npz.encode(Record(SPEC, {}, {"a": np.zeros(10**7)})), "80 MB, more than"),
    ],
)
def test_what_a_record_cannot_hold_is_refused_by_name(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_json_that_is_not_strict_is_refused():
    with pytest.raises(ValueError, match="NaN is not JSON"):
        plain.loads('{"a": NaN}')


def every_flip(content):
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        yield place, bytes(changed)


def test_a_flipped_bit_in_any_byte_is_noticed():
    content = npz.encode(record())
    for place, changed in every_flip(content):
        with pytest.raises(Damaged, match=r"checksum|cut short"):
            pytest.fail(f"byte {place} passed: {npz.decode(changed)}")


def test_the_checksums_of_the_archive_alone_would_miss_flipped_bytes():
    """Why a record has its own: zip guards the members, not names, times and order."""

    def unguarded(content):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [archive.read(name) for name in archive.namelist()]

    missed = 0
    for _, changed in every_flip(npz.encode(record())):
        try:
            unguarded(changed)
            missed += 1
        except Exception:
            continue
    assert missed > 20


def test_a_record_cut_short_anywhere_is_noticed():
    content = npz.encode(record())
    for n in range(len(content)):
        with pytest.raises(Damaged, match=r"checksum|cut short"):
            npz.decode(content[:n])


@pytest.mark.parametrize("place", [0, 40, 0.3, 0.6, 0.9, -100, -70, -1])
def test_a_damaged_record_is_set_aside_and_counts_as_missing(store, caplog, place):
    path = store.save(record())
    content = bytearray(path.read_bytes())
    content[int(place * len(content)) if isinstance(place, float) else place] ^= 4
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert store.find(SPEC) is None
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert f"damaged record {path}" in caplog.text and "set aside as" in caplog.text
    assert path.with_name(path.name + ".bad").read_bytes() == content
    assert store.find(SPEC) is None and list(store.select()) == []
    store.save(record())
    assert store.find(SPEC).metrics["value"] == 1.5
    path.write_bytes(content)  # damaged again: the first one that was set aside stays
    assert store.find(SPEC) is None
    assert path.with_name(path.name + ".bad1").exists()


def test_a_record_under_another_key_is_not_used(store, caplog):
    path = store.save(record())
    other = store.path(record(seed=1).spec)
    path.rename(other)
    assert store.find(record(seed=1).spec) is None
    assert "it holds toy" in caplog.text and "another run" in caplog.text


def test_a_record_of_a_later_format_is_no_damage(store, monkeypatch):
    monkeypatch.setattr(npz, "FORMAT", 2)
    path = store.save(record())
    monkeypatch.setattr(npz, "FORMAT", 1)
    with pytest.raises(ValueError, match="format 2, and this erfbook reads up to 1: update"):
        store.find(SPEC)
    assert path.exists()


def test_saving_equal_results_again_changes_nothing(store):
    path = store.save(record())
    content = path.read_bytes()
    again = Record(SPEC, record().metrics, record().arrays, {"device": "B", "seconds": 9.0})
    assert store.save(again) == path and path.read_bytes() == content


def test_measures_of_time_do_not_make_a_conflict(store):
    first = Record(SPEC, {"value": 1, "images_per_s": 80.5, "seconds": 3, "n_resumed": 0})
    store.save(first)
    store.save(Record(SPEC, {"value": 1, "images_per_s": 99.0, "seconds": 2, "n_resumed": 1}))
    assert store.find(SPEC).metrics == first.metrics


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (record(value=1.25), "value 1.5 here, 1.25 there"),
        (record(map=np.zeros((3, 4), np.uint8)), r"map\[2,3\] 11 here, 0 there"),
        (record(map=np.zeros(3)), "map uint8 3x4 here, float64 3 there"),
        (record(more=np.zeros(3)), "map uint8 3x4 here, absent there; more absent here"),
    ],
)
def test_other_results_are_a_named_conflict_and_the_first_stay(store, other, named):
    content = store.save(record()).read_bytes()
    with pytest.raises(Conflict, match=named) as raised:
        store.save(other)
    assert SPEC.key in str(raised.value) and "here: A" in str(raised.value)
    assert store.path(SPEC).read_bytes() == content


def test_other_folders_are_looked_in_after_the_own(store, tmp_path):
    Store(tmp_path / "published").save(record(seed=0, value=7.0))
    Store(tmp_path / "published").save(record(seed=1, value=8.0))
    store.save(record(seed=0))
    both = Store(store.folder, also=[tmp_path / "published"])
    assert both.find(record(seed=0).spec).metrics["value"] == 1.5
    assert both.find(record(seed=1).spec).metrics["value"] == 8.0
    assert sorted(r.metrics["value"] for r in both.select("toy")) == [1.5, 8.0]
    assert both.find(record(seed=2).spec) is None and list(both.select("other")) == []
    store.path(SPEC).write_bytes(b"x")  # the one behind stands in for the damaged one
    assert both.find(SPEC).metrics["value"] == 7.0


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_compact_maps_come_back_within_their_rounding(dtype):
    """uint8 rounds to 1/255 of the scale, so by 1/510; float16 has 11 bits, then steps of 2^-24."""
    maps = (
        np.random.default_rng(0).random((3, 5, 8, 8)) ** 8
        * np.array([1e-12, 1, 1e9])[:, None, None, None]
    )
    maps[1, 2] = 0
    small = records.compact("maps", maps, dtype=dtype)
    assert small["maps"].dtype == dtype and small["maps_scale"].shape == (3, 5)
    back = records.expand(small, "maps")
    scale = maps.max(axis=(2, 3), keepdims=True)
    allowed = scale / 510 if dtype == "uint8" else np.maximum(maps * 2**-11, scale * 2**-25)
    assert (np.abs(back - maps) <= allowed * (1 + 1e-9)).all()
    assert (back.max(axis=(2, 3)) == maps.max(axis=(2, 3))).all()
    halved = {"maps": small["maps"], "maps_scale": small["maps_scale"] / 2}  # a wrong version
    assert (np.abs(records.expand(halved, "maps") - maps) > allowed).any()


def test_one_map_and_signed_maps_are_compact_too():
    one = np.array([[0.0, -2.0], [1.0, 0.5]])
    assert (records.expand(records.compact("m", one), "m") == one).all()
    spec_record = Record(SPEC, {}, records.compact("m", one))
    assert (records.expand(npz.decode(npz.encode(spec_record)).arrays, "m") == one).all()
    with pytest.raises(ValueError, match="m has negative values, down to -2: use 'float16'"):
        records.compact("m", one, dtype="uint8")
    with pytest.raises(ValueError, match="m has values that are not finite"):
        records.compact("m", np.array([[np.nan]]))
    with pytest.raises(ValueError, match="m has 1 axes, fewer than the 2"):
        records.compact("m", np.ones(3))
    with pytest.raises(ValueError, match="dtype must be 'float16' or 'uint8', not 'int8'"):
        records.compact("m", one, dtype="int8")
