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

def pointwise():
    torch.manual_seed(0)
    return nn.Conv2d(3, 4, 1)

def mean():
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Upsample(size=(4, 4)))

def faint():
    model = nn.Conv2d(3, 4, 3, bias=False)
    nn.init.constant_(model.weight, 1e-30)
    return model

def negative():
    model = nn.Conv2d(3, 4, 3, bias=False)
    nn.init.constant_(model.weight, -1.0)
    return model

class Backward(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3)
        self.b = nn.Conv2d(4, 4, 3)

    def forward(self, x):
        y = torch.tanh(self.a(x))
        y[:, 0] *= 2
        return self.b(y)

class NoGrad(Backward):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)

class Talks(Backward):
    def forward(self, x):
        print("the model talks")
        return self.b(self.a(x))

class Stops(Backward):
    def forward(self, x):
        if x.device.type != "meta":
            raise RuntimeError("the disk of the model is full\\nsecond line")
        return self.b(self.a(x))

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
    written = folder / "out" / "sizes.json"
    return json.loads(written.read_text()) if written.exists() else None


def test_a_model_that_mixes_images_is_said_to_be_measured_one_by_one(folder, capsys):
    said = "the model mixes the images of a batch: each was measured alone\n"
    assert measured(folder, "mixing")["one_by_one"] is True
    assert capsys.readouterr().err.count(said) == 1
    assert measured(folder, "net")["one_by_one"] is False
    assert said not in capsys.readouterr().err


FITTED = {"gaussian_sigma_px", "gaussian_centre_px", "gaussian_r_squared", "excess_kurtosis"}


def test_a_field_of_one_pixel_has_sizes_and_no_gaussian(folder, capsys):
    numbers = measured(folder, "pointwise")
    assert numbers["theoretical_size_px"] == [1, 1] and numbers["size_px"] == 1.0
    assert numbers["smallest_set_0.99"] == numbers["centred_square_0.99"] == 1 / 48**2
    assert numbers["moments_sigma_px"] == [0.0, 0.0]
    assert set(numbers["undefined"]) == FITTED
    assert all(numbers[name] is None for name in FITTED)
    printed = capsys.readouterr().out
    assert "effective size 1.0 px; theoretical 1 x 1 px\nundefined: gaussian_sigma_px" in printed
    assert printed.count("(the map has no spread along an axis: a Gaussian cannot be fitted)") == 1
    assert measured(folder, "net")["undefined"] == {}
    assert measured(folder, "pointwise", "--format", "csv") is None
    rows = dict(csv.reader((folder / "out" / "sizes.csv").read_text().splitlines()))
    assert rows["undefined"].startswith("gaussian_sigma_px: the map has no spread")


def test_a_flat_map_has_a_spread_and_no_gaussian(folder):
    numbers = measured(folder, "mean")
    assert numbers["size_px"] == 48.0 and set(numbers["undefined"]) == FITTED
    # a uniform row of n pixels has the variance (n^2 - 1) / 12; float32 rounds each value to 6e-8
    assert numbers["moments_sigma_px"] == pytest.approx([((48**2 - 1) / 12) ** 0.5] * 2, rel=1e-6)


def test_an_image_of_one_pixel_can_be_measured(folder):
    numbers = measured(folder, "pointwise", "--size", "1", "--layer", "")
    assert numbers["size_px"] == 1.0 and set(numbers["undefined"]) == FITTED


def test_a_faint_map_has_every_size(folder):
    """Gradients of 1e-30 are far below the spacing of numbers at 1, and yet have a square."""
    numbers = measured(folder, "faint")
    assert numbers["undefined"] == {} and numbers["centred_square_0.99"] == 9 / 48**2


def test_a_map_of_negative_values_is_drawn_by_their_magnitude(folder):
    measured(folder, "negative", "--statistic", "signed")
    with Image.open(folder / "out" / "map.png") as picture:
        negative = np.asarray(picture)
    measured(folder, "negative", "--statistic", "abs")
    with Image.open(folder / "out" / "map.png") as picture:
        below_titles = slice(120, None)
        assert (np.asarray(picture)[below_titles] == negative[below_titles]).all()


def test_a_statistic_that_is_zero_everywhere_is_told_from_a_gradient_that_is(folder, capsys):
    words = ["small:negative", "--images", "pictures", "--size", "48", "--statistic", "relu"]
    assert cli.main(["erf", *words]) == 2
    said = capsys.readouterr().err
    assert "the statistic 'relu' of 3 images is zero at every pixel" in said


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Backward", "the gradient at 'b' cannot be taken: RuntimeError: one of the variables"),
        ("NoGrad", "no gradient leads from 'b' to the input: the model computes under torch.no_g"),
        ("Stops", "stopped on a batch of shape (1, 3, 5, 5): RuntimeError: the disk of the mo"),
    ],
)
def test_a_model_without_a_gradient_is_one_line_that_says_why(folder, capsys, name, message):
    assert cli.main(["erf", f"small:{name}", "--images", "pictures", "--size", "48"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("erfbook: error: ") and error.count("\n") == 1
    assert "Hint" not in error and not list(folder.glob("erf-*"))


def test_what_a_model_prints_does_not_mix_with_the_sizes(folder, capsys):
    measured(folder, "Talks")
    printed = capsys.readouterr()
    assert "the model talks" in printed.err and printed.out.startswith("layer b, unit")
    assert "the model talks" not in printed.out


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
