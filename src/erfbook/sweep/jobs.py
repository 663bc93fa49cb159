"""Workers that a batch system starts: a dask-jobqueue configuration, read and used.

The file has one system under ``jobqueue`` (``slurm``, ``pbs``, ``sge``, ``lsf``, ``oar``,
``moab``, ``htcondor``, or ``local`` to try it out), with the settings that dask-jobqueue documents
for it, and how many jobs to ask for::

    jobs: 4
    jobqueue:
      slurm:
        cores: 8
        memory: 32GB
        walltime: "04:00:00"
        job-extra-directives: ["--gres=gpu:1"]
        worker-extra-args: ["--resources", "GPU=1", "--nthreads", "1"]
"""

from __future__ import annotations

import importlib
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erfbook.errors import UserError
from erfbook.sweep.local import first_line

_INSTALL = "pip install 'dask==2026.8.0' 'distributed==2026.8.0' 'dask-jobqueue>=0.9'"
_CLASSES = {
    "htcondor": "HTCondorCluster",
    "local": "local.LocalCluster",
    "lsf": "LSFCluster",
    "moab": "MoabCluster",
    "oar": "OARCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "slurm": "SLURMCluster",
}


@dataclass(frozen=True)
class Jobs:
    """Workers to ask a batch system for.

    Args:
        file: where this is written.
        system: its name for dask-jobqueue.
        settings: of each job.
        n_jobs: how many.
    """

    file: Path
    system: str
    settings: Mapping[str, Any]
    n_jobs: int


def check_scheduler(word: str) -> Jobs | None:
    """Return the jobs that ``--scheduler`` describes in a file; None if it is an address.

    Raises:
        UserError: it is neither, or the file cannot be used.
    """
    if Path(word).suffix in (".yml", ".yaml"):
        return read_jobs(Path(word))
    if "://" not in word:
        raise UserError(
            f"--scheduler must be an address such as tcp://host:8786, or a .yml file, not {word!r}"
        )
    return None


def read_jobs(file: Path) -> Jobs:
    """Return what a configuration asks for.

    Raises:
        UserError: no such file, or not such a configuration.
    """
    import yaml

    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not YAML: {' '.join(str(error).split())}") from None
    systems = found.get("jobqueue") if isinstance(found, dict) else None
    if not isinstance(systems, dict) or len(systems) != 1:
        raise UserError(f"{file} must have one system under 'jobqueue', such as slurm")
    ((system, settings),) = systems.items()
    n_jobs = found.get("jobs", 1)
    if system not in _CLASSES:
        raise UserError(f"{file}: 'jobqueue' has {system!r}; it can have {', '.join(_CLASSES)}")
    if not isinstance(settings, dict):
        raise UserError(f"{file}: {system!r} must have settings, such as cores and memory")
    if not isinstance(n_jobs, int) or n_jobs < 1:
        raise UserError(f"{file}: 'jobs' must be a whole number from 1, not {n_jobs!r}")
    return Jobs(file, system, settings, n_jobs)


def start_jobs(jobs: Jobs) -> Any:
    """Return a Dask cluster whose workers are jobs; they are asked for, and come when they come.

    Raises:
        UserError: dask-jobqueue is not installed, or refuses the settings.
    """
    dask = import_or_say("dask")
    package = import_or_say("dask_jobqueue")
    module, _, name = _CLASSES[jobs.system].rpartition(".")
    if module:
        package = import_or_say(f"dask_jobqueue.{module}")
    dask.config.set({f"jobqueue.{jobs.system}.{key}": v for key, v in jobs.settings.items()})
    try:
        cluster = getattr(package, name)(scheduler_options={"dashboard_address": ":0"})
    except (TypeError, ValueError) as error:
        raise UserError(f"{jobs.file}: {first_line(error)}") from None
    cluster.scale(jobs=jobs.n_jobs)
    return cluster


def import_or_say(name: str) -> Any:
    """Return a module.

    Raises:
        UserError: it is not installed; the message says how to get it.
    """
    before = signal.getsignal(signal.SIGINT)  # dask-jobqueue takes Ctrl-C for itself on import
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(f"--scheduler needs {error.name}: {_INSTALL}") from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)
