"""A figure's axes come back in the shape that was written, however many there are of them."""

import ast
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from erfbook import plots

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.py"))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_counts_give_arrays_of_as_many_axes_also_of_one(n):
    shapes = {(1, n): (n,), (2, n): (2, n), (3, n): (3, n)}
    for counts, shape in shapes.items():
        _, axes = plots.figure(*counts)
        assert isinstance(axes, np.ndarray) and axes.shape == shape
    _, axes = plots.figure(1, n, squeeze=False)
    assert axes.shape == (1, n)
    plt.close("all")


def test_without_counts_there_is_one_axes():
    figure, ax = plots.figure(height=3.0, width=5.0)
    assert isinstance(ax, plt.Axes) and tuple(figure.get_size_inches()) == (5.0, 3.0)
    plt.close("all")


def test_no_axes_at_all_are_refused():
    with pytest.raises(ValueError, match="must be a positive integer"):
        plots.figure(1, 0)


def calls(text):
    """Yield, for each figure of a notebook, whether counts are written and how it is unpacked."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            function = node.value.func
            if isinstance(function, ast.Attribute) and function.attr == "figure":
                keywords = {keyword.arg for keyword in node.value.keywords}
                has_counts = bool(node.value.args) or bool({"n_rows", "n_columns"} & keywords)
                yield has_counts, ast.unparse(node.targets[0])


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_call_one_axes_ax_and_ask_for_it_without_counts(notebook):
    text = notebook.read_text(encoding="utf-8")
    assert all((name == "(fig, axes)") is counts for counts, name in calls(text))
    one = "fig, ax = plots.figure(1, len(p.depths))"  # the wrong version: one or several
    assert [*calls(one)] == [(True, "(fig, ax)")]
