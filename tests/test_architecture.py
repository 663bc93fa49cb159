"""The plan of the package: who may import whom, and what the compute core does without."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import erfbook

SOURCE = Path(erfbook.__file__).parent
LOW = {"errors", "profiles"}
MAY_IMPORT = {
    "errors": set(),
    "hardware": {"notation"},
    "notation": set(),
    "progress": set(),
    "theory": set(),
    "rf": {"errors", "models"},
    "models": {"errors"},
    "datasets": {"errors"},
    "erf": {"theory", "rf", "models", "datasets", *LOW},
    "training": {"errors", "datasets", "hardware", "progress"},
    "pruning": {"errors", "datasets", "training"},
    "hessian": {"errors", "progress"},
    "similarity": {"errors"},
    "featurevis": {"errors", "rf", "models", "progress"},
    "profiles": {"errors"},
    "records": {"errors", "hardware"},
    "parameters": {"profiles"},
    "experiments": {
        *("theory", "rf", "erf", "models", "datasets", "training", "records"),
        *("pruning", "hessian", "similarity", "featurevis", "notation", "hardware"),
        *LOW,
    },
    "sweep": {"experiments", "hardware", "notation", "records", "training", *LOW},
    "claims": {"theory", "notation", *LOW},
    "plots": {"notation", "theory"},
    "book": {"claims", "parameters", "records", "experiments", "hardware", "notation", *LOW},
    "cli": {"parameters", "claims", "book", "erf", "rf", "datasets", "records", "sweep", *LOW},
    "__main__": {"cli"},
    "__init__": set(),
}
CORE = ["theory", "rf", "erf", "models", "datasets", "training", "records", "experiments", "sweep"]
CORE += ["pruning", "hessian", "similarity", "featurevis", "profiles", "parameters", "cli"]


def part_of(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "erfbook":
            rest = node.module.split(".")[1:]
            found |= {rest[0]} if rest else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {name[1] for name in names if name[0] == "erfbook" and len(name) > 1}
    return found


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE))
)
def test_a_module_imports_only_what_the_plan_allows(path):
    part = part_of(path)
    assert imported_parts(path) <= MAY_IMPORT[part] | {part}


def test_the_check_of_imports_sees_a_forbidden_one(tmp_path):
    module = tmp_path / "wrong.py"
    module.write_text(
        "from erfbook.book import page\nimport erfbook.cli\nfrom erfbook import claims\n"
    )
    assert imported_parts(module) == {"book", "cli", "claims"}


def test_the_compute_core_imports_on_a_machine_without_the_book():
    """Dask, papermill, Jupyter, pydantic and scikit-image are absent on a bare machine."""
    absent = (
        "dask distributed dask_jobqueue papermill jupyter_book nbformat jupytext IPython pydantic "
        "skimage pyarrow captum shap"
    )
    program = f"import sys\nsys.modules.update(dict.fromkeys({absent.split()!r}))\n" + "".join(
        f"import erfbook.{name}\n" for name in CORE
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
