"""Models that cannot be measured as they are: one line that says what they are and what to name."""

import pytest
import torch
from torch import nn

from erfbook import erf


def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))


def compiled_in_place():
    model = net()
    model[2].compile()
    return model


class NoForward(nn.Module):
    pass


SCRIPT = "is TorchScript, which cannot be watched; name the Python model it was made from"
COMPILED = "which hides its operations; name it uncompiled"
CASES = {
    "list": (lambda: nn.ModuleList([net()]), "ModuleList has no forward pass: it holds modules"),
    "dict": (lambda: nn.ModuleDict({"a": net()}), "ModuleDict has no forward pass"),
    "no forward": (NoForward, "NoForward has no forward pass"),
    "script": (lambda: torch.jit.script(net()), f"the model {SCRIPT}"),
    "trace": (lambda: torch.jit.trace(net(), torch.zeros(1, 3, 9, 9)), f"the model {SCRIPT}"),
    "part": (lambda: nn.Sequential(torch.jit.script(net()), nn.ReLU()), f"module '0' {SCRIPT}"),
    "compiled": (
        lambda: torch.compile(net()),
        f"the model is compiled by torch.compile, {COMPILED}",
    ),
    "in place": (compiled_in_place, f"module '2' is compiled by its compile.., {COMPILED}"),
    "lazy": (
        lambda: nn.Sequential(nn.LazyConv2d(4, 3)),
        "module '0' is lazy and has no weights yet",
    ),
    "parallel": (lambda: nn.DataParallel(net()), "wrapped in DataParallel; name what is wrapped"),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("kind", CASES)
def test_a_model_that_cannot_be_watched_is_refused(kind):
    make, message = CASES[kind]
    with pytest.raises(ValueError, match=message) as caught:
        erf.measure(make(), torch.zeros(2, 3, 12, 12))
    assert "\n" not in str(caught.value)


def test_the_model_they_were_made_from_is_measured():
    torch.manual_seed(0)
    assert erf.size(erf.measure(net(), torch.randn(2, 3, 12, 12))) == 5.0
