"""Writing records: killed, on a full disk, or by two at once, there are whole ones or none."""

import inspect
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from erfbook.records import Conflict, Record, Spec, Store, Unwritable, files

SPEC = Spec("toy", 1, {"channels": 16}, 0, "data-1")


def record(value=1.5, **arrays):
    return Record(SPEC, {"value": value}, arrays or {"map": np.arange(12)})


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "records")


def test_of_two_that_save_at_once_one_is_told(store, monkeypatch):
    """Both see an empty store before either has written."""
    barrier, outcomes, link = threading.Barrier(2), [], os.link

    def slow_link(*args):
        barrier.wait(5)
        link(*args)

    monkeypatch.setattr(files.os, "link", slow_link)

    def save(value):
        try:
            store.save(record(value=value))
            outcomes.append(value)
        except Conflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=save, args=(v,)) for v in (1.0, 2.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = store.find(SPEC).metrics["value"]
    assert sorted(map(str, outcomes)) == sorted([str(kept), "conflict"])


def test_a_file_system_without_links_serves_as_well(store, monkeypatch):
    def refuse(*args):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(files.os, "link", refuse)
    store.save(record())
    with pytest.raises(Conflict, match="value"):
        store.save(record(value=9.0))
    assert store.find(SPEC).metrics["value"] == 1.5


def noisy(seed):
    noise = np.random.default_rng(seed).integers(0, 256, 200_000).astype(np.uint8)
    return Record(Spec("toy", 1, {}, seed, ""), {"sum": int(noise.sum())}, {"noise": noise})


LOOP = f"""
import sys
import numpy as np
from erfbook.records import Record, Spec, Store
{inspect.getsource(noisy)}
store, seed = Store(sys.argv[1]), int(sys.argv[2])
store.save(noisy(seed))
print("begun", flush=True)
while True:
    seed += 1
    store.save(noisy(seed))
"""


def test_a_kill_in_the_middle_of_writing_leaves_whole_records_only(store, caplog):
    """The process is killed at moments spread over its writes, which follow one another."""
    n_found = []
    for attempt, pause_s in enumerate((0.01, 0.023, 0.037, 0.051, 0.064)):
        command = [sys.executable, "-c", LOOP, str(store.folder), str(attempt * 1000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout.readline() == b"begun\n"
            time.sleep(pause_s)
            os.kill(child.pid, signal.SIGKILL)
        found = list(store.select("toy"))
        assert all(r.metrics["sum"] == int(r.arrays["noise"].sum()) for r in found)
        n_found.append(len(found))
    assert n_found == sorted(n_found) and n_found[-1] >= 5 and caplog.text == ""
    for attempt in range(5):  # whatever was begun can be made, and nothing of the killed is left
        for n in range(n_found[-1] + 1):
            store.save(noisy(attempt * 1000 + n))
    assert not list(store.folder.rglob("*.part"))


def test_a_part_file_of_a_living_process_stays(store):
    path = store.path(SPEC)
    path.parent.mkdir(parents=True)
    mine, dead = files._part(path), files._part(path).with_name("x")
    with subprocess.Popen(["true"]) as child:
        pass
    dead = mine.with_name(mine.name.replace(f".{os.getpid()}.", f".{child.pid}."))
    mine.write_bytes(b"1")
    dead.write_bytes(b"2")
    store.save(record())
    assert mine.exists() and not dead.exists()


@pytest.fixture
def small_disk():
    """Files of this process can hold 20 kB, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_line_and_leaves_nothing(store, small_disk):
    noise = np.random.default_rng(0).integers(0, 256, 50_000).astype(np.uint8)
    with pytest.raises(Unwritable, match=r"cannot write .*: File too large; nothing half-made"):
        store.save(record(noise=noise))
    assert not [path for path in store.folder.rglob("*") if path.is_file()]
    store.save(record())
    assert store.find(SPEC) is not None


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unwritable, match=r"cannot write .*toy.*: .+; nothing half-made is kept"):
        Store(tmp_path / "file").save(record())
