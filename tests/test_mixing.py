"""Models that mix the inputs of a batch: found by running them, and measured one by one."""

import functools
import sys

import pytest
import torch
from test_measure import Branches, by_hand, chain, dilated, inputs, net
from torch import nn
from torch.nn import functional as F

from erfbook import erf


class Between(nn.Module):
    """A convolution, what is under test as a function of a batch, and another convolution."""

    def __init__(self, mix):
        super().__init__()
        self.mix = mix
        self.before = nn.Conv2d(2, 4, 3, padding=1)
        self.after = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x):
        return self.after(torch.relu(self.mix(self.before(x))))


def attention_over_the_batch(x):
    tokens = x.flatten(1)
    return (torch.softmax(tokens @ tokens.T / 100, 1) @ tokens).view_as(x)


MIXING = {
    "batch norm": nn.BatchNorm2d(4, track_running_stats=False).double(),
    "functional batch norm": lambda x: F.batch_norm(x, None, None, training=True),
    "maximum": lambda x: x / x.amax(),
    "detached maximum": lambda x: x.tanh() * x.detach().abs().amax(),
    "detached mean": lambda x: x - x.detach().mean(0) / 2,
    "slight": lambda x: (x * (1 + 1e-7 * x.detach().mean().tanh())).tanh(),
    "neighbour": lambda x: x * x.roll(1, 0),
    "softmax": lambda x: x.softmax(0) + x,
    "attention": attention_over_the_batch,
    "place in the batch": lambda x: x * torch.arange(1.0, len(x) + 1).double()[:, None, None, None],
    "number of inputs": lambda x: x / len(x),
}

APART = {
    "instance norm": nn.InstanceNorm2d(4),
    "group norm": nn.GroupNorm(2, 4).double(),
    "fixed batch norm": nn.BatchNorm2d(4).double().eval(),
    "maximum of each": lambda x: x / x.amax((1, 2, 3), keepdim=True),
    "halves as inputs": lambda x: torch.cat(torch.cat(x.chunk(2, 1)).tanh().chunk(2), 1),
    "root of zero": lambda x: torch.relu(x) ** 0.75,
}


def is_mean_of_each_alone(model, x, **options):
    """Whether measured values are the mean of gradients that were taken one by one."""
    found = erf.measure(model, x, "after", (4, 5), **options)
    expected = by_hand(model, x, "after", (4, 5)).abs().mean(0).sum(0).numpy()
    # float64 rounding, as in test_measure: 1e-10 of the largest gradient is far above it
    return found.one_by_one, abs(found.values - expected).max() <= 1e-10 * expected.max()


@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize("mix", MIXING)
def test_what_mixes_a_batch_is_measured_one_by_one(mix, batch_size):
    model = net(functools.partial(Between, MIXING[mix]))
    assert is_mean_of_each_alone(model, inputs((9, 11), n=5), batch_size=batch_size) == (True, True)


@pytest.mark.parametrize("apart", APART)
def test_what_keeps_inputs_apart_shares_batches(apart):
    model = net(functools.partial(Between, APART[apart]))
    assert is_mean_of_each_alone(model, inputs((9, 11), n=5)) == (False, True)


@pytest.mark.parametrize("make", [chain, dilated, Branches])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_rounding_is_not_taken_for_mixing(make, dtype):
    model, x = net(make).to(dtype), inputs((70, 64), n=3)
    assert not erf.measure(model, x).one_by_one


def test_the_batch_decides_where_mixing_is_not_looked_for(monkeypatch):
    """The law above fails on the mean that a batch gives, for every kind of mixing."""
    monkeypatch.setattr(sys.modules["erfbook.erf.measure"], "mixes_inputs", lambda *given: False)
    for mix in MIXING.values():
        model = net(functools.partial(Between, mix))
        assert is_mean_of_each_alone(model, inputs((9, 11), n=5)) == (False, False)


def test_an_input_without_a_gradient_does_not_hide_that_a_batch_is_mixed():
    class Dead(nn.Module):
        def __init__(self):
            super().__init__()
            self.after = nn.BatchNorm2d(2, track_running_stats=False)

        def forward(self, x):
            alive = (x.amax((1, 2, 3), keepdim=True) > 0).to(x)
            return self.after(x.tanh() * alive)

    x = inputs((9, 11), n=5)
    x[:2] = -1.0
    assert is_mean_of_each_alone(Dead().double(), x) == (True, True)


def test_each_map_of_a_mixed_batch_is_that_of_its_input_alone():
    model, x = net(functools.partial(Between, MIXING["batch norm"])), inputs((9, 11), n=3)
    for found, image in zip(erf.measure_each(model, x), x, strict=True):
        alone = erf.measure(model, image)
        assert found.one_by_one and (found.values == alone.values).all()


def test_an_input_that_is_not_finite_is_still_named():
    x = inputs((9, 11), n=5)
    x[1] = torch.nan
    for mix in ("batch norm", "maximum"):
        model = net(functools.partial(Between, MIXING[mix]))
        with pytest.raises(ValueError, match="gradient of input 1 at 'after' is not finite"):
            erf.measure(model, x)
