"""Readers' own models and weights: how they are found, and that every refusal is one line."""

import pytest
import torch
from torch import nn

from erfbook.errors import UserError
from erfbook.models import load_model

SMALL = """
import torch
from torch import nn

def net():
    return nn.Conv2d(3, 4, 3)

def exported():
    return torch.export.export(net().eval(), (torch.zeros(1, 3, 8, 8),)).module()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a file of models and a package of which one imports another."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "small_net.py").write_text(SMALL)
    inner = tmp_path / "family_of_nets" / "small"
    inner.mkdir(parents=True)
    for place in (inner, inner.parent):
        (place / "__init__.py").write_text("")
    (inner / "parts.py").write_text("width = 5\n")
    (inner / "net.py").write_text(
        "from torch import nn\nfrom .parts import width\ndef make():\n"
        "    return nn.Conv2d(3, width, 3)\n"
    )
    return tmp_path


def refusal(name, weights=None, **options):
    with pytest.raises(UserError) as caught:
        load_model(name, weights, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("shapes_only", [False, True])
@pytest.mark.filterwarnings("ignore")  # of torch.export's own
def test_a_model_without_an_evaluation_mode_is_refused(folder, shapes_only):
    said = refusal("small_net.py:exported", shapes_only=shapes_only)
    assert "small_net.py:exported cannot be put into evaluation mode" in said
    assert said.endswith("if it was exported from another model, name that one")


def test_a_file_of_a_package_is_told_its_name_in_the_package(folder, monkeypatch):
    said = refusal("family_of_nets/small/net.py:make")
    assert said.endswith("name it family_of_nets.small.net:make")
    assert load_model("family_of_nets.small.net:make").out_channels == 5
    monkeypatch.chdir(folder / "family_of_nets")
    said = refusal("small/net.py:make")
    assert said.endswith(f"name it family_of_nets.small.net:make in the folder {folder}")


@pytest.mark.parametrize(
    "damage",
    [
        lambda file, net: file.write_text("hello"),
        lambda file, net: file.write_bytes(b""),
        lambda file, net: torch.save(net, file),
        lambda file, net: torch.jit.script(net).save(file),
        lambda file, net: file.write_bytes(whole(file, net)[:700]),
        lambda file, net: file.write_bytes(whole(file, net)[::-1]),
        lambda file, net: file.write_bytes(bytes(range(256)) * 9),
    ],
    ids=["text", "empty", "whole model", "script", "cut short", "reversed", "bytes"],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
def test_what_holds_no_weights_is_refused_without_advice_to_trust_it(folder, damage):
    damage(folder / "w.pt", nn.Conv2d(3, 4, 3))
    said = refusal("small_net:net", "w.pt")
    assert said.startswith("w.pt holds no weights that can be loaded") and len(said) < 150


def whole(file, net):
    torch.save(net.state_dict(), file)
    return file.read_bytes()


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ([1, 2], "w.pt holds list, not a state dict"),
        ({1: torch.zeros(1)}, "w.pt holds a dict with the key 1, not a state dict"),
        ({"state_dict": {2: torch.zeros(1)}}, "w.pt holds a dict with the key 2, not"),
        ({"weight": None, "bias": None}, "the weights in w.pt do not fit small_net:net"),
        ({"model": {"weight": torch.zeros(1)}}, "the weights in w.pt do not fit small_net:net"),
        ({"weight": torch.zeros(1)}, "the weights in w.pt do not fit small_net:net"),
    ],
)
def test_what_is_no_state_dict_of_the_model_is_refused(folder, held, message):
    torch.save(held, folder / "w.pt")
    assert message in refusal("small_net:net", "w.pt")


def test_weights_are_loaded_alone_and_under_the_name_of_a_checkpoint(folder):
    state = nn.Conv2d(3, 4, 3).state_dict()
    for held in (state, {"state_dict": state, "epoch": 3}):
        torch.save(held, folder / "w.pt")
        assert torch.equal(load_model("small_net:net", "w.pt").weight, state["weight"])
