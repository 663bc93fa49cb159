"""Layers of networks side by side: each call its own row, and nothing left changed."""

import copy
import itertools
import logging

import numpy as np
import pytest
import torch
from theory_oracles import rejects
from torch import nn

from erfbook import similarity
from erfbook.similarity import compare, linear_cka, passes, represent
from erfbook.similarity.compare import compare_representations, fall_back
from erfbook.similarity.layers import Layer, choose_modules

TOLERANCE = 1e-11  # as in test_similarity


class InPlace(nn.Module):
    """A convolution that what follows overwrites, module and function."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        x = self.relu(self.conv(x))
        x = self.norm(x)
        return self.head(nn.functional.relu_(x).mean((2, 3)))


class Reused(nn.Module):
    """One linear layer called three times, then a recurrent one that returns a nest of tensors."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.lstm = nn.LSTM(3, 4, batch_first=True)

    def forward(self, x):
        for _ in range(3):
            x = torch.tanh(self.linear(x))
        out, (_, _) = self.lstm(x.reshape(len(x), 2, 3))
        return {"out": out}


def images(sizes=(7, 9, 4), shape=(3, 8, 8), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(n, *shape, generator=generator), torch.zeros(n)) for n in sizes]


def seeded(make, seed=0):
    torch.manual_seed(seed)
    model = make()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model


def together(batches):
    return torch.cat([x for x, _ in batches])


def hooked_without_copies(model, batches, layers=None):
    """The usual way, wrong: outputs are kept by name, not copied, the last call wins."""
    kept = {}
    handles = [
        m.register_forward_hook(lambda m, i, o, name=name: kept.__setitem__(name, o))
        for name, m in choose_modules(model, layers).items()
    ]
    with torch.no_grad():
        model.eval()(together(batches))
    for handle in handles:
        handle.remove()
    features = [v.flatten(1) for v in kept.values() if isinstance(v, torch.Tensor)]
    return np.array([[linear_cka(a, b) for b in features] for a in features])


def test_overwritten_outputs_are_compared_as_they_were():
    model, batches = seeded(InPlace), images()

    def check(version):
        x = together(batches)
        with torch.no_grad():
            conv = model.eval().conv(x)
            features = [conv, conv.relu(), model(x)]
        truth = [[linear_cka(a.flatten(1), b.flatten(1)) for b in features] for a in features]
        found = version(model, batches)
        assert found.shape == (3, 3) and np.allclose(found, truth, atol=TOLERANCE)

    check(lambda model, batches: compare(model, model, batches).matrix)
    rejects(check, hooked_without_copies)


def test_each_call_of_a_module_is_a_layer():
    model, batches = seeded(Reused), images((8, 6), (6,))

    def check(version):
        with torch.no_grad():
            x, calls = together(batches), []
            for _ in range(3):
                calls.append(model.linear(x))
                x = torch.tanh(calls[-1])
        truth = [[linear_cka(a, b) for b in calls] for a in calls]
        assert np.allclose(version(model, batches, "linear"), truth, atol=TOLERANCE)

    check(lambda model, batches, layers: compare(model, model, batches, layers=layers).matrix)
    with pytest.raises((AssertionError, ValueError)):  # one row, or shapes that do not fit
        check(hooked_without_copies)


def test_each_tensor_of_a_tuple_is_a_layer_if_it_has_a_row_an_image():
    model, batches = seeded(Reused), images((8, 6), (6,))
    names = [str(layer) for layer in compare(model, model, batches, layers="linear").layers_a]
    assert names == ["linear", "linear (call 2)", "linear (call 3)"]
    with pytest.raises(ValueError, match=r"layer lstm \[1\] gives \(1, 8, 4\) for 8 images"):
        compare(model, model, batches)  # an LSTM's states have the batch in their second axis

    class Pair(nn.Module):
        def forward(self, x):
            return {"a": x, "b": [x**2, torch.ones(3, dtype=torch.int64)]}

    found = compare(nn.Sequential(Pair()), nn.Sequential(nn.Tanh()), batches, layers="0")
    assert found.layers_a == (Layer("0"), Layer("0", part=1)) and found.matrix.shape == (2, 1)


@pytest.mark.parametrize("debiased", [True, False])
def test_the_matrix_holds_the_index_of_each_pair_of_layers(debiased):
    a, b, batches = seeded(InPlace, 0), seeded(InPlace, 1), images()
    found = compare(a, b, batches, layers="head", layers_b=["norm", "head"], debiased=debiased)
    assert [str(layer) for layer in found.layers_b] == ["norm", "head"]
    x = together(batches)
    with torch.no_grad():
        head = a.eval()(x)
        norm, other = b.eval().norm(b.conv(x).relu()), b(x)
    truth = [linear_cka(head, norm.flatten(1), debiased), linear_cka(head, other, debiased)]
    assert np.allclose(found.matrix, [truth], atol=TOLERANCE)
    # float32 convolutions round differently for other sizes of the batch: 1e-7 of a feature
    again = compare(a, b, images(), layers="head", layers_b=["norm", "head"], debiased=debiased)
    assert np.array_equal(found.matrix, again.matrix) and found.n == 20


def test_little_memory_changes_nothing():
    model, batches = seeded(InPlace), images()
    usual = represent(model, batches)
    # 2 kB hold 25 of the 144 features of 20 images: more passes, slices within layers
    little = represent(model, batches, memory_gib=2e-6)
    assert usual.n_features == little.n_features == (144, 144, 5)
    assert torch.allclose(usual.below, little.below, atol=TOLERANCE, rtol=TOLERANCE)


def test_slices_cover_every_feature_once_within_the_budget():
    shapes = {Layer("a"): (100, torch.float32), Layer("b"): (7, torch.float16)}
    for budget in (1, 50, 400, 1200, 10**6):
        groups = list(passes.plan_groups(shapes, 10, budget))
        columns = [(s.layer, i) for s in itertools.chain(*groups) for i in range(s.start, s.stop)]
        assert columns == [(layer, i) for layer, (d, _) in shapes.items() for i in range(d)]
        sizes = [sum((s.stop - s.start) * 10 * shapes[s.layer][1].itemsize for s in g)
                 for g in groups]  # fmt: skip
        assert all(size <= max(budget, 40) for size in sizes)  # a column at the least


def test_the_first_images_alone_are_what_they_would_be_alone():
    model, batches = seeded(InPlace), images()
    part = represent(model, batches).first(16)  # the first two batches
    alone = represent(model, batches[:2])
    found, truth = (compare_representations(r, r).matrix for r in (part, alone))
    assert np.allclose(found, truth, atol=TOLERANCE)
    with pytest.raises(ValueError, match="n must be 4 to 20"):
        represent(model, batches).first(21)


class Lookup(nn.Module):
    """Gives each image, a number, its row of a table."""

    def __init__(self, rows):
        super().__init__()
        self.rows = nn.Embedding.from_pretrained(rows)

    def forward(self, x):
        return self.rows(x)


def as_given(*tables):
    numbers = [torch.arange(len(tables[0]))]
    return [represent(Lookup(rows), numbers) for rows in tables]


def test_shares_and_equal_length_are_those_of_the_rows():
    x, y = torch.randn(2, 30, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    first, second = as_given(x, y + x)
    far = (x - x.mean(0)).pow(2).sum(1)
    assert torch.allclose(first.shares()[0], far / far.sum(), rtol=1e-12)

    def check(version):
        found = compare_representations(first.at_equal_length(), second.at_equal_length()).matrix
        assert abs(found.item() - version(x, y + x)) < TOLERANCE

    def equal(rows):
        return nn.functional.normalize(rows - rows.mean(0))

    check(lambda a, b: linear_cka(equal(a), equal(b)))
    rejects(check, linear_cka)
    rejects(check, lambda a, b: linear_cka(*(nn.functional.normalize(r) for r in (a, b))))


def test_an_image_far_from_all_others_decides_a_cka_unless_lengths_are_equal():
    x = torch.randn(100, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    one, other = x.clone(), x.clone()
    one[3, 0] += 1000
    other[7, 1] += 1000  # the same layer, but for one image each
    first, second = as_given(one, other)
    assert first.shares()[0, 3] > 0.98 and second.shares()[0, 7] > 0.98
    assert abs(compare_representations(first, second).matrix.item()) < 0.01
    lengths = (r.at_equal_length() for r in (first, second))
    assert compare_representations(*lengths).matrix.item() > 0.8


def test_an_image_at_the_mean_stays_there():
    x = torch.tensor([[0.0, 0], [1, 0], [-1, 0], [0, 2], [0, -2]], dtype=torch.float64)
    (found,) = as_given(x)
    assert found.at_equal_length().diagonal.tolist() == [[0, 1, 1, 1, 1]]
    assert torch.isfinite(found.at_equal_length().below).all()


def test_minibatches_average_the_estimate_of_each():
    a, b, batches = seeded(InPlace, 0), seeded(InPlace, 1), images((5, 9, 6))

    def off_diagonal(x, y):
        k, m = ((c @ c.T).fill_diagonal_(0) for c in (x, y))
        n, one = len(x), torch.ones(len(x), dtype=x.dtype)
        cross = (k * m).sum() + one @ k @ one * (one @ m @ one) / ((n - 1) * (n - 2))
        return (cross - 2 / (n - 2) * (one @ k @ m @ one)) / (n * (n - 3))

    with torch.no_grad():
        heads = [(a.eval()(x).double(), b.eval()(x).double()) for x, _ in batches]
    sums = [
        sum(len(x) * off_diagonal(p, q) for x, y in heads for p, q in [pick(x, y)])
        for pick in (lambda x, y: (x, y), lambda x, y: (x, x), lambda x, y: (y, y))
    ]
    truth = sums[0] / (sums[1] * sums[2]).sqrt()
    found = compare(a, b, batches, layers="head", minibatch=True)
    # products of 5 features in float32, 2^-24 each; HSIC_1 of so few images cancels some digits
    assert np.allclose(found.matrix, truth, atol=1e-5) and found.batch_size == 9
    one = compare(a, b, [together(batches)], minibatch=True).matrix
    # the batch's size moves float32 convolutions by 1e-7
    assert np.allclose(one, compare(a, b, batches).matrix, atol=1e-5)


class Viewing(nn.Module):
    """A network that reads its planes' memory as rows, and so refuses channels last."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(144, 5)
        self.orders = []

    def forward(self, x):
        self.orders.append(x.is_contiguous())
        return self.head(self.conv(x).view(len(x), -1))


def test_batches_run_with_channels_last_where_the_model_takes_it():
    a, b, batches = seeded(Viewing, 0), seeded(Viewing, 1), images((8, 9))
    found = compare(a, b, batches, minibatch=True)
    assert a.orders == [False, True, True]  # refused once, and not offered again
    assert [str(layer) for layer in found.layers_a] == ["conv", "head"]
    one = compare(a, b, [together(batches)], minibatch=True).matrix
    # products and convolutions in float32, 2^-24 each; HSIC_1 of 17 images cancels some digits
    assert np.allclose(one, compare(a, b, batches).matrix, atol=1e-5)

    def wrong(x):
        raise RuntimeError("of the model's own")

    a.forward = wrong
    with pytest.raises(RuntimeError, match="of the model's own"):
        compare(a, b, batches, minibatch=True)


def test_a_constant_layer_of_batches_is_named():
    model = seeded(InPlace)
    nn.init.constant_(model.conv.weight, 0)
    nn.init.constant_(model.conv.bias, 0.1)  # whose mean over a batch is rounded
    found = compare(model, seeded(InPlace, 1), images((11, 13)), minibatch=True)
    assert np.isnan(found.matrix).all() and found.constant == found.layers_a


def test_models_are_left_as_they_were():
    model = seeded(InPlace).train()
    model.norm.eval()
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    compare(model, model, images())
    bad = [(x * float("nan"), y) for x, y in images()]
    with pytest.raises(ValueError, match="layer conv has features that are not finite"):
        compare(model, model, bad)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert modes == [m.training for m in model.modules()]
    assert not any(m._forward_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())


def test_a_constant_layer_is_named_and_does_not_stop_the_others():
    model = seeded(InPlace)
    nn.init.constant_(model.conv.weight, 0)
    nn.init.constant_(model.conv.bias, 0.1)
    found = compare(model, seeded(InPlace, 1), images())
    assert np.isnan(found.matrix).all() and found.constant == found.layers_a
    healthy = seeded(InPlace, 1)
    found = compare(healthy, model, images(), layers=["conv"], layers_b=["conv", "head"])
    assert found.constant == found.layers_a
    nn.init.constant_(healthy.head.weight, 0)
    found = compare(healthy, healthy, images())
    assert [str(layer) for layer in found.constant] == ["head"]
    assert np.isfinite(found.matrix[:2, :2]).all() and np.isnan(found.matrix[2]).all()


class Shuffling:
    """What a loader with shuffle=True does: another order each time."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(0)

    def __iter__(self):
        x = together(images())
        yield from x[torch.randperm(len(x), generator=self.generator)].split(10)


@pytest.mark.parametrize(
    "batches, options, says",
    [
        (iter(images()), {}, r"gone through only once.*list\(batches\)"),
        ([], {}, "hold 0 images"),
        (images((2, 1)), {}, "hold 3 images; CKA needs 4"),
        (Shuffling(), {}, "differs from the first pass: .*must not shuffle"),
        ([{"x": 1}], {}, r"batches must be \(inputs, targets\) .* not dict"),
        (images((5, 3)), {"minibatch": True}, "a batch has 3 images; minibatch needs 4"),
        (images(), {"minibatch": True, "debiased": False}, "minibatch needs debiased=True"),
        (images(), {"layers": "cnov"}, "no module's path fits 'cnov'; near it: conv"),
        (images(), {"layers": []}, "layers is empty"),
    ],
)
def test_what_cannot_be_compared_is_refused(batches, options, says):
    model = seeded(InPlace)
    with pytest.raises(ValueError, match=says):
        compare(model, model, batches, **options)


def test_memory_must_be_positive():
    with pytest.raises(ValueError, match="memory_gib must be positive, not 0"):
        represent(seeded(InPlace), images(), memory_gib=0)


def test_layers_that_vary_between_batches_are_refused():
    class Shifty(nn.Module):
        def __init__(self):
            super().__init__()
            self.act, self.rare = nn.ReLU(), nn.Tanh()

        def forward(self, x):
            return self.rare(x) if len(x) == 7 else self.act(x)

    with pytest.raises(ValueError, match="layer rare was called in the first batch only"):
        represent(Shifty(), images())
    with pytest.raises(ValueError, match="none of the chosen layers was called: act"):
        represent(Shifty(), images(), layers="act")
    sizes = [torch.randn(5, 3, s, s) for s in (8, 9)]
    with pytest.raises(ValueError, match="layer 0 has 243 features an image and had 192"):
        represent(nn.Sequential(nn.ReLU()), sizes)


def test_a_full_device_is_left_for_the_host(caplog):
    model, batches, tried = seeded(InPlace), images(), []

    def attempt(place):
        tried.append(place)
        if place.type != "cpu":
            raise torch.OutOfMemoryError("full")
        return represent(model, batches)

    with caplog.at_level(logging.WARNING, logger="erfbook.similarity"):
        assert fall_back(attempt, torch.device("cuda")).n == 20
    assert [p.type for p in tried] == ["cuda", "cpu"] and "memory of cuda is full" in caplog.text

    def always(place):
        raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError, match="full"):
        fall_back(always, torch.device("cpu"))
    tried.clear()
    fall_back(attempt, torch.device("mps"))  # knows no float64
    assert [p.type for p in tried] == ["cpu"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_what_the_processor_gives():
    a, b, batches = seeded(InPlace, 0), seeded(InPlace, 1), images((40, 60))
    here = compare(a, b, batches).matrix
    there = compare(a.cuda(), b, batches)  # also on two devices
    assert np.allclose(here, there.matrix, atol=1e-3)  # TF32 may round convolutions to 2^-11


def test_default_layers_leave_out_what_only_arranges():
    model = nn.Sequential(
        nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Identity(), nn.Dropout(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 2),
    )  # fmt: skip
    assert list(choose_modules(model, None)) == ["0", "2", "5", "7"]
    with pytest.raises(ValueError, match="no layers that are known"):
        choose_modules(nn.Sequential(nn.Identity()), None)


def test_public_names_are_those_of_the_plan():
    assert {"linear_cka", "compare", "represent", "Similarity"} <= set(similarity.__all__)


@pytest.mark.parametrize("minibatch", [False, True])
def test_a_bar_is_drawn_on_a_terminal_only(capsys, minibatch):
    """The error stream of a test is no terminal."""
    a, b = seeded(InPlace, 0), seeded(InPlace, 1)
    compare(a, b, images((5, 9)), minibatch=minibatch, progress="likeness")
    assert capsys.readouterr().err == ""
