"""The erf command on a temporary folder: what it writes, and that every refusal is one line."""

import csv
import json
import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from erfbook import cli, datasets, erf
from erfbook.erf import command

SMALL = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 5, padding=2))

def mixing():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.Conv2d(4, 4, 3))

def head():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(2))

not_a_model = dict
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a model of its own and three images, one of them not square."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("small", None)
    (tmp_path / "small.py").write_text(SMALL)
    (tmp_path / "pictures").mkdir()
    random = np.random.default_rng(0)
    for i, shape in enumerate([(40, 60, 3), (50, 50, 3), (64, 45, 3)]):
        pixels = random.integers(0, 256, shape).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{i}.png")
    (tmp_path / "pictures" / "notes.txt").write_text("not an image")
    return tmp_path


def call(*words):
    return cli.main(["erf", "small:net", "--images", "pictures", "--size", "48", *words])


def test_it_writes_picture_matrix_and_sizes(folder, capsys):
    assert call("--output", "out") == 0
    assert sorted(p.name for p in (folder / "out").iterdir()) == [
        "map.csv",
        "map.png",
        "sizes.json",
    ]
    numbers = json.loads((folder / "out" / "sizes.json").read_text())
    rows = list(csv.reader((folder / "out" / "map.csv").read_text().splitlines()))
    values = np.array([[float(v) for v in row[1:]] for row in rows[1:]])

    import small

    images = [datasets.normalise(i) for i in datasets.load_folder("pictures", 48)]
    expected = erf.measure(small.net(), images)
    assert np.allclose(values, expected.values, rtol=1e-5, atol=0)  # six digits are written
    assert numbers["size_px"] == erf.size(expected)
    assert (numbers["layer"], numbers["unit"], numbers["n_images"]) == ("2", [12, 12], 3)
    assert numbers["theoretical_size_px"] == [11, 11] and numbers["torch"] == torch.__version__
    with Image.open(folder / "out" / "map.png") as picture:
        assert min(picture.size) > 400
        assert np.asarray(picture.convert("L")).std() > 10  # something is drawn
    printed = capsys.readouterr()
    assert "theoretical 11 x 11 px" in printed.out and printed.out.endswith("out\n")


def test_options_reach_the_measurement(folder):
    options = ["--unit", "0,3", "--layer", "0", "--statistic", "square", "--limit", "2"]
    assert call(*options, "--format", "csv", "--output", "out") == 0
    rows = dict(csv.reader((folder / "out" / "sizes.csv").read_text().splitlines()))
    assert rows["unit"] == "0 3" and rows["layer"] == "0" and rows["statistic"] == "square"
    assert rows["n_images"] == "2" and rows["region_px"] == "[0, 1] [5, 7]"


def test_a_weights_file_is_loaded(folder):
    import small

    other = small.net()
    torch.nn.init.zeros_(other[0].weight[1:])
    torch.save(other.state_dict(), folder / "w.pt")
    assert call("--output", "a") == call("--output", "b", "--weights", "w.pt") == 0
    assert (folder / "a" / "map.csv").read_text() != (folder / "b" / "map.csv").read_text()


def measured(folder, name, *words):
    """Run the command on a model of small.py and return the sizes that it wrote."""
    words = ("--images", "pictures", "--size", "48", "--output", "out", "--force", *words)
    assert cli.main(["erf", f"small:{name}", *words]) == 0
    return json.loads((folder / "out" / "sizes.json").read_text())


def test_a_model_that_mixes_images_is_said_to_be_measured_one_by_one(folder, capsys):
    said = "the model mixes the images of a batch: each was measured alone\n"
    assert measured(folder, "mixing")["one_by_one"] is True
    assert capsys.readouterr().err.count(said) == 1
    assert measured(folder, "net")["one_by_one"] is False
    assert said not in capsys.readouterr().err


def test_bad_images_are_named_and_can_be_skipped(folder, capsys):
    (folder / "pictures" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n truncated")
    assert call() == 2
    assert "pictures/0.png cannot be read" in capsys.readouterr().err
    assert call("--skip-bad", "--output", "out") == 0
    assert json.loads((folder / "out" / "sizes.json").read_text())["n_images"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["erf", "resnet51", "--images", "pictures"], "no model 'resnet51'; nearest: resnet50"),
        (["erf", "small:nothing", "--images", "pictures"], "cannot import small:nothing"),
        (["erf", "absent:net", "--images", "pictures"], "No module named 'absent'"),
        (["erf", "small:not_a_model", "--images", "pictures"], "returned dict, not a torch.nn"),
        (["erf", "small:net", "--images", "absent"], "there is no folder absent"),
        (["erf", "small:net", "--images", "empty"], "empty holds no image"),
        (["erf", "small:net"], "--images"),
        (["--layer", "3"], "no layer '3'"),
        (["--unit", "99,0"], r"unit must lie in (0, 0) to (23, 23)"),
        (["--unit", "middle"], "--unit must be ROW,COL"),
        (["--weights", "absent.pt"], "there is no file absent.pt"),
        (["--weights", "small.py"], "holds no weights"),
        (["--weights", "DEFAULT"], "no trained weights of its own"),
        (["--weights", "wrong.pt"], "do not fit small:net"),
        (["--device", "abacus"], "--device 'abacus'"),
        (["--size", "0"], "--size must be 1 to 8192 px, not 0"),
        (["--output", "pictures"], "is there already"),
        (["--output", "pictures", "--force"], "holds other things"),
        (["--output", "absent/out"], "there is no folder"),
        (["--statistic", "median"], "invalid choice: 'median'"),
    ],
)
def test_what_cannot_work_is_one_line_and_writes_nothing(folder, capsys, words, message):
    (folder / "empty").mkdir()
    torch.save({"weight": torch.zeros(1)}, folder / "wrong.pt")
    before = sorted(folder.rglob("*.png"))
    code = cli.main(words) if words[0] == "erf" else call(*words)
    error = capsys.readouterr().err
    assert code == 2 and message in error
    assert error.startswith("erfbook: error: ") and error.count("\n") == 1
    assert sorted(folder.rglob("*.png")) == before and not list(folder.glob(".*"))


def test_a_layer_without_a_plane_is_refused(folder, capsys):
    (folder / "small.py").write_text(SMALL.replace("nn.LazyLinear(2)", "nn.Linear(6912, 2)"))
    assert cli.main(["erf", "small:head", "--images", "pictures", "--size", "48"]) == 2
    assert "no layer of this model has an output with rows and columns" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing_behind(folder, monkeypatch, capsys):
    def full(path, *arguments):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(command, "_write_matrix", full)
    assert call("--output", "out") == 1
    assert "No space left on device" in capsys.readouterr().err
    assert not (folder / "out").exists() and not list(folder.glob(".out*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(folder, capsys):
    (folder / "locked").mkdir(mode=0o500)
    assert call("--output", "locked/out") == 2
    assert "no permission to write" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["draw_map", "_write_matrix", "_write_sizes"])
def test_an_interrupt_leaves_nothing_behind(folder, monkeypatch, capsys, where):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, where, interrupt)
    assert call("--output", "out") == 130
    assert not (folder / "out").exists() and not list(folder.glob(".out*"))
    assert "Traceback" not in capsys.readouterr().err
