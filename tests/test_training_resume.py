"""A run that is stopped anywhere ends with the bits of one that was not."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from training_cases import differing, observe, outcome, recipe, run, small_net, small_set

from erfbook import training
from erfbook.errors import RunError, UserError
from erfbook.training import Checkpoint, remove_checkpoint
from erfbook.training.checkpoint import read_checkpoint, write_checkpoint
from erfbook.training.run import Run

PASSED = 0.0  # a deadline that came long ago: one step or one observation a call


@pytest.fixture(scope="module")
def whole():
    """What an uninterrupted run computes."""
    return outcome(*run())


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    """What became of runs that were killed, interrupted and out of disk."""
    folder = tmp_path_factory.mktemp("faults")
    program = Path(__file__).with_name("training_faults.py")
    done = subprocess.run(
        [sys.executable, str(program), str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout), done.stderr


def load(folder, name):
    with np.load(folder / f"{name}.npz") as stored:
        return {n: stored[n] for n in stored.files if n != "n_resumed"}, int(stored["n_resumed"])


@pytest.mark.parametrize("name", ["killed", "written", "interrupted"])
def test_a_run_killed_at_any_moment_ends_with_the_same_bits(faults, name):
    folder, found, _ = faults
    assert found["kills"] >= 3, "too few kills came before the end to show anything"
    expected, _ = load(folder, "whole")
    resumed, n_resumed = load(folder, name)
    assert n_resumed >= 1
    assert differing(resumed, expected) == []


def test_ctrl_c_is_an_interrupt_after_the_run_is_kept(faults):
    _, found, _ = faults
    assert found["interrupt"] == 130


def test_a_full_disk_is_said_and_leaves_the_checkpoint_before(faults):
    _, found, errors = faults
    full = found["full"]
    assert all(full[f"begun {i}"] == 3 for i in range(6)), "each call pauses"
    assert full["goes on"] == 0
    assert "File too large; " in errors and "of step 4; training goes on" in errors
    assert full["deadline"] == 1, "a run that cannot be kept does not claim to be paused"
    assert "RunError cannot write the checkpoint" in errors
    assert full["intact"] == 1 and full["parts"] == 0
    assert "Traceback" not in errors


def piecewise(path, **options):
    """Train in pieces of one step or one observation; return the last piece's outcome."""
    for n in range(100):
        try:
            model, history = run(checkpoint=path, deadline=PASSED, **options)
        except training.Paused:
            continue
        return outcome(model, history), n, history
    raise AssertionError("the run makes no progress")


def test_a_run_in_pieces_is_the_run_in_one(tmp_path, whole):
    found, n_pauses, history = piecewise(tmp_path / "x.run")
    assert differing(found, whole) == []
    # Nine steps and three observations, a piece each; the last one ends.
    assert n_pauses == 11 and history.n_resumed == 11


@pytest.mark.parametrize("changes", [{"optimizer": "adamw"}, {"clip": 0.1, "accumulate": 2}])
def test_pieces_of_other_recipes_are_their_runs_in_one(tmp_path, changes):
    how = recipe(**changes)
    found, _, _ = piecewise(tmp_path / "x.run", recipe=how)
    assert differing(found, outcome(*run(recipe=how))) == []


def test_the_comparison_rejects_a_resume_that_forgets_the_momentum(tmp_path, whole, monkeypatch):
    right = Run.resume

    def forgetful(self):
        right(self)
        for buffers in self._optimizer._buffers:
            for tensor in buffers:
                tensor.zero_()

    monkeypatch.setattr(Run, "resume", forgetful)
    found, _, _ = piecewise(tmp_path / "x.run")
    assert "losses" in differing(found, whole)


def test_a_finished_run_is_not_made_again(tmp_path, whole, monkeypatch):
    path = tmp_path / "x.run"
    run(checkpoint=path)
    monkeypatch.setattr(Run, "_take_step", None)
    model, history = run(checkpoint=path)
    assert differing(outcome(model, history), whole) == []
    assert history.n_resumed == 0


def pause(path, n):
    for _ in range(n):
        with pytest.raises(training.Paused, match=r"paused before step \d of 9; .*x.run holds it"):
            run(checkpoint=path, deadline=PASSED)


def flip(path, place):
    raw = bytearray(path.read_bytes())
    raw[int(place * (len(raw) - 1))] ^= 1
    path.write_bytes(bytes(raw))


def cut(path, share):
    raw = path.read_bytes()
    path.write_bytes(raw[: int(share * len(raw))])


@pytest.mark.parametrize("damage", [flip, cut])
@pytest.mark.parametrize("place", [0.0, 0.01, 0.5, 0.999])
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_used(
    tmp_path, whole, caplog, damage, place
):
    path = tmp_path / "x.run"
    pause(path, 4)
    assert read_checkpoint(path)["state"]["step"] == 3
    damage(path, place)
    with caplog.at_level(logging.WARNING):
        found = outcome(*run(checkpoint=path))
    assert f"the checkpoint {path} is damaged and not used" in caplog.text
    assert (tmp_path / "x.run.damaged").exists()
    assert differing(found, whole) == []


@pytest.mark.parametrize("body", [b"", b"no archive", b"PK\x03\x04", pickle.dumps(print, 2)])
def test_a_sound_checksum_over_what_torch_did_not_save_is_one_line(tmp_path, body):
    path = tmp_path / "x.run"
    digest = hashlib.sha256(body).hexdigest().encode()
    path.write_bytes(b"erfbook-training-1 " + digest + b"\n" + body)
    with pytest.raises(RunError, match=rf"the checkpoint {path} is .*; remove it to") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value) and path.exists()


def test_with_both_checkpoints_damaged_the_run_starts_again(tmp_path, whole, caplog):
    path = tmp_path / "x.run"
    pause(path, 4)
    flip(path, 0.5)
    cut(tmp_path / "x.run.previous", 0.5)
    model, history = run(checkpoint=path)
    assert caplog.text.count("is damaged and not used") == 2
    assert history.n_resumed == 0
    assert differing(outcome(model, history), whole) == []


def test_a_checkpoint_in_the_previous_place_alone_is_used(tmp_path, whole):
    """A kill between the two renames leaves it so."""
    path = tmp_path / "x.run"
    pause(path, 4)
    path.unlink()
    model, history = run(checkpoint=path)
    assert history.n_resumed == 3, "three pieces lie behind the one before"
    assert differing(outcome(model, history), whole) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": recipe(lr=0.1)}, r"its recipe.lr is 0.05, not 0.1; name another file"),
        ({"seed": 4}, "its seed is 3, not 4"),
        ({"data": small_set(seed=1)}, "its training data is "),
        ({"data": small_set().limited(19, 0)}, "its training data is "),
        ({"model": small_net(norm=False)}, "its architecture is "),
        ({"model": small_net(seed=1)}, "its starting weights differ"),
        ({"observe_at": (0, 3)}, r"its observed steps is \[0, 4, 9\], not \[0, 9\]"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_and_left_alone(tmp_path, options, message):
    path = tmp_path / "x.run"
    pause(path, 2)
    before = path.read_bytes()
    with pytest.raises(UserError, match=message):
        run(checkpoint=path, **options)
    assert path.read_bytes() == before


def test_shuffled_starting_weights_are_another_run(tmp_path):
    path = tmp_path / "x.run"
    pause(path, 1)
    net = small_net()
    first = next(net.parameters()).data
    first.copy_(first.flatten().flip(0).reshape(first.shape))
    with pytest.raises(UserError, match="its starting weights differ"):
        run(net, checkpoint=path)


def test_the_last_good_checkpoint_survives_a_divergence_and_holds_only_numbers(tmp_path):
    path = tmp_path / "x.run"
    how = recipe(lr=1e12, warmup=0)
    with pytest.raises(training.Diverged, match=rf"{path} holds it as of step \d"):
        run(recipe=how, checkpoint=Checkpoint(path, every_s=0), observe_at=(0,))
    state = read_checkpoint(path)["state"]
    assert all(bool(t.isfinite().all()) for t in state["model"].values())
    assert np.isfinite(state["losses"]).all()


def test_a_checkpoint_is_read_without_running_anything_from_it(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.system, ("echo evil",))

    path = tmp_path / "x.run"
    write_checkpoint(path, {"state": Evil()})
    with pytest.raises(Exception, match="Weights only load failed"):
        read_checkpoint(path)


def test_removal_takes_everything_that_belongs_to_the_run(tmp_path):
    path = tmp_path / "x.run"
    pause(path, 4)
    for kind in ("part", "damaged"):
        (tmp_path / f"x.run.{kind}").touch()
    (tmp_path / "y.run").touch()
    remove_checkpoint(path)
    assert [p.name for p in tmp_path.iterdir()] == ["y.run"]
    remove_checkpoint(path)


def test_checkpoints_come_after_so_many_seconds_of_work(tmp_path, monkeypatch):
    now, writes = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    write = lambda path, content: writes.append(content["state"]["step"])  # noqa: E731
    monkeypatch.setattr("erfbook.training.keeper.write_checkpoint", write)

    def tick(model, moment):
        now[0] += 40
        return {}

    thirds = [i / 3 for i in range(10)]
    run(observe=tick, observe_at=thirds, checkpoint=tmp_path / "x.run")
    # 40 s before each step, so 60 s have passed at every second one; then the end.
    assert writes == [1, 3, 5, 7, 9, 9]


def test_a_pause_without_a_checkpoint_says_that_nothing_is_kept():
    with pytest.raises(training.Paused, match="before step 0 of 9; nothing is kept of it"):
        run(deadline=PASSED)


def test_a_run_stops_before_a_step_that_would_outlast_the_deadline(tmp_path, monkeypatch):
    """Each observation takes ten seconds of a fake clock, and 25 are given."""
    start, real = time.monotonic(), time.perf_counter
    spent = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: start + spent[0])
    monkeypatch.setattr(time, "perf_counter", lambda: real() + spent[0])

    def slow(model, moment):
        spent[0] += 10
        return {}

    thirds = [i / 3 for i in range(10)]
    options = {"observe": slow, "observe_at": thirds, "checkpoint": tmp_path / "x.run"}
    with pytest.raises(training.Paused, match="before step 2 of 9"):
        run(deadline=start + 25, **options)
    assert spent[0] == 20


def test_an_unreadable_checkpoint_is_named(tmp_path):
    (tmp_path / "x.run").mkdir()
    with pytest.raises(RunError, match=r"cannot read the checkpoint .*x\.run: Is a directory"):
        run(checkpoint=tmp_path / "x.run")


def test_someone_else_s_interrupt_handler_stays(tmp_path):
    mine = lambda number, frame: None  # noqa: E731
    before = signal.signal(signal.SIGINT, mine)
    try:
        seen = []
        look = lambda m, moment: seen.append(signal.getsignal(signal.SIGINT)) or observe(m, moment)  # noqa: E731
        run(observe=look, checkpoint=tmp_path / "x.run")
        assert seen == [mine] * 3 and signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)
