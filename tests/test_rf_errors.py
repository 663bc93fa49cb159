"""Input that cannot be analysed: one line that names the place, what came and what to do."""

import pytest
import torch
import torchvision
from torch import nn

from erfbook import rf
from erfbook.rf import rules


class Takes(nn.Module):
    """A model of a function of the image and of further arguments."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Pair(nn.Module):
    def forward(self, image, other, *, scale=1):
        return image * other * scale


class Masked(nn.Module):
    def forward(self, image, *, mask):
        return image * mask


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(5, 4, 3))

    def forward(self, x):
        return self.encoder(x)


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text.strip()
    return text


@pytest.mark.parametrize(
    ("model", "size", "module", "shape"),
    [
        (nn.Conv2d(3, 4, 3), (1, 8, 8), "the model", "(1, 1, 8, 8)"),
        (nn.Conv2d(1, 4, 9), (1, 8, 8), "the model", "(1, 1, 8, 8)"),
        (nn.MaxPool2d(9), (1, 8, 8), "the model", "(1, 1, 8, 8)"),
        (nn.Conv2d(3, 4, 3), (3, 8), "the model", "(1, 3, 8)"),
        (Nested(), (3, 8, 8), "'encoder.1'", "(1, 4, 6, 6)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(10, 2)), (1, 8, 8), "'1'", "(1, 64)"),
        (torchvision.models.vgg11(weights=None), (3, 20, 20), "'features.20'", "(1, 512, 1, 1)"),
    ],
    ids=["channels", "kernel", "pool", "axes", "nested", "linear", "too small"],
)
def test_a_wrong_size_names_the_layer_that_refused_and_the_shape_it_got(model, size, module, shape):
    with pytest.raises(rf.InputError, match="refused") as error:
        rf.analyze(model, size)
    text = one_line(error)
    assert module in text and shape in text and str(size) in text


def test_further_inputs_are_asked_for_by_name():
    with pytest.raises(rf.TraceError, match=r"\(other\) as args=\(...\) or kwargs=") as error:
        rf.analyze(Pair(), (1, 8, 8))
    one_line(error)
    with pytest.raises(rf.TraceError, match=r"\(mask\) as args="):
        rf.analyze(Masked(), (1, 8, 8))
    with pytest.raises(rf.TraceError, match="cannot be called with an image alone: missing"):
        rf.analyze(Masked(), (1, 8, 8))
    with pytest.raises(
        rf.TraceError, match="cannot be called with an image, int, int, scale: too many"
    ):
        rf.analyze(Pair(), (1, 8, 8), args=(3, 4), kwargs={"scale": 2})


def test_further_inputs_are_no_part_of_the_image():
    other = torch.ones(1, 1, 8, 8)
    field = rf.analyze(Pair(), (1, 8, 8), args=(other,), kwargs={"scale": 2})[""]
    assert field.region((3, 4)) == ((3, 3), (4, 4))
    assert rf.analyze(Masked(), (1, 8, 8), kwargs={"mask": torch.ones(8)})[""].size == (1, 1)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x if x.sum() > 0 else -x,
        lambda x: x[..., : int(x.max())],
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x.repeat(1, 1, x.argmax().item()),
    ],
)
def test_a_model_that_looks_at_values_is_refused(function):
    with pytest.raises(rf.TraceError, match=r"'1'.*depend on the data|has no rule"):
        rf.analyze(nn.Sequential(nn.ReLU(), Takes(function)), (1, 8))


def test_an_output_of_size_zero_is_refused():
    with pytest.raises(rf.TraceError, match=r"'1'.*\(1, 1, 8, 0\)") as error:
        rf.analyze(nn.Sequential(nn.ReLU(), Takes(lambda x: x[..., 9:])), (1, 8, 8))
    one_line(error)


@pytest.fixture(scope="module")
def turned_over():
    """An operation that nobody has heard of."""

    @torch.library.custom_op("erfbook_tests::turned_over", mutates_args=())
    def turned_over(x: torch.Tensor) -> torch.Tensor:
        return x.flip(-1)

    @turned_over.register_fake
    def _(x):
        return torch.empty_like(x)

    return turned_over


def test_an_unknown_operation_is_named_with_its_module_and_the_way_out(turned_over):
    model = nn.Sequential(nn.Conv1d(1, 1, 3), nn.Sequential(Takes(turned_over)))
    message = (
        r"erfbook_tests.turned_over in module '1.0' has no rule; register one with "
        r"erfbook.rf.register\('erfbook_tests.turned_over'\), or pass unknown='global'"
    )
    with pytest.raises(rf.TraceError, match=message) as error:
        rf.analyze(model, (1, 8))
    one_line(error)


def test_an_unknown_operation_can_be_taken_as_global(turned_over):
    model = nn.Sequential(nn.Conv1d(1, 1, 3), Takes(turned_over), nn.Conv1d(1, 1, 1))
    report = rf.analyze(model, (1, 8), unknown="global")
    assert not report["0"].is_global
    for path in ("1", "2"):
        assert report[path].is_global and "turned_over" in report[path].why
        assert report[path].support((0,)).all() and report[path].stride == (None,)


def test_a_registered_rule_is_used(turned_over, monkeypatch):
    monkeypatch.setattr(rules.registry, "_RULES", dict(rules.registry._RULES))

    @rf.register("erfbook_tests.turned_over")
    def as_it_is(op):
        return op.only("x")

    model = nn.Sequential(nn.Conv1d(1, 1, 3), Takes(turned_over))
    assert rf.analyze(model, (1, 8))[""].region((4,)) == ((4, 6),)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rf.analyze(nn.ReLU(), (3,)), ValueError, r"input_size must be .* not \(3,\)"),
        (lambda: rf.analyze(nn.ReLU(), (3, 0)), ValueError, r"input_size must be .* not \(3, 0\)"),
        (lambda: rf.analyze(nn.ReLU(), (3, 4), unknown="skip"), ValueError, "'error' or 'global'"),
        (lambda: rf.analyze(nn.ReLU(), (3, 4))["relu"], KeyError, "no layer 'relu'"),
        (lambda: rf.analyze(Nested().encoder[:1], (3, 8, 8))["1"], KeyError, "nearest.*'0'|see"),
        (lambda: rf.analyze(nn.ReLU(), (3, 4))[""].region((4,)), ValueError, r"grid \(4,\)"),
        (lambda: rf.analyze(nn.ReLU(), (3, 4))[""].support((1, 1)), ValueError, r"grid \(4,\)"),
        (lambda: rf.analyze(nn.ReLU(), (3, 4))[""].centre((7,)), ValueError, r"grid \(4,\)"),
        (
            lambda: rf.analyze(nn.ReLU(), (3, 4))[""].units_seeing((-1,)),
            ValueError,
            r"image \(4,\)",
        ),
    ],
)
def test_a_wrong_argument_is_named_with_what_came(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_nearest_layers_are_named():
    model = nn.Sequential()
    for name in ("stem", "layer1", "layer2", "head"):
        model.add_module(name, nn.ReLU())
    report = rf.analyze(model, (1, 8))
    with pytest.raises(
        KeyError, match=r"no layer 'layer3' was called; nearest: 'layer2', 'layer1'"
    ):
        report["layer3"]
    with pytest.raises(KeyError, match=r"'steam'.*nearest: 'stem'"):
        report.calls("steam")


def test_a_failed_analysis_leaves_the_model_as_it_was():
    model = Nested()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    with pytest.raises(rf.InputError, match="refused"):
        rf.analyze(model, (3, 8, 8))
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 3, 3)

    def forward(self, x):
        return self.c(self.c(self.c(x)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: nn.ModuleList([Net()]), "ModuleList has no forward, so there is nothing to run"),
        (lambda: nn.ModuleDict({"a": Net()}), "ModuleDict has no forward"),
        (lambda: Takes(lambda x: x + torch.from_numpy(x.numpy())), "looks at values"),
        (lambda: Takes(lambda x: {}["nope"]), r"the model stopped on .*: KeyError: 'nope'"),
        (lambda: torch.jit.script(Net()), "the model is TorchScript"),
        (lambda: torch.jit.trace(Net(), torch.zeros(1, 3, 9, 9)), "the model is TorchScript"),
        (lambda: nn.Sequential(torch.jit.script(Net())), "module '0' is TorchScript"),
    ],
)
def test_the_reason_is_the_true_one(model, message):
    with pytest.raises(rf.TraceError, match=message) as error:
        rf.analyze(model(), (3, 16, 16))
    assert not isinstance(error.value, rf.InputError) and "refused" not in one_line(error)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_compiled_model_is_the_model_that_was_compiled():
    field = rf.analyze(torch.compile(Net()), (3, 16, 16))[""]
    assert field.size == (7, 7)


def test_every_output_has_a_name_however_deep_it_lies():
    def nested(x):
        a, b = x[:, :, 1:], x[:, :, 2:]
        return {"feats": [a, b], "out": b, "n": 3, "none": None, "deep": {"x": (a, {"y": b})}}

    names = ["[feats][0]", "[feats][1]", "[out]", "[deep][x][0]", "[deep][x][1]"]
    report = rf.analyze(Takes(nested), (1, 8, 8))
    assert list(report) == names
    assert report["[feats][0]"].padding == (-1, 0) and report["(model)[out]"].padding == (-2, 0)


def test_each_call_of_a_module_is_found_by_the_name_that_the_table_gives_it():
    report = rf.analyze(Net(), (3, 16, 16))
    sizes = [report[f"c (call {i})"].size for i in (1, 2, 3)]
    assert sizes == [(3, 3), (5, 5), (7, 7)] and report["c"].call == 2
    assert report["(model)"] is report[""] and "c (call 2)" in report
    assert rf.tiling(report, "c (call 2)").after == (4, 4)
    assert rf.smallest_input(Net(), (3, 16, 16), "c (call 2)") == (7, 7)  # call 3 needs them
    with pytest.raises(KeyError, match="no layer 'c \\(call 4\\)'"):
        report["c (call 4)"]
