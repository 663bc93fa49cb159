"""A sweep on a real scheduler and real workers, one of which is killed in the middle of a run."""

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from toy_experiment import ToyConfig, toy, uninterrupted

from erfbook import cli
from erfbook.errors import UserError
from erfbook.experiments import catalogue
from erfbook.records import Store, decode
from erfbook.records.under_way import find_under_way
from erfbook.sweep import jobs, remote
from erfbook.sweep.remote import Task, carry_out

HERE = Path(__file__).parent
HAS_DASK = all(importlib.util.find_spec(name) for name in ("distributed", "dask_jobqueue"))
needs_dask = pytest.mark.skipif(
    not HAS_DASK, reason="dask and dask-jobqueue are not installed: pip install 'erfbook[cluster]'"
)
PATIENCE_S = 120  # until a test gives up; usually it waits for imports, some seconds


def dask(log, *words):
    """Start a command of Dask, as a person would, and return the process.

    Where a scheduler runs there is no PyTorch; it is kept from importing any.
    """
    paths = [str(log.parent)] if words[0] == "scheduler" else [str(HERE), str(HERE.parent / "src")]
    (log.parent / "torch.py").write_text("raise ImportError('there is no PyTorch here')")
    variables = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **variables}
    with log.open("w") as file:
        command = [sys.executable, "-m", "dask", *words]
        return subprocess.Popen(command, env=environment, stdout=file, stderr=file)


def wait_for(pattern, log, process):
    """Wait until a process has said something, and return the match."""
    until = time.monotonic() + PATIENCE_S
    while not (match := re.search(pattern, log.read_text())):
        assert process.poll() is None and time.monotonic() < until, log.read_text()
        time.sleep(0.02)
    return match


@contextlib.contextmanager
def cluster(folder, n_workers=2):
    """Yield a scheduler's address and the numbers of its workers' processes."""
    folder.mkdir()
    loopback = ["--host", "127.0.0.1"]
    options = [*loopback, "--nthreads", "1", "--resources", "GPU=1", "--no-nanny", "--no-dashboard"]
    options += ["--preload", "light_start", "--local-directory", str(folder)]
    with contextlib.ExitStack() as stack:

        def start(name, *words):
            log = folder / f"{name}.log"
            process = stack.enter_context(dask(log, *words))
            stack.callback(process.kill)
            return process, log

        scheduler, log = start("scheduler", "scheduler", *loopback, "--port", "0", "--no-dashboard")
        address = wait_for(r"Scheduler at:\s+(tcp://\S+)", log, scheduler)[1]
        workers = [start(f"worker-{n}", "worker", address, *options) for n in range(n_workers)]
        for worker, log in workers:
            wait_for(r"Registered to:\s+tcp", log, worker)
        yield address, [worker.pid for worker, _ in workers]


def steps(journal):
    return [tuple(line.split()) for line in journal.read_text().splitlines()]


@needs_dask
def test_a_killed_worker_costs_nothing_and_nothing_is_made_twice(tmp_path, monkeypatch, capsys):
    journal, into = tmp_path / "journal", tmp_path / "records"
    experiment = toy(journal, n_steps=40, step_s=0.02)
    monkeypatch.setitem(catalogue.EXPERIMENTS, "toy", experiment)
    with cluster(tmp_path / "scratch") as (address, workers):

        def kill_one():
            until = time.monotonic() + PATIENCE_S
            while time.monotonic() < until:
                time.sleep(0.01)
                done = Counter(step[3] for step in steps(journal)) if journal.exists() else {}
                if len(done) == 2 and min(done.values()) >= 5:
                    victims.append(done.most_common(1)[0][0])
                    os.kill(int(victims[0]), signal.SIGKILL)
                    return

        victims = []
        killer = threading.Thread(target=kill_one)
        killer.start()
        code = cli.main(["sweep", "toy", "--into", str(into), "--scheduler", address])
        killer.join()
        printed = capsys.readouterr().out
        assert code == 0 and len(victims) == 1 and int(victims[0]) in workers
        assert "2 workers with 2 GPUs" in printed and "5 of 5 runs done" in printed
        stop_the_other_at_the_end_of_a_budget(tmp_path, monkeypatch, capsys, address)
    found = {(r.spec.config["name"], r.spec.seed): r for r in Store(into).select()}
    assert len(found) == 5
    for (name, seed), record in found.items():
        factor = 0.5 if name == "plain" else 0.25
        assert record.metrics["value"] == uninterrupted(ToyConfig(name, 40, factor), seed)
    assert sum(record.metrics["n_resumed"] for record in found.values()) == 1
    made = Counter(step[:3] for step in steps(journal))
    assert max(made.values()) == 1 and len(made) >= 5 * 40 - 1  # the kill may beat one line
    assert len({step[3] for step in steps(journal)}) == 2
    assert not [path for path in (into / "under-way").iterdir()]


def stop_the_other_at_the_end_of_a_budget(tmp_path, monkeypatch, capsys, address):
    """On the worker that is left; starting another would cost seconds."""
    experiment = toy(tmp_path / "long", n_steps=10_000, step_s=0.01)
    monkeypatch.setitem(catalogue.EXPERIMENTS, "toy", experiment)
    began = time.monotonic()
    words = ["toy", "--into", str(tmp_path / "other"), "--scheduler", address, "--budget", "3s"]
    assert cli.main(["sweep", *words]) == 0
    assert time.monotonic() - began < 20
    printed = capsys.readouterr().out
    assert "1 worker with 1 GPU" in printed and "0 of 5 runs done" in printed
    assert "paused after" in printed and "its checkpoint is kept" in printed
    assert len(find_under_way(tmp_path / "other")) == 1


@needs_dask
@pytest.mark.filterwarnings("ignore")  # dask-jobqueue's local jobs leave their pipes open
def test_a_batch_system_s_configuration_starts_workers(tmp_path, monkeypatch, capsys):
    """dask-jobqueue's own stand-in for a batch system runs the job here."""
    journal = tmp_path / "journal"
    monkeypatch.setitem(catalogue.EXPERIMENTS, "toy", toy(journal))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(HERE.parent / "src")]))
    monkeypatch.chdir(tmp_path)
    arguments = ["--resources", "GPU=1", "--no-nanny", "--preload", "light_start"]
    settings = {
        "cores": 1, "memory": "500MB", "interface": "lo", "local-directory": str(tmp_path),
        "python": sys.executable, "worker-extra-args": arguments, "walltime": "00:10:00",
    }  # fmt: skip
    (tmp_path / "jobs.yml").write_text(json.dumps({"jobqueue": {"local": settings}}))
    words = ["toy", "--profile", "smoke", "--into", "mine", "--scheduler", "jobs.yml"]
    assert cli.main(["sweep", *words]) == 0
    printed = capsys.readouterr().out
    assert "1 worker with 1 GPU" in printed and "1 of 1 runs done" in printed
    (record,) = Store(tmp_path / "mine").select()
    assert record.metrics["value"] == uninterrupted(ToyConfig(), 0)
    assert {step[3] for step in steps(journal)}.isdisjoint({str(os.getpid())})


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    monkeypatch.setattr(remote.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path / f"erfbook-{os.getuid()}"


def task(experiment, folder, **changes):
    config = experiment.plans["laptop"][0][0]
    key = experiment.spec(config, 0).key
    return replace(Task(experiment, config, 0, key, str(folder), "t", "cpu", None, None), **changes)


def test_a_worker_that_does_not_see_the_folder_sends_the_record_back(tmp_path, scratch):
    experiment = toy()
    kind, content, _, _ = carry_out(task(experiment, tmp_path / "elsewhere"))
    assert kind == "record" and not (tmp_path / "elsewhere").exists()
    assert decode(content).metrics["value"] == uninterrupted(ToyConfig(), 0)
    (tmp_path / "here" / "under-way").mkdir(parents=True)
    (tmp_path / "here" / "under-way" / "t").touch()
    kind, content, _, _ = carry_out(task(experiment, tmp_path / "here"))
    assert kind == "record" and len(list(Store(tmp_path / "here").select())) == 1


def test_a_task_that_comes_too_late_is_not_begun(tmp_path, scratch):
    experiment = toy(tmp_path / "journal")
    assert carry_out(task(experiment, tmp_path, end_time=time.time() - 1))[0] == "late"
    rigid = replace(experiment, can_pause=False)
    assert carry_out(task(rigid, tmp_path, end_time=time.time() + 9, left_s=99.0))[0] == "late"
    assert not (tmp_path / "journal").exists()


def test_a_failed_task_answers_in_one_line(tmp_path, scratch):
    kind, line, _, _ = carry_out(task(toy(fails_at=1), tmp_path))
    assert (kind, line) == ("failed", "the loss is nan at step 1; lower lr")
    kind, line, _, _ = carry_out(task(toy(), tmp_path, key="0" * 24))
    assert kind == "failed" and line.startswith("the data set, or the package, is another one")


def test_without_dask_one_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(catalogue.EXPERIMENTS, "toy", toy())
    monkeypatch.setitem(sys.modules, "distributed", None)
    words = ["toy", "--into", str(tmp_path / "mine"), "--scheduler", "tcp://127.0.0.1:1"]
    assert cli.main(["sweep", *words]) == 2
    printed = capsys.readouterr().err
    assert "--scheduler needs distributed: pip install 'dask==" in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a: [", "is not YAML"),
        ("[]", "must have one system under 'jobqueue'"),
        ("jobqueue: {slurm: {}, pbs: {}}", "must have one system"),
        ("jobqueue: {slum: {}}", "'jobqueue' has 'slum'; it can have htcondor, local"),
        ("jobqueue: {slurm: 4}", "'slurm' must have settings"),
        ("{jobs: none, jobqueue: {slurm: {cores: 1}}}", "'jobs' must be a whole number from 1"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_named(tmp_path, text, match):
    (tmp_path / "jobs.yml").write_text(text)
    with pytest.raises(UserError, match=match):
        jobs.read_jobs(tmp_path / "jobs.yml")


@needs_dask
@pytest.mark.filterwarnings("ignore")
def test_a_slurm_job_asks_for_what_the_configuration_says(tmp_path):
    """The script that would be submitted; no batch system is needed to write it."""
    text = """
    jobqueue:
      slurm:
        cores: 8
        memory: 32GB
        interface: lo
        walltime: "04:00:00"
        job-extra-directives: ["--gres=gpu:1"]
        worker-extra-args: ["--resources", "GPU=1", "--nthreads", "1"]
    """
    (tmp_path / "jobs.yml").write_text(text)
    asked = replace(jobs.read_jobs(tmp_path / "jobs.yml"), n_jobs=0)
    with jobs.start_jobs(asked) as started:
        script = started.job_script()
    assert "#SBATCH --gres=gpu:1" in script and "--resources GPU=1" in script
    assert "#SBATCH -t 04:00:00" in script


@needs_dask
def test_the_jobqueue_s_import_does_not_take_ctrl_c_away():
    program = (
        "import signal; from erfbook.sweep.jobs import import_or_say; "
        "import_or_say('dask_jobqueue.runner'); "
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
