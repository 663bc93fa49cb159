"""The rf command: what it prints, writes and draws is the library's fields; refusals are a line."""

import csv
import io
import json
import math
import os
import re
import subprocess
import sys
from fractions import Fraction
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn

from erfbook import cli, models, rf
from erfbook.rf import command, drawing

NETS = """
import torch
from torch import nn
from torch.nn import functional as F

def small():
    print("a talkative model")
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Sequential(nn.Conv2d(8, 8, (3, 5), padding=(1, 2)), nn.ReLU()),
        nn.Upsample(scale_factor=4), nn.AdaptiveAvgPool2d(1),
    )

def dilated():
    return nn.Sequential(
        nn.Conv2d(3, 2, 3, dilation=3), nn.Conv2d(2, 2, 3, stride=2, padding=8, dilation=6)
    )

def signal():
    return nn.Sequential(nn.Conv1d(1, 2, 5, stride=2), nn.Conv1d(2, 2, 3, dilation=4))

def volume():
    return nn.Conv3d(1, 2, 3)

def deep():
    return nn.Sequential(*(nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU()) for _ in range(31)))

class Wired(nn.Module):
    def __init__(self, wire):
        super().__init__()
        self.first, self.wire = nn.Conv2d(3, 3, 3, padding=1), wire
    def forward(self, x):
        return self.wire(self.first(x))

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 3, 5, 2, padding=2)
        self.branch = nn.Conv2d(3, 3, 1, 2)
    def forward(self, x):
        y = self.body(x)
        return y + self.branch(x)

def residual():
    return nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), Block())

class Pair(nn.Module):
    def forward(self, image, mask):
        return image * mask

def misaligned():
    return Wired(lambda y: y[..., :6, :6] + F.max_pool2d(y, 2)[..., 1:7, 1:7])

def values():
    return Wired(lambda y: y if y.sum() > 0 else -y)

def unruly():
    return Wired(lambda y: torch.fft.fft2(y).real)

def broken():
    return Wired(lambda y: {}["absent"])

def needs_width(width):
    return nn.Conv2d(3, width, 3)

made = nn.Conv2d(3, 3, 3)
one = 1
"""

TABLE = """\
nets:small, input 3x32x40, eval mode

layer     grid  size  stride    padding  note
----------------------------------------------------------------------------
0        16x20     3       2          1
3        16x20  7x11       2        3x5
4        64x80  7x11     1/2  15/4x23/4
5          1x1   all       -          -  global: mean over the plane, in '5'
(model)    1x1   all       -          -  as above
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with models of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("nets", None)
    (tmp_path / "nets.py").write_text(NETS)
    return tmp_path


def call(*words):
    return cli.main(["rf", *words])


def printed(capsys, *words):
    """Return what a call that must succeed prints."""
    capsys.readouterr()
    assert call(*words) == 0
    return capsys.readouterr().out


def analysed(name, size):
    import nets

    return rf.analyze(getattr(nets, name)().eval(), size)


def test_the_table_has_a_row_for_each_change_of_the_field(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = printed(capsys, "nets:small", "--input", "3x32x40")
    table, footer = text.split("\n\nSize")
    assert table + "\n" == TABLE
    assert "5 of 9 calls" in footer and "the 4 left out" in " ".join(footer.split())


def test_all_shows_every_call_and_depth_folds_blocks(folder, capsys):
    every = printed(capsys, "nets:deep", "--input", "3x80x80", "--all")
    assert len(re.findall(r"^\S+ +\d+x\d+ ", every, re.M)) == 31 * 3 + 1
    folded = printed(capsys, "nets:deep", "--input", "3x80x80")  # 31 changes do not fit 30 rows
    assert "32 of 94" in " ".join(folded.split()) and "depth 1" in folded
    assert "30.0" not in folded and "30 " in folded
    deeper = printed(capsys, "nets:deep", "--input", "3x80x80", "--depth", "2")
    assert "--all" in deeper and "depth" not in deeper


def test_a_block_stands_for_the_layer_that_gives_it_its_field(folder, capsys):
    """A residual block returns its body's field, after the shorter branch has run."""
    text = printed(capsys, "nets:residual", "--input", "3x24x24")
    rows = [line.split()[:3] for line in text.splitlines()[4:7]]
    assert rows == [["0", "24x24", "3"], ["1.branch", "12x12", "3"], ["1", "12x12", "7"]]


def test_a_note_is_cut_at_the_width_of_the_terminal(folder, capsys, monkeypatch):
    for width in (80, 100):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = printed(capsys, "nets:misaligned", "--input", "3x14x14").splitlines()
        assert max(map(len, lines)) <= width and any("misaligned: " in line for line in lines)


def number(value):
    """Read a number of the JSON or the CSV back: None, a whole number or a fraction."""
    if value in (None, ""):
        return None
    return Fraction(value) if Fraction(value).denominator > 1 else int(value)


@pytest.mark.parametrize(
    ("name", "size"),
    [("small", (3, 32, 40)), ("misaligned", (3, 14, 14)), ("signal", (1, 90))],
)
def test_json_and_csv_hold_every_field_exactly(folder, capsys, name, size):
    words = [f"nets:{name}", "--input", "x".join(map(str, size))]
    found = json.loads(printed(capsys, *words, "--format", "json"))
    rows = list(csv.DictReader(io.StringIO(printed(capsys, *words, "--format", "csv"))))
    report = analysed(name, size)
    assert found["model"] == f"nets:{name}" and found["input"] == list(size)
    axes = {1: "x", 2: "yx"}[len(size) - 1]
    for field, layer, row in zip(report.fields, found["layers"], rows, strict=True):
        assert (layer["layer"], layer["call"], layer["op"]) == (field.path, field.call, field.op)
        assert (layer["global"], layer["aligned"]) == (field.is_global, field.aligned)
        assert layer["why"] == row["why"] == field.why
        assert layer["global_axes"] == list(field.global_axes)
        assert row["global"] == str(field.is_global).lower() and row["call"] == str(field.call)
        for key in ("grid", "size", "stride", "padding", "period"):
            expected = list(getattr(field, key))
            assert [number(v) for v in layer[key]] == expected
            assert [number(row[f"{key}_{axis}"]) for axis in axes] == expected


def test_numbers_that_do_not_exist_are_null_in_strict_json(folder, capsys):
    text = printed(capsys, "nets:small", "--input", "3x32x40", "--layer", "5", "--format", "json")
    (layer,) = json.loads(text, parse_constant=pytest.fail)["layers"]
    assert layer["stride"] == layer["padding"] == [None, None]
    assert layer["smallest_input"] is None and layer["tile_multiple"] is None


def test_one_layer_in_detail_is_what_the_library_says(folder, capsys):
    words = ["nets:dilated", "--input", "3x40x36", "--layer", "1", "--unit", "2,9"]
    (layer,) = json.loads(printed(capsys, *words, "--format", "json"))["layers"]
    field = analysed("dilated", (3, 40, 36))["1"]
    assert layer["unit"] == [2, 9] and layer["layer"] == "1"
    assert layer["region"] == [list(ends) for ends in field.region((2, 9))]
    assert layer["region_in_image"] == [list(ends) for ends in field.region((2, 9), clip=True)]
    assert layer["centre"] == list(field.centre((2, 9)))
    assert layer["pixels_read"] == field.support((2, 9)).sum() < layer["pixels_in_hull"]
    assert layer["units_inside"] == field.units_inside
    assert layer["mean_share_inside"] == field.mean_share_inside
    text = printed(capsys, *words)
    rows, columns = field.region((2, 9))
    assert f"rows {rows[0]} to {rows[1]}, columns {columns[0]} to {columns[1]}" in text
    assert f"reads           {layer['pixels_read']} of the" in text
    csv_row = next(csv.DictReader(io.StringIO(printed(capsys, *words, "--format", "csv"))))
    assert csv_row["region_y_first"] == str(rows[0]) and csv_row["unit_x"] == "9"


def test_the_central_unit_is_the_default(folder, capsys):
    words = ["nets:dilated", "--input", "3x40x36", "--layer", "1", "--format", "json"]
    (layer,) = json.loads(printed(capsys, *words))["layers"]
    assert tuple(layer["unit"]) == analysed("dilated", (3, 40, 36))["1"].central_unit


def test_training_mode_is_asked_for(folder, capsys):
    words = ["nets:small", "--input", "3x32x40", "--layer", "1"]
    assert "whole input" not in printed(capsys, *words)
    assert "whole input" in printed(capsys, *words, "--train")


def test_an_operation_without_a_rule_can_be_taken_as_global(folder, capsys):
    text = printed(capsys, "nets:unruly", "--input", "3x8x8", "--unknown", "global")
    assert "fft" in text and "all" in text


def test_standard_output_holds_nothing_else(folder, capsys):
    assert call("nets:small", "--input", "3x32x40", "--format", "json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) and err == "a talkative model\n"


# What is drawn


def boxes(svg, kind):
    """Return the rectangles of a class: x, y, width, height."""
    found = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect")
    keys = ("x", "y", "width", "height")
    return [[float(r.get(k)) for k in keys] for r in found if r.get("class") == kind]


def check_regions(svg, image, region):
    """Assert that image and region are drawn to one scale, each where it is."""
    ((x0, y0, width, height),) = boxes(svg, "image")
    scale = width / image[1]
    assert height / image[0] == pytest.approx(scale, rel=1e-3)
    ((x, y, w, h),) = boxes(svg, "region")
    (top, bottom), (left, right) = region
    # coordinates are written with two decimals
    near = {"abs": 0.02}
    assert x == pytest.approx(x0 + left * scale, **near)
    assert y == pytest.approx(y0 + top * scale, **near)
    assert w == pytest.approx((right - left + 1) * scale, **near)
    assert h == pytest.approx((bottom - top + 1) * scale, **near)


@pytest.mark.parametrize("unit", [(0, 0), (3, 5), (11, 13)])
def test_image_and_region_are_drawn_to_scale_inside_and_outside(folder, unit):
    field = analysed("small", (3, 32, 40))["3"]
    svg = drawing.draw_field(field, unit)
    region = field.region(unit)
    check_regions(svg, (32, 40), region)
    (top, bottom), columns = region
    with pytest.raises(AssertionError):
        check_regions(svg, (32, 40), ((top + 1, bottom + 1), columns))
    with pytest.raises(AssertionError):
        check_regions(svg, (32, 40), (columns, (top, bottom)))


def filled(svg, shape):
    """Return the mask of input pixels that a drawing's support path fills."""
    ((x0, y0, width, _),) = boxes(svg, "image")
    (path,) = (
        p.get("d")
        for p in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}path")
        if p.get("class") == "support"
    )
    scale, mask = width / shape[1], np.zeros(shape, bool)
    for x, y, w, h in re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)h-[\d.]+z", path):
        column, row = (float(x) - x0) / scale, (float(y) - y0) / scale
        across, down = round(float(w) / scale), round(float(h) / scale)
        mask[round(row) : round(row) + down, round(column) : round(column) + across] = True
    return mask


def test_a_support_with_holes_is_drawn_pixel_by_pixel(folder):
    field = analysed("dilated", (3, 40, 36))["1"]
    for unit in [(0, 0), field.central_unit]:
        svg = drawing.draw_field(field, unit)
        assert np.array_equal(filled(svg, (40, 36)), field.support(unit))
    assert not field.support(unit)[tuple(slice(a, b + 1) for a, b in field.region(unit))].all()


def test_a_signal_is_a_strip(folder, capsys):
    assert call("nets:signal", "--input", "1x90", "--svg", "a.svg") == 0
    svg = (folder / "a.svg").read_text()
    ((first, last),) = analysed("signal", (1, 90))[""].region((17,))
    ((x0, y0, width, height),) = boxes(svg, "image")
    ((x, y, w, h),) = boxes(svg, "region")
    assert (y, h) == (y0, height)
    assert x == pytest.approx(x0 + first * width / 90, abs=0.02)
    assert w == pytest.approx((last - first + 1) * width / 90, abs=0.02)


def test_a_drawing_stands_alone_and_says_what_it_shows(folder, capsys):
    words = ["nets:small", "--input", "3x32x40", "--layer", "3", "--unit", "0,1"]
    printed(capsys, *words, "--svg", "a.svg")
    svg = (folder / "a.svg").read_text()
    root = ElementTree.fromstring(svg)
    title, described = root[0], root[1]
    assert title.text == "Receptive field of 3 of nets:small, unit 0, 1"
    assert "rows -3 to 3, columns -3 to 7" in described.text and root.get("role") == "img"
    assert root.get("aria-labelledby").split() == [title.get("id"), described.get("id")]
    assert "prefers-color-scheme" in svg
    assert not re.search(r"<script|href|url\(|@import|http(?!://www.w3.org/2000/svg)", svg)
    words = " ".join(t.text for t in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "field 7 × 11 px" in words and "image 32 × 40 px" in words and "stride 2 px" in words


def test_names_are_escaped_in_a_drawing():
    field = rf.analyze(nn.Conv2d(1, 1, 3), (1, 8, 8))[""]
    root = ElementTree.fromstring(drawing.draw_field(field, (0, 0), model="<a> & b"))
    assert "<a> & b" in root[0].text


def test_without_a_layer_the_last_local_one_is_drawn(folder, capsys):
    printed(capsys, "nets:small", "--input", "3x32x40", "--svg", "a.svg")
    assert "Receptive field of 4 of" in (folder / "a.svg").read_text()


def test_a_drawing_needs_one_or_two_axes():
    field = rf.analyze(nn.Conv3d(1, 1, 3), (1, 8, 8, 8))[""]
    with pytest.raises(ValueError, match="1 or 2 spatial axes, not 3"):
        drawing.draw_field(field, (0, 0, 0))


# What is refused, and what is written


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resnet51", "--input", "3x64x64"], "no model 'resnet51'; nearest: resnet50"),
        (["nets.py", "--input", "3x64x64"], "nets.py:callable"),
        (["nets:nothing", "--input", "3x64x64"], "cannot import nets:nothing"),
        (["absent.py:net", "--input", "3x64x64"], "there is no file absent.py"),
        (["torn.py:net", "--input", "3x64x64"], "cannot import torn.py:net"),
        (["nets:one", "--input", "3x64x64"], "nets:one is int"),
        (["nets:dict", "--input", "3x64x64"], "cannot import nets:dict"),
        (["nets:needs_width", "--input", "3x64x64"], "needs_width() failed: TypeError"),
        (["nets:small", "--input", "224"], "--input must be channels and one to three sides"),
        (["nets:small", "--input", "3x64x"], "such as 3x224x224 or 1x16000, not '3x64x'"),
        (["nets:small", "--input", "3x-4x5"], "not '3x-4x5'"),
        (["nets:small", "--input", "1x3x8x8x8"], "--input must be"),
        (["nets:small", "--input", "3x0x64"], "must be 1 to 1000000"),
        (["nets:small"], "--input"),
        (["nets:small", "--input", "5x32x32"], "module '0' refused"),
        (["nets:deep", "--input", "3x9x9"], "module '4.0' refused"),
        (["nets:small", "--input", "3x32x32", "--layer", "3.5"], "no layer '3.5' was called; near"),
        (["nets:small", "--input", "3x32x32", "--layer", "3", "--unit", "16,0"], "16x16 units"),
        (["nets:small", "--input", "3x32x32", "--layer", "3", "--unit", "1"], "last of which is"),
        (["nets:small", "--input", "3x32x32", "--layer", "3", "--unit", "a,b"], "such as 3,4"),
        (["nets:small", "--input", "3x32x32", "--unit", "1,1"], "--unit needs --layer or --svg"),
        (["nets:small", "--input", "3x32x32", "--depth", "0"], "--depth must be at least 1"),
        (["nets:small", "--input", "3x32x32", "--unknown", "maybe"], "invalid choice: 'maybe'"),
        (["nets:Pair", "--input", "3x32x32"], "(mask)"),
        (["nets:values", "--input", "3x32x32"], "looks at values"),
        (["nets:unruly", "--input", "3x32x32"], "aten._fft"),
        (["nets:broken", "--input", "3x32x32"], "KeyError"),
        (["nets:volume", "--input", "1x8x8x8", "--svg", "a.svg"], "1 or 2 spatial axes"),
        (["nets:small", "--input", "3x32x32", "-o", "absent/a"], "there is no folder"),
        (["nets:small", "--input", "3x32x32", "-o", "."], "it is a folder"),
        (["nets:small", "--input", "3x32x32", "--svg", "absent/a"], "there is no folder"),
        (["nets:small", "--input", "3x32x32", "-o", "a", "--svg", "./a"], "are the same file"),
    ],
)
def test_what_cannot_work_is_one_line_and_writes_nothing(folder, capfd, words, message):
    (folder / "torn.py").write_text("def net(:\n")
    before = sorted(folder.iterdir())
    capfd.readouterr()
    assert call(*words) == 2
    out, err = capfd.readouterr()
    err = err.replace("a talkative model\n", "")  # what it prints is not ours
    assert message in err
    assert err.startswith("erfbook: error: ") and err.count("\n") == 1 and not out
    assert [f for f in sorted(folder.iterdir()) if f.name != "__pycache__"] == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_file_without_permission_is_refused(folder, capsys):
    (folder / "locked").mkdir(mode=0o500)
    assert call("nets:small", "--input", "3x32x32", "-o", "locked/out") == 2
    assert "no permission" in capsys.readouterr().err


def test_files_are_replaced_whole(folder, capsys):
    (folder / "out.csv").write_text("old")
    words = ["nets:small", "--input", "3x32x40", "--format", "csv"]
    text = printed(capsys, *words)
    assert printed(capsys, *words, "-o", "out.csv", "--svg", "a.svg") == ""
    assert (folder / "out.csv").read_text() == text
    assert (folder / "a.svg").read_text().startswith("<svg")
    assert {f.name for f in folder.iterdir()} - {"__pycache__"} == {"nets.py", "out.csv", "a.svg"}


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (OSError(28, "full"), 1)])
def test_an_interrupt_or_a_full_disk_leaves_files_as_they_were(
    folder, capsys, monkeypatch, error, code
):
    (folder / "out").write_text("old")
    replaced = []

    def stop(*arguments):
        if replaced:
            raise error
        replaced.append(1)

    monkeypatch.setattr(command.Path, "chmod", stop)
    assert call("nets:small", "--input", "3x32x40", "-o", "out", "--svg", "a.svg") == code
    assert (folder / "out").read_text() == "old" and "Traceback" not in capsys.readouterr().err
    assert {f.name for f in folder.iterdir()} - {"__pycache__"} == {"nets.py", "out"}


def test_a_reader_who_leaves_is_not_shown_a_traceback(folder):
    """All calls are more text than a pipe holds; and none of this needs torchvision."""
    program = (
        "import sys, erfbook.cli; code = erfbook.cli.main(sys.argv[1:]); "
        "assert 'torchvision' not in sys.modules; raise SystemExit(code)"
    )
    words = "rf nets.py:deep --input 3x80x80 --format json | head -1"
    script = f'{sys.executable} -c "{program}" {words}'
    done = subprocess.run(script, shell=True, capture_output=True, text=True, cwd=folder)
    assert done.stdout == "{\n" and done.stderr == ""


# How models are found


def test_a_file_is_named_by_its_path_and_finds_its_neighbours(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere")
    (other / "parts.py").write_text("width = 5\n")
    (other / "my net.py").write_text(
        "from torch import nn\nimport parts\ndef make():\n    return nn.Conv2d(3, parts.width, 3)\n"
    )
    model = models.load_model(f"{other}/my net.py:make")
    assert model.out_channels == 5 and not model.training
    sys.path.remove(str(other))


def test_a_model_that_is_made_already_is_taken_as_it_is(folder):
    import nets

    assert models.load_model("nets:made") is nets.made


@pytest.mark.parametrize(
    "name", ["resnet18", "fcn_resnet50", "retinanet_resnet50_fpn", "r3d_18", "vit_b_16"]
)
def test_networks_of_every_task_are_made_without_weights_or_download(name, monkeypatch):
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", pytest.fail)
    model = models.load_model(name, shapes_only=True)
    heavy = [p for p in model.parameters() if p.numel() > 10_000 and not p.is_meta]
    assert not heavy and not model.training


def test_shapes_only_keeps_the_values_a_constructor_computes(folder):
    (folder / "tables.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv = nn.Conv2d(3, 3, 3)\n"
        "        self.register_buffer('order', torch.tensor([2, 0, 1]).flip(0))\n"
        "def looks():\n"
        "    net = Net()\n"
        "    net.scale = float(net.conv.weight.abs().sum())\n"
        "    return net\n"
    )
    model = models.load_model("tables.py:Net", shapes_only=True)
    assert model.order.tolist() == [1, 0, 2] and model.conv.weight.is_meta
    looked = models.load_model("tables.py:looks", shapes_only=True)  # needs its weights
    assert looked.scale > 0 and math.isfinite(looked.scale)


OWN = """
import torch
from torch import nn
class Thrice(nn.Module):
    def __init__(s): super().__init__(); s.c = nn.Conv2d(3, 3, 3)
    def forward(s, x): return s.c(s.c(s.c(x)))
class Summed(nn.Module):
    def forward(s, x): return x.cumsum(3)
"""


def test_a_call_is_chosen_by_the_name_in_the_table_and_named_in_the_details(tmp_path, capsys):
    from erfbook.cli import main

    (tmp_path / "own.py").write_text(OWN)
    model = [f"{tmp_path / 'own.py'}:Thrice", "--input", "3x16x16"]
    assert not main(["rf", *model, "--layer", "c (call 2)"])
    text = capsys.readouterr().out
    assert text.startswith("c (call 2) of ") and "5 px" in text
    assert not main(["rf", *model, "--layer", "c"])
    assert capsys.readouterr().out.startswith("c (call 3) of ")


def test_an_operation_without_a_rule_is_told_with_the_commands_own_option(tmp_path, capsys):
    from erfbook.cli import main

    (tmp_path / "own.py").write_text(OWN)
    model = [f"{tmp_path / 'own.py'}:Summed", "--input", "3x16x16"]
    assert main(["rf", *model])
    said = capsys.readouterr().err
    assert "aten.cumsum has no rule: it sums" in said and "--unknown global takes" in said
    assert "unknown='global'" not in said and "register" not in said
    assert not main(["rf", *model, "--unknown", "global"])
