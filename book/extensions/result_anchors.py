"""Give every result that a notebook reports a place in its page: ``page.html#result-NAME``.

A result is a cell output published under the MIME type below, named in its metadata as
``{"scrapbook": {"name": NAME}}``. The cell that reports it gets the id ``result-NAME``; where the
cell itself is hidden, the nearest cell shown before it does.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

RESULT = "application/papermill.record/json"


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the anchors once a notebook has been read."""
    app.connect("doctree-read", add_anchors)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def add_anchors(app: Sphinx, doctree: nodes.document) -> None:
    """Add the ids of a notebook's results to the cells of its document."""
    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix != ".ipynb":
        return
    cells = {
        node["cell_index"]: node
        for node in doctree.findall(nodes.container)
        if node.get("nb_element") == "cell_code"
    }
    for name, index in results_by_cell(json.loads(path.read_text(encoding="utf-8"))).items():
        shown = [i for i in cells if i <= index]
        target = cells[max(shown)] if shown else next(doctree.findall(nodes.section), doctree)
        if anchor(name) not in target["ids"]:
            target["ids"].append(anchor(name))


def results_by_cell(notebook: dict) -> dict[str, int]:
    """Return the cell index at which each result of a notebook is first reported."""
    found: dict[str, int] = {}
    for index, cell in enumerate(notebook["cells"]):
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name and RESULT in output.get("data", {}):
                found.setdefault(name, index)
    return found


def anchor(name: str) -> str:
    """Return the id of a result.

    >>> anchor("size_slope")
    'result-size_slope'
    """
    return "result-" + re.sub(r"[^\w.-]", "-", name)
