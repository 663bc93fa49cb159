"""The embedded sets: the same everywhere, learnable, and not given away by their colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from erfbook import datasets
from erfbook.datasets import counter, patches, streets
from erfbook.datasets.catalogue import read_table
from erfbook.datasets.images import Photograph
from erfbook.datasets.verify import hash_content


@pytest.mark.parametrize("name", ["patches32", "patches64", "streets"])
def test_content_is_that_of_the_fingerprints_version(name):
    entry, data = read_table()[name], datasets.load(name)
    assert hash_content(data) == entry.sha256
    assert data.fingerprint == datasets.fingerprint(name) == f"{name}-v{entry.version}"


def test_the_hash_of_content_sees_one_changed_label():
    data = streets.load_streets(24, 32, n_train=2, n_test=1)
    before = hash_content(data)
    data.test.labels[0, 3, 3] += 1
    assert hash_content(data) != before


def splitmix64(seed: int, n: int) -> list[int]:
    """The generator as its authors state it, in Python's own whole numbers."""
    found, state = [], seed
    for _ in range(n):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        found.append(z ^ (z >> 31))
    return found


def test_numbers_are_those_of_splitmix64():
    # The first numbers from the seed 1234567, as published test vectors give them.
    assert splitmix64(1234567, 2) == [6457827717110365317, 3203168211198807973]
    for seed, stream in ((0, 0), (5, 3), (2**63, 7)):
        mixed = int(counter._mix(np.array([seed], np.uint64))[0])
        start = int(counter._mix(np.array([(mixed + stream) % 2**64], np.uint64))[0])
        assert counter.hash_counters(seed, stream, 6).tolist() == splitmix64(start, 6)


def test_draws_lie_in_their_range_and_reach_both_ends():
    drawn = counter.draw(1, 2, 2000, -3, 4)
    counts = np.bincount(drawn + 3, minlength=8)
    # Binomial with n = 2000, p = 1/8: mean 250, standard deviation 14.8; five of them.
    assert drawn.min() == -3 and drawn.max() == 4 and abs(counts - 250).max() < 75


def test_the_order_of_a_split_is_a_permutation_that_mixes():
    order = counter.shuffled(1000)
    assert sorted(order) == list(range(1000))
    # Mean of 100 of 1000 ranks: standard deviation 289/10 = 29; five of them about 499.5.
    assert abs(order[:100].mean() - 499.5) < 145
    assert abs(np.arange(1000)[:100].mean() - 499.5) > 145  # files as they stand would fail


def striped(monkeypatch) -> None:
    """Photographs with rows of stripes in the left half and columns in the right."""
    pixels = np.zeros((60, 120, 3), np.uint8)
    pixels[::2, :60] = 255
    pixels[:, 60::2] = 255
    monkeypatch.setattr(
        patches, "load_photographs", lambda: {n: Photograph(n, pixels, "") for n in "ab"}
    )


def test_training_patches_share_no_pixel_with_test_patches(monkeypatch):
    striped(monkeypatch)
    data = patches.load_patches(16, n_train=50, n_test=50)
    assert (data.train.images.float().std(dim=3) == 0).all()  # constant along rows
    assert (data.test.images.float().std(dim=2) == 0).all()  # constant along columns


def linear_accuracy(train: datasets.Split, test: datasets.Split) -> float:
    """Test accuracy of a least-squares classifier on the mean colour."""
    features = [s.images.double().mean(dim=(2, 3)) / 255 for s in (train, test)]
    x, y = (torch.cat([f, f**2, torch.ones(len(f), 1)], dim=1) for f in features)
    targets = torch.nn.functional.one_hot(train.labels.long()).double()
    weights = torch.linalg.lstsq(x, targets).solution
    return ((y @ weights).argmax(dim=1) == test.labels).double().mean().item()


def test_the_mean_colour_of_a_patch_decides_nothing(monkeypatch):
    data = datasets.load("patches32")
    # Guessing among 7 photographs: 1/7, standard deviation over 1000 patches 0.011; four of them.
    assert linear_accuracy(data.train, data.test) < 1 / 7 + 0.045
    monkeypatch.setattr(patches, "_recolour", lambda images, *_: images)
    plain = patches.load_patches(32, n_train=2000, n_test=1000)
    assert linear_accuracy(plain.train, plain.test) > 0.4  # without recolouring it gives much away


def test_recoloured_patches_have_the_colour_and_contrast_drawn_for_them():
    random = np.random.default_rng(0)
    images = random.integers(90, 160, (5, 3, 16, 16), np.uint8)
    colours = random.integers(100, 156, (5, 3))
    found = patches._recolour(images, colours, np.full(5, 200))
    # Rounding down costs at most a grey level in the old mean and one in each product.
    assert abs(found.mean(axis=(2, 3)) - colours).max() < 2
    deviation = abs(found - found.mean(axis=(2, 3), keepdims=True)).mean(axis=(1, 2, 3))
    assert abs(deviation - 20).max() < 1.5


def test_classes_take_turns_so_that_any_beginning_holds_them_all():
    labels = datasets.load("patches32").limited(70, 70).test.labels
    assert torch.bincount(labels.int()).tolist() == [10] * 7


def test_streets_show_every_class_in_both_splits():
    data = datasets.load("streets")
    for split in (data.train, data.test):
        present = torch.bincount(split.labels.flatten().int(), minlength=12) > 0
        assert present.all() and split.labels.max() == data.ignore == 11
        assert split.images.shape[1:] == (3, 120, 160)


def test_a_scene_does_not_depend_on_the_others():
    few = streets.load_streets(48, 64, n_train=2, n_test=1)
    many = streets.load_streets(48, 64, n_train=5, n_test=3)
    assert torch.equal(few.train.images, many.train.images[:2])
    assert torch.equal(few.test.labels, many.test.labels[:1])
    other = streets.load_streets(48, 64, n_train=2, n_test=1, seed=1)
    scenes = torch.cat([many.train.images, many.test.images, other.train.images])
    assert len(torch.unique(scenes, dim=0)) == len(scenes)  # no scene twice


def test_the_colour_of_a_street_does_not_name_its_class():
    """Cars, house fronts and clothes share their paint: colour alone leaves classes mixed."""
    data = streets.load_streets(n_train=40, n_test=1)
    colours = (data.train.images // 32).int()
    code = colours[:, 0] * 64 + colours[:, 1] * 8 + colours[:, 2]
    labels = data.train.labels.int()
    table = torch.bincount((code * 12 + labels).flatten(), minlength=512 * 12).reshape(512, 12)
    right = table.max(dim=1).values.sum() / table.sum()
    cars_right = table[table.argmax(dim=1) == 8, 8].sum() / table[:, 8].sum()
    assert right < 0.8 and cars_right < 0.3
