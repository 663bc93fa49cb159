"""The controlled task: what lies at the asked distance decides the label, and nothing else does."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from erfbook.errors import UserError
from erfbook.experiments import distance_checks, distance_task
from erfbook.experiments.distance_task import Draws, Rings, draw_rings, paint_rings

RINGS = Rings(17, (0, 3, 6), contrast=60.0, noise=20.0)


def paint_slowly(rings, draws):
    """One image, one mark, one pixel at a time."""
    images = np.zeros(draws.ground.shape, dtype=np.uint8)
    middle, half = rings.side_px // 2, rings.mark_px // 2
    for i in range(len(images)):
        levels = [[128 + rings.noise * float(g) for g in row] for row in draws.ground[i]]
        for ring, distance in enumerate(rings.distances):
            row = round(middle + distance * math.sin(draws.angles[i, ring]))
            column = round(middle + distance * math.cos(draws.angles[i, ring]))
            tone = rings.contrast if draws.tones[i, ring] else -rings.contrast
            for r in range(row - half, row + half + 1):
                for c in range(column - half, column + half + 1):
                    levels[r][c] += tone
        images[i] = [[min(255, max(0, round(v))) for v in row] for row in levels]
    return images


def leaky_paint(rings, draws):
    """A wrong generator: the central pixel shows a little of every tone."""
    images = paint_rings(rings, draws)
    middle = rings.side_px // 2
    images[:, middle, middle] = 100 + draws.tones @ (3 ** np.arange(len(rings.distances)))
    return images


def test_images_are_painted_as_one_would_by_hand():
    draws = draw_rings(RINGS, 12, seed=1)
    fast, slow = paint_rings(RINGS, draws), paint_slowly(RINGS, draws)
    # float32 against float64: a value within 1e-5 of a half may round the other way
    assert np.abs(fast.astype(int) - slow).max() <= 1
    assert (fast != slow).mean() < 1e-3


@pytest.mark.parametrize("distance", RINGS.distances)
def test_turning_the_asked_mark_over_changes_no_nearer_pixel(distance):
    inside, elsewhere = distance_checks.count_leaks(RINGS, distance, n_images=200, seed=3)
    assert inside == 0
    assert elsewhere >= 200 * 8  # most of the nine pixels of a mark; a few clip at 0 or 255


def test_a_leak_into_the_centre_is_seen(monkeypatch):
    monkeypatch.setattr(distance_checks, "paint_rings", leaky_paint)
    assert distance_checks.count_leaks(RINGS, 6, n_images=20, seed=3)[0] == 20


def enumerate_images(rings, n_angles, paint):
    """All combinations of tones and of evenly spaced angles, without ground: equally likely."""
    n_rings = len(rings.distances)
    tones = list(itertools.product((0, 1), repeat=n_rings))
    steps = list(itertools.product(range(n_angles), repeat=n_rings))
    pairs = list(itertools.product(tones, steps))
    draws = Draws(
        np.array([t for t, _ in pairs]),
        np.array([s for _, s in pairs]) * (2 * math.pi / n_angles),
        np.zeros((len(pairs), rings.side_px, rings.side_px), dtype=np.float32),
    )
    return paint(rings, draws), draws.tones


def best_accuracy(views, labels):
    """Bayes' accuracy over equally likely cases: for each view, the likelier label."""
    counts = {}
    for view, label in zip(views, labels, strict=True):
        counts.setdefault(view.tobytes(), [0, 0])[int(label)] += 1
    return sum(max(c) for c in counts.values()) / len(labels)


@pytest.mark.parametrize("place", [1, 2])
def test_the_best_guess_from_nearer_pixels_is_a_coin_by_enumeration(place):
    rings = dataclasses.replace(RINGS, contrast=40.0)
    images, tones = enumerate_images(rings, 6, paint_rings)
    away = distance_task.distance_px(rings.side_px)
    nearer = away < rings.distances[place] - rings.reach_px
    assert nearer.any()
    assert best_accuracy(images[:, nearer], tones[:, place]) == 0.5
    assert best_accuracy(images, tones[:, place]) == 1.0
    leaky, _ = enumerate_images(rings, 6, leaky_paint)
    assert best_accuracy(leaky[:, nearer], tones[:, place]) == 1.0


def test_tones_are_fair_and_independent_and_tasks_share_their_images():
    n = 4000
    sets = {
        d: distance_task.make_ring_set(RINGS, d, n_train=n, n_test=10, seed=0)
        for d in (*RINGS.distances, None)
    }
    labels = torch.stack([s.train.labels for s in sets.values()]).double()
    # Standard errors of a fair coin and of a correlation of independent ones; 4 of them.
    assert (labels.mean(1) - 0.5).abs().max() < 4 * 0.5 / math.sqrt(n)
    correlation = torch.corrcoef(labels) - torch.eye(len(labels), dtype=torch.float64)
    assert correlation.abs().max() < 4 / math.sqrt(n)
    for other in sets.values():
        assert torch.equal(other.train.images, sets[None].train.images)
    image_means = sets[6].train.images[:, 0].double().mean((1, 2))
    for s in sets.values():  # brightness says something only about its own nine pixels
        assert s.train.images.shape == (n, 3, 17, 17)
    lots = sets[None].train.labels.double()
    assert abs(torch.corrcoef(torch.stack([image_means, lots]))[0, 1]) < 4 / math.sqrt(n)


def test_one_who_knows_the_mark_is_right_with_the_whole_view_and_has_no_odds_with_a_short_one():
    found = distance_checks.check_task(RINGS, n_images=200)
    assert found["leaks"]["value"] == 0
    assert found["template_whole"]["value"] > 0.95
    assert found["template_short"]["value"] == 0.0
    assert found["tone_gap"]["value"] < 4


def test_template_odds_are_the_likelihood_ratio_of_all_places():
    rings = Rings(7, (2,), contrast=30.0, noise=15.0)
    images = paint_rings(rings, draw_rings(rings, 5, seed=2))
    odds = distance_task.guess_by_template(rings, images, 2, view_px=math.inf)
    for image, found in zip(images.astype(float), odds, strict=True):
        likelihood = {}
        for tone in (1, -1):
            total = 0.0
            for angle in (np.arange(7200) + 0.5) * (2 * math.pi / 7200):
                row, column = (round(3 + 2 * f(angle)) for f in (math.sin, math.cos))
                mean = np.full((7, 7), 128.0)
                mean[row - 1 : row + 2, column - 1 : column + 2] += tone * 30.0
                total += math.exp(-0.5 * np.sum((image - mean) ** 2 - (image - 128) ** 2) / 15**2)
            likelihood[tone] = total
        # sums of exponentials in float64 on either side
        assert math.isclose(found, math.log(likelihood[1] / likelihood[-1]), rel_tol=1e-9)


def test_coverage_is_the_frequency_of_marks_over_pixels():
    draws = draw_rings(RINGS, 20_000, seed=5)
    covered = np.zeros((17, 17))
    rows, columns = distance_task.mark_places(RINGS, 6, draws.angles[:, 2])
    for row, column in zip(rows, columns, strict=True):
        covered[row - 1 : row + 2, column - 1 : column + 2] += 1 / 20_000
    expected = distance_task.mark_coverage(RINGS, 6)
    assert math.isclose(expected.sum(), 9.0, rel_tol=1e-9)
    error = np.sqrt(expected * (1 - expected) / 20_000)
    assert (np.abs(covered - expected) < 5 * error + 5e-4).all()  # 5e-4: the angles' own spacing


def test_the_fingerprint_follows_every_setting_and_the_seed_every_image():
    others = [
        dataclasses.replace(RINGS, **change)
        for change in ({"side_px": 19}, {"distances": (0, 3)}, {"contrast": 61.0}, {"noise": 19.0})
    ]
    assert len({r.fingerprint for r in (RINGS, *others)}) == 5
    first, again, other = (
        distance_task.make_ring_set(RINGS, 3, n_train=5, n_test=5, seed=s) for s in (0, 0, 1)
    )
    assert torch.equal(first.train.images, again.train.images)
    assert first.fingerprint != other.fingerprint
    assert not torch.equal(first.train.images, other.train.images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"side_px": 16}, "sides must be odd, not 16 and 3 px"),
        ({"side_px": 13}, "a mark at 6 px needs an image of 15 px, not 13"),
        ({"distances": (3, 0, 6)}, "distances must rise from 0 or more"),
        ({"mark_px": 2}, "sides must be odd, not 17 and 2 px"),
    ],
)
def test_images_that_cannot_be_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(RINGS, **change)


def test_a_distance_without_a_mark_is_refused():
    with pytest.raises(UserError, match="no mark at 5 px; marks lie at"):
        distance_task.make_ring_set(RINGS, 5, n_train=2, n_test=2, seed=0)
