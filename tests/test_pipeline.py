"""From a text notebook to an executed one: reused only unchanged, whole or absent, resumable."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from erfbook import claims, cli, parameters
from erfbook.book import (
    build,
    execute,
    fingerprint,
    paths,
    reading,
    results,
    scoreboard,
    times,
)
from erfbook.errors import RunError, UserError
from erfbook.experiments.catalogue import EXPERIMENTS
from erfbook.records import Record, Spec, Store, encode

NAMES = ("fourier_binomial", "erf_verification")
SOURCE = """\
# ---
# jupyter:
#   kernelspec: {{display_name: Python 3, language: python, name: python3}}
# ---
# %% [markdown]
# # A title
# %% tags=["parameters"]
profile = "laptop"
# %%
import os, time
from erfbook.book import page
run = page.begin("{name}", globals())
# %%
assert "{name}" not in os.environ.get("FAIL", ""), "told to fail"
time.sleep(float(os.environ.get("SLEEP", "0")))
run.report("half", 0.5, low=0.4, high=0.6, n=7, unit="px")
run.report("never", float("nan"))
run.finish()
"""
LEDGER = """\
claims:
- id: luo.half
  where: nowhere
  statement: it is a half
  paper: {value: 0.5, spread: 0.1, n: 3}
  figure: fig-half
  checks:
  - {query: "fourier_binomial:half", bound: {min: 0.5, max: 0.5}, why: it is}
- id: luo.never
  where: nowhere
  statement: it is never
  paper: {text: never}
  checks:
  - {query: "erf_verification:never", bound: {min: 0}, why: it is not}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A checkout of two quick notebooks."""
    for folder in ("notebooks", "data/records", "book"):
        (tmp_path / folder).mkdir(parents=True)
    for name in NAMES:
        (tmp_path / "notebooks" / f"{name}.py").write_text(SOURCE.format(name=name))
    (tmp_path / "data" / "claims.yml").write_text(LEDGER)
    for name in ("_toc.yml", "_config.yml", "requirements.lock"):
        (tmp_path / name).write_text("\n")
    monkeypatch.setenv("ERFBOOK_ROOT", str(tmp_path))
    monkeypatch.delenv("ERFBOOK_DATA", raising=False)
    return paths.find_project()


def command(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "erfbook", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def plan(project, name=NAMES[0], profile="smoke"):
    return execute.plan(project, name, profile, {})


def test_results_survive_execution_and_make_verdicts_and_pages(project):
    plans = [plan(project, name) for name in NAMES]
    build.execute_all(project, plans, jobs=2)
    found = results.read_all(project.executed / "smoke")
    assert {r.query for r in found} == {f"{n}:{r}" for n in NAMES for r in ("half", "never")}
    half = next(r for r in found if r.query == "fourier_binomial:half")
    assert (half.value, half.low, half.high, half.n, half.unit) == (0.5, 0.4, 0.6, 7, "px")
    assert half.profile == "smoke"
    verdicts = claims.judge(claims.load(project.ledger), found)
    assert [v.word for v in verdicts] == ["reproduced", "not reproduced"]
    page = scoreboard.render(verdicts, "smoke")
    assert 'href="fourier_binomial.html#result-half"' in page
    assert 'href="fourier_binomial.html#fig-half"' in page
    assert "0.5 ± 0.1, n = 3" in page
    text = (project.executed / "smoke" / "fourier_binomial.ipynb").read_text()
    assert "run-card" in text and "run-footer" in text and "remove-cell" in text
    assert str(project.root) not in text, "an executed notebook names no folder of this machine"

    before = {p: p.stat().st_mtime_ns for p in project.executed.rglob("*.ipynb")}
    build.execute_all(project, plans, jobs=2)
    assert before == {p: p.stat().st_mtime_ns for p in project.executed.rglob("*.ipynb")}


@pytest.mark.parametrize("what", ["notebook", "lock", "own claim", "data", "profile"])
def test_an_executed_notebook_is_stale_after_any_change_it_rests_on(project, monkeypatch, what):
    before = plan(project).key(project)
    assert plan(project).key(project) == before
    profile = "smoke"
    if what == "notebook":
        with (project.root / "notebooks" / f"{NAMES[0]}.py").open("a") as file:
            file.write("# more\n")
    elif what == "lock":
        project.lock.write_text("torch==0\n")
    elif what == "own claim":
        project.ledger.write_text(LEDGER.replace("max: 0.5", "max: 0.6"))
    elif what == "data":
        (project.root / "set").mkdir()
        (project.root / "set" / "train.parquet").write_text("x")
        monkeypatch.setenv("ERFBOOK_DATA", str(project.root / "set"))
    else:
        profile = "laptop"
    assert plan(project, profile=profile).key(project) != before


def toy_record(experiment="toy", seed=0, name="quarter width", outcome=1.0):
    return Record(Spec(experiment, 1, {"name": name}, seed, "data"), {"outcome": outcome})


@pytest.mark.parametrize(
    "what, is_current",
    [
        ("published", False),
        ("published again, with another outcome", False),
        ("withdrawn", False),
        ("of another experiment, published", True),
        ("swept here", False),
        ("of another experiment, swept here", True),
        ("of a build, here", True),
    ],
)
def test_a_notebook_is_stale_after_a_new_record_only_where_it_reads_it(project, what, is_current):
    reader = project.root / "notebooks" / f"{NAMES[1]}.py"
    read = "[r.metrics for s in (run.published, run.store) for r in s.select('toy')]\nrun.finish()"
    reader.write_text(reader.read_text().replace("run.finish()", read))
    published, own = Store(project.records), Store(project.own_records)
    published.save(toy_record())
    build.execute_all(project, [plan(project, name) for name in NAMES], jobs=2)
    current = lambda name: execute.is_current(  # noqa: E731
        project.executed / "smoke" / f"{name}.ipynb", plan(project, name).key(project), project
    )
    assert [current(name) for name in NAMES] == [True, True]
    if what == "withdrawn":
        published.path(toy_record().spec).unlink()
    elif what.startswith("published again"):
        published.add(encode(toy_record(outcome=2.0)), replace=True)
    else:
        other = "other" if "another experiment" in what else "toy"
        name = "laptop" if what.startswith("of a build") else "quarter width"
        (own if what.endswith("here") else published).save(toy_record(other, 1, name))
    assert [current(name) for name in NAMES] == [True, is_current]


def test_looking_for_its_own_run_ties_no_notebook_to_the_others(project):
    own, published = reading.Own(project.own_records), reading.Published(project.records)
    assert own.find(toy_record().spec) is None and published.find(toy_record().spec) is None
    assert not own.noted and list(published.noted) == ["toy"]
    assert reading.is_unchanged(project, {"published": published.noted, "own": own.noted})
    Store(project.records).save(toy_record())
    assert not reading.is_unchanged(project, {"published": published.noted, "own": own.noted})


def test_another_notebook_s_claim_leaves_an_execution_current(project):
    before = plan(project).key(project)
    project.ledger.write_text(LEDGER.replace("{min: 0}", "{min: 1}"))
    assert plan(project).key(project) == before


def test_package_source_is_part_of_the_fingerprint(tmp_path):
    shutil.copytree(paths.Project(tmp_path).source, tmp_path / "src")
    files = lambda: fingerprint.of_files((tmp_path / "src").rglob("*.py"), tmp_path)  # noqa: E731
    before = files()
    with (tmp_path / "src" / "claims.py").open("a") as file:
        file.write("\n")
    assert files() != before


def test_a_cut_off_or_foreign_file_is_never_taken_for_an_executed_notebook(project, tmp_path):
    path = tmp_path / "x.ipynb"
    for text in ("", '{"metadata": {"erfbook": {"key"', '{"metadata": {}}', "[]"):
        path.write_text(text)
        assert not execute.is_current(path, "k", project)
    whole = {"metadata": {"erfbook": {"key": "k"}}, "cells": []}
    path.write_text(json.dumps(whole))
    assert not execute.is_current(path, "k", project), "it does not say which records it read"
    said = {"metadata": {results.READ: {"published": {}, "own": {}}}}
    path.write_text(json.dumps({**whole, "cells": [{"outputs": [said]}]}))
    assert execute.is_current(path, "k", project)
    assert not execute.is_current(path, "other", project)


def test_a_failing_notebook_stops_the_build_and_names_cell_error_and_rerun(project):
    done = command("build", "--profile", "smoke", FAIL="erf_verification")
    assert done.returncode == 1
    assert "notebook erf_verification failed in cell 4: AssertionError: told to fail" in done.stderr
    assert "erfbook run erf_verification --profile smoke" in done.stderr
    assert "Traceback" not in done.stderr
    assert (project.build / "failed" / "erf_verification.ipynb").exists()
    assert not (project.executed / "smoke" / "erf_verification.ipynb").exists()
    assert not (project.build / "html").exists()


def test_what_a_notebook_refuses_is_one_line_without_its_cell(project):
    with project.notebooks[NAMES[0]].open("a") as file:
        file.write(
            "# %%\nfrom erfbook import errors\nraise errors.UserError('side 3 is too small')\n"
        )
    done = command("run", NAMES[0], "--profile", "smoke")
    assert done.returncode == 2
    said = f"erfbook: error: notebook {NAMES[0]}: side 3 is too small"
    assert done.stderr.strip().splitlines()[-1] == said
    assert "raise errors" not in done.stderr
    assert not (project.executed / "smoke" / f"{NAMES[0]}.ipynb").exists()


def test_work_that_fails_in_a_notebook_keeps_what_ran_until_then(project):
    with project.notebooks[NAMES[0]].open("a") as file:
        file.write("# %%\nfrom erfbook import errors\nraise errors.RunError('out of memory')\n")
    done = command("run", NAMES[0], "--profile", "smoke")
    assert done.returncode == 1
    assert "RunError: out of memory" in done.stderr and "run just it again" in done.stderr
    assert "Traceback" not in done.stderr
    assert (project.build / "failed" / f"{NAMES[0]}.ipynb").exists()


def children(process):
    """Return the processes that one has started, and those that these have."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")  # any thread may have started one
    found = [child for task in tasks for child in task.read_text().split()]
    return [*map(int, found), *(c for n in found for c in children(int(n)))]


def is_gone(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_nothing_half_made_and_goes_on(project, kind):
    process = subprocess.Popen(
        [sys.executable, "-m", "erfbook", "build", "--profile", "smoke", "-j", "2"],
        env={**os.environ, "SLEEP": "60"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(project.executed.rglob(".erfbook-*/*")) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(4)
    started = children(process.pid)
    process.send_signal(kind)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert len(started) >= 2 and all(map(is_gone, started))
    assert not list(project.executed.rglob(".erfbook-*"))
    assert errors.strip().splitlines()[-1].startswith("erfbook: error: interrupted")
    assert "Traceback" not in errors
    assert not list(project.executed.rglob("*.ipynb"))
    build.execute_all(project, [plan(project)], jobs=1)
    assert results.read(project.executed / "smoke" / f"{NAMES[0]}.ipynb")


def test_what_a_killed_run_has_left_is_removed_by_the_next(project, tmp_path):
    command = [sys.executable, "-m", "erfbook", "run", NAMES[0], "--profile", "smoke"]
    with subprocess.Popen(
        [*command, "-o", tmp_path / "out"],
        env={**os.environ, "SLEEP": "60"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.rglob(".erfbook-*/*")) and time.monotonic() < deadline:
            time.sleep(0.2)
        for child in (*children(process.pid), process.pid):
            os.kill(child, signal.SIGKILL)
    assert list((tmp_path / "out").glob(".erfbook-*"))
    output = tmp_path / "out" / "x.ipynb"
    execute.execute(project, plan(project), output)
    assert list((tmp_path / "out").iterdir()) == [output]


def test_a_run_that_comes_to_nothing_leaves_no_empty_folder(project, tmp_path):
    project.notebooks[NAMES[0]].write_text(
        "# %%\nfrom erfbook import errors\nraise errors.UserError('no')\n"
    )
    with pytest.raises(UserError, match=f"notebook {NAMES[0]}: no"):
        execute.execute(project, plan(project), tmp_path / "here" / "below" / "x.ipynb")
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("words", [("run", NAMES[0]), ("build",)])
def test_a_notebook_reads_the_data_that_the_caller_named_from_elsewhere(project, tmp_path, words):
    """The kernel, and a build's workers, work in the checkout."""
    (tmp_path / "elsewhere" / "data").mkdir(parents=True)
    for notebook in project.notebooks.values():
        with notebook.open("a") as file:
            file.write(
                "# %%\nfrom erfbook.datasets import catalogue, places\n"
                "raise RuntimeError(f'{places.data_roots()} {catalogue.table_path()}')\n"
            )
    done = subprocess.run(
        [sys.executable, "-m", "erfbook", *words, "--profile", "smoke"],
        capture_output=True,
        text=True,
        cwd=tmp_path / "elsewhere",
        env={
            **os.environ,
            "ERFBOOK_DATA": "data",
            "ERFBOOK_DATASETS": "../table.toml",
            "XDG_CACHE_HOME": "cache",
            "ERFBOOK_ROOT": "..",
        },
    )
    here = tmp_path / "elsewhere"
    assert done.returncode == 1
    assert f"'{here}/data'" in done.stderr and f"'{here}/cache/erfbook/data'" in done.stderr
    assert f"{here}/../table.toml" in done.stderr


def test_a_data_set_named_from_elsewhere_has_the_same_digest(project, monkeypatch):
    (project.root / "set").mkdir()
    (project.root / "set" / "train.parquet").write_text("x")
    monkeypatch.setenv("ERFBOOK_DATA", str(project.root / "set"))
    absolute = fingerprint.of_data()
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("ERFBOOK_DATA", "set")
    assert fingerprint.of_data() == absolute != "embedded"
    monkeypatch.setenv("HOME", str(project.root))
    monkeypatch.setenv("ERFBOOK_DATA", "~/set")
    assert fingerprint.of_data() == absolute


def test_the_printed_remedy_can_be_pasted(project, tmp_path):
    given = {"kernels": (5,), "random_depths": (5, 10), "seed": 3}
    execution = execute.plan(project, NAMES[0], "smoke", given)
    error = SimpleNamespace(source="x", exec_count=1, ename="E", evalue="e")
    said = execute._explain(execution, error, tmp_path / "x.ipynb")
    remedy = next(line for line in said.splitlines() if "run just it again" in line)
    words = shlex.split(remedy.partition(": ")[2])
    options = cli._parser(words[1:]).parse_args(words[1:])
    assert words[0] == "erfbook" and "-p kernels 5 -p random_depths 5,10" in remedy
    overrides = cli._overrides(parameters.of(NAMES[0]), options.pairs)
    assert execute.plan(project, NAMES[0], options.profile, overrides) == execution
    odd = execute.Execution(NAMES[0], "smoke", {"name": "it's; two words"})
    remedy = execute._explain(odd, error, tmp_path).split("again: ")[1].splitlines()[0]
    assert shlex.split(remedy)[-1] == "it's; two words"


def test_a_notebook_that_says_much_on_its_error_stream_does_not_block_the_build(project):
    with project.notebooks[NAMES[0]].open("a") as file:
        file.write('# %%\nos.write(2, b"x" * 300_000)\nprint()\n')
    build.execute_all(project, [plan(project)], jobs=1)
    assert results.read(project.executed / "smoke" / f"{NAMES[0]}.ipynb")


def test_a_cut_off_chapter_is_named_by_the_command_that_reads_it(project):
    project.chapters.mkdir()
    (project.chapters / f"{NAMES[0]}.ipynb").write_text('{"cells": [')
    done = command("claims")
    assert done.returncode == 2
    assert "is no whole notebook; erfbook build makes it anew" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_builds_of_a_checkout_exclude_each_other(project):
    with (
        build._alone(project),
        pytest.raises(UserError, match="another build"),
        build._alone(project),
    ):
        pass  # pragma: no cover


def test_a_full_disk_is_one_line_and_leaves_no_file(project):
    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    words = [sys.executable, "-m", "erfbook", "run", NAMES[0], "--profile", "smoke"]
    done = subprocess.run(words, capture_output=True, text=True, preexec_fn=fill)
    assert done.returncode == 1
    output = project.build / "runs" / f"{NAMES[0]}.ipynb"
    assert f"erfbook: error: cannot write {output}: File too large; nothing" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((project.build / "runs").rglob("*.ipynb"))


def first_whole_number():
    fields = parameters.of(NAMES[0]).fields()
    return next(n for n, f in fields.items() if isinstance(f.metadata["values"]["smoke"], int))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "fourier_binomal"], "did you mean 'fourier_binomial'?"),
        (["run", NAMES[0], "-p", "nonsense", "1"], "has no parameter 'nonsense'"),
        (["run", NAMES[0], "-p", first_whole_number(), "many"], "must be a whole number"),
        (["run", NAMES[0], "-p", first_whole_number(), "-5"], first_whole_number()),
        (["run", NAMES[0], "--profile", "labtop"], "did you mean 'laptop'?"),
        (["run"], "name a notebook"),
        (["run", NAMES[0], "-o", "/proc/nowhere"], "cannot"),
        (
            ["run", NAMES[0], "-o", "o" * 300],
            "ooo/fourier_binomial.ipynb: File name too long; name",
        ),
        (["build", "--profile", "huge"], "profile must be one of smoke, laptop, paper"),
        (["build", "-j", "0"], "--jobs must be at least 1"),
        (["buld"], "invalid choice: 'buld'"),
        (["claims", "--verdict", "partial"], "did you mean 'partly'?"),
    ],
)
def test_bad_input_is_one_line_with_code_2_and_nothing_written(project, words, message):
    done = command(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("erfbook: error: ")
    assert not list(project.root.rglob("*.ipynb"))


def test_outside_a_checkout_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("ERFBOOK_ROOT", str(tmp_path))
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "a" / "b" / "c.py"))
    with pytest.raises(UserError, match="run this inside a checkout"):
        paths.find_project()


def test_help_of_a_notebook_lists_every_parameter_with_its_range():
    done = command("run", NAMES[0], "--help")
    assert done.returncode == 0
    for name in parameters.of(NAMES[0]).fields():
        assert f"-p {name} <" in done.stdout


def test_plain_papermill_refuses_an_unknown_parameter_too(project, tmp_path):
    text, notebook = project.notebooks[NAMES[0]], tmp_path / "plain.ipynb"
    tools = [sys.executable, "-m"]
    subprocess.run([*tools, "jupytext", "--to", "ipynb", text, "-o", notebook], check=True)
    words = [*tools, "papermill", "-k", "python3", notebook, tmp_path / "out.ipynb"]
    done = subprocess.run([*words, "-p", "n_typo", "3"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "has no parameter 'n_typo'" in done.stderr


def test_a_page_with_a_warning_leaves_the_built_book_and_its_log(project, tmp_path, monkeypatch):
    output = tmp_path / "out"
    (output / "html").mkdir(parents=True)
    (output / "html" / "index.html").write_text("old and whole")
    monkeypatch.setattr(build.subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, 1))
    with pytest.raises(RunError, match="the pages built before stand"):
        build._make_html(project, output)
    assert (output / "html" / "index.html").read_text() == "old and whole"


def test_the_mark_of_a_result_s_mime_type_is_the_same_where_it_is_written_and_read():
    from erfbook.book import page

    assert page._MIME + "json" == results.RECORD


def test_the_folder_of_pages_is_replaced_as_a_whole(tmp_path):
    new, old = tmp_path / "new", tmp_path / "old"
    for folder, text in ((new, "new"), (old, "old")):
        folder.mkdir()
        (folder / "index.html").write_text(text)
    (old / "stale.html").write_text("stale")
    build._replace_folder(new, old)
    assert [p.name for p in old.iterdir()] == ["index.html"]
    assert (old / "index.html").read_text() == "new"
    assert Path(new / "index.html").exists()


def test_the_page_of_times_says_what_runs_and_chapters_took(project):
    build.execute_all(project, [plan(project)], jobs=1)
    executed = project.executed / "smoke"
    took = results.read_took(executed / f"{NAMES[0]}.ipynb")
    assert took.profile == "smoke" and took.megabytes > 10 and "thread" in took.device
    shown = f"{took.seconds:.1f} s"
    assert shown in (executed / f"{NAMES[0]}.ipynb").read_text(), "the footer says the same"
    store = Store(project.records)
    experiment = EXPERIMENTS["erf-distance"]
    config = experiment.plans["paper"][0][0]
    spec = lambda seed: Spec(  # noqa: E731
        experiment.name, experiment.version, asdict(config), seed, "data"
    )
    for seed, seconds in enumerate((60.0, 120.0, 3600.0)):
        about = {"device": "A <fast> one", "threads": 4, "seconds": seconds}
        store.save(Record(spec(seed), {}, provenance=about))
    page = times.render(executed, store)
    assert f'<a href="{NAMES[0]}.html">' in page and NAMES[1] not in page
    (row,) = [line for line in page.split("<tr>") if "<code>erf-distance</code>" in line]
    cells = re.findall("<td>(.*?)</td>", row)
    assert cells[1:] == [
        *("paper", "A &lt;fast&gt; one, 4 threads"),
        *("3", "2 min (1 min to 1 h)", "1 h 3 min"),
    ]
    assert "There are none." in times.render(executed, Store(project.root / "none"))
