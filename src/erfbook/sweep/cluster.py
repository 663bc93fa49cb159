"""A sweep on a Dask cluster: each run a task, taken up elsewhere if its worker dies."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from erfbook.errors import RunError, UserError
from erfbook.experiments.registry import Experiment
from erfbook.notation import count
from erfbook.records import Conflict, Store, UnderWay
from erfbook.records.record import RESERVED
from erfbook.records.words import duration
from erfbook.sweep.jobs import check_scheduler, import_or_say, start_jobs
from erfbook.sweep.local import Say, Tally, begin_words, first_line
from erfbook.sweep.plan import Run
from erfbook.sweep.remote import Answer, Task, carry_out

_CONNECT_S = 15.0
_FIRST_WORKER_S = 3600.0  # a batch system may let a job wait; a shorter budget ends it sooner
_GRACE_S = 20.0  # after the deadline, for checkpoints and answers on their way


def sweep_on(
    scheduler: str,
    experiment: Experiment,
    runs: Sequence[Run],
    store: Store,
    *,
    device: str | None = None,
    deadline: float | None = None,
    say: Say = print,
) -> Tally:
    """Make the missing runs on the workers of a Dask cluster until the deadline.

    A worker that sees the folder of records keeps checkpoints and records there; from others the
    records come back with the answer. Where workers offer a resource ``GPU``, a run takes one.

    Args:
        scheduler: its address, or a dask-jobqueue configuration (see :mod:`erfbook.sweep.jobs`).
        experiment, runs: what to make, from :func:`erfbook.sweep.plan.lay_out`.
        store: where records go.
        device: what computes on a worker; its GPU if it has one and this is None.
        deadline: reading of ``time.monotonic()`` at which runs pause; None for no limit.
        say: prints a line.

    Raises:
        UserError: Dask is not installed, or nobody answers at the address.
        RunError: the scheduler is gone; the records that came back are kept.
    """
    check_scheduler(scheduler)
    missing = [run for run in runs if not run.is_done and not run.problem]
    if not missing:
        return Tally()
    with _connect(scheduler) as client, _token(store.folder) as token:
        resources = _wait_for_workers(client, deadline, say)
        futures = {}
        for n, run in enumerate(missing):
            assert run.spec is not None
            task = Task(
                experiment, run.config, run.seed, run.spec.key, str(store.folder.resolve()), token,
                device, None if deadline is None else time.time() + deadline - time.monotonic(),
                run.left_s,
            )  # fmt: skip
            # The key of the run is the key of the task: two sweeps on one cluster share it.
            call, content = _pack(task)
            future = client.submit(
                call, content, key=f"erfbook-{run.spec.key}", priority=-n, resources=resources
            )
            futures[future] = run
            say(f"{run.label}: {begin_words(run)} when a worker is free")
        return _collect(futures, store, deadline, say)


def _pack(task: Task) -> tuple[Callable[[bytes], Answer], bytes]:
    """Return a function and bytes that a scheduler without this package, or PyTorch, can read.

    A scheduler reads the tasks that it hands on, and would import all that they name. A function
    inside another travels as code, and bytes stay bytes until a worker opens them.
    """
    import cloudpickle

    def open_and_call(content: bytes) -> Answer:
        import cloudpickle

        function, task = cloudpickle.loads(content)
        return function(task)

    return open_and_call, cloudpickle.dumps((carry_out, task))


def _collect(
    futures: Mapping[Any, Run],
    store: Store,
    deadline: float | None,
    say: Say,
) -> Tally:
    """Save records as they come, and name what failed; what is not here in time is let go."""
    from distributed import as_completed

    tally = Tally()
    rest = None if deadline is None else max(0.0, deadline - time.monotonic()) + _GRACE_S
    answers = as_completed(list(futures), timeout=rest)
    try:
        for future in answers:
            run = futures[future]
            if future.status == "finished":
                _note(future.result(), run, store, tally, say)
            elif future.status == "error":
                tally.failed[run.label] = _death(future.exception())
                say(f"{run.label}: failed, {tally.failed[run.label]}")
            else:
                raise RunError(
                    "the scheduler let go of the runs; records that came back are kept, "
                    "run it again to go on"
                )
    except TimeoutError:
        pass  # the budget is spent
    finally:
        for future in futures:
            if not future.done():
                future.cancel()
    return tally


def _note(answer: Answer, run: Run, store: Store, tally: Tally, say: Say) -> None:
    kind, content, seconds, worker = answer
    if kind == "record":
        assert isinstance(content, bytes)
        try:
            store.add(content)
        except Conflict as conflict:
            kind, content = "failed", str(conflict)
        else:
            if run.spec is not None:
                UnderWay(store.folder, run.spec).discard()
            tally.done.append(run.label)
            say(f"{run.label}: done in {duration(seconds)} on {worker}")
            return
    assert isinstance(content, str)
    if kind == "failed":
        tally.failed[run.label] = content
        say(f"{run.label}: failed on {worker}, {content}")
    elif kind == "paused":
        tally.paused.append(run.label)
        say(f"{run.label}: paused after {duration(seconds)}; {content}")


def _death(error: BaseException) -> str:
    """Return why a task came to nothing, in one line."""
    if type(error).__name__ == "KilledWorker":
        return "several workers died while they made it, for lack of memory perhaps"
    return first_line(error)


@contextlib.contextmanager
def _connect(scheduler: str) -> Iterator[Any]:
    """Yield a client of the scheduler at an address, or of one started for a batch system."""
    jobs = check_scheduler(scheduler)
    distributed = import_or_say("distributed")
    with contextlib.ExitStack() as stack:
        target = scheduler if jobs is None else stack.enter_context(start_jobs(jobs))
        try:
            client = distributed.Client(target, timeout=_CONNECT_S)
        except (OSError, ValueError, TimeoutError) as error:
            raise UserError(f"no scheduler answers at {scheduler}: {first_line(error)}") from None
        yield stack.enter_context(client)


def _wait_for_workers(client: Any, deadline: float | None, say: Say) -> dict[str, float] | None:
    """Return what a run takes of its worker: one GPU where workers offer any."""
    until = time.monotonic() + _FIRST_WORKER_S if deadline is None else deadline
    if not client.scheduler_info(n_workers=-1)["workers"]:
        say("waiting for the first worker")
        try:
            client.wait_for_workers(1, timeout=max(1.0, until - time.monotonic()))
        except TimeoutError:
            raise RunError("no worker came; nothing was begun") from None
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    n_gpus = sum(worker.get("resources", {}).get("GPU", 0) for worker in workers)
    say(count(len(workers), "worker") + (f" with {count(n_gpus, 'GPU')}" if n_gpus else ""))
    return {"GPU": 1} if n_gpus else None


@contextlib.contextmanager
def _token(folder: Path) -> Iterator[str]:
    """Yield the name of a file in the folder by which a worker knows that it sees the same one."""
    token = folder / RESERVED / f".seen-{uuid4().hex}"
    try:
        token.parent.mkdir(parents=True, exist_ok=True)
        token.touch()
        yield token.name
    except OSError as error:
        raise RunError(f"cannot write {token}: {error.strerror}") from error
    finally:
        token.unlink(missing_ok=True)
