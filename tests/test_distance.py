"""Networks of one unit, how far their fields reach, and how fast a distance is learnt."""

import dataclasses
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from erfbook import erf, parameters, plots, rf, theory
from erfbook.errors import UserError
from erfbook.experiments import (
    distance_runs,
    distance_speed,
    distance_summary,
    distance_tables,
    distance_task,
)
from erfbook.experiments.catalogue import EXPERIMENTS
from erfbook.experiments.distance_runs import DistanceConfig
from erfbook.experiments.registry import Workspace
from erfbook.models.valid import ValidNet, valid_field_px
from erfbook.records import Store

TINY = DistanceConfig(
    None, distances=(0, 2, 4), kernels=(3,) * 5, channels=4, contrast=100.0, n_train=600,
    n_test=100, n_maps=8, batch_size=30,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small networks are faster so, and their sums come in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("kernels", "dilations", "residual"),
    [((9, 9, 9, 9), (), False), ((3, 5, 1), (1, 3, 1), True), ((3,) * 6, (1, 2, 4, 4, 4, 1), True)],
)
def test_the_field_is_the_image_by_arithmetic_and_by_poison(kernels, dilations, residual):
    side = valid_field_px(kernels, dilations)
    net = ValidNet(2, kernels, dilations=dilations, residual=residual).eval()
    field = rf.analyze(net, (3, side + 4, side + 4))["head"]
    assert field.size == (side, side)
    assert field.region((0, 0)) == ((2, side + 1), (2, side + 1))
    # Poison one pixel: the unit is NaN if and only if it is seen. A dilated kernel has gaps, so
    # only the corners of its square are sure to be taps.
    for row, column, seen in (
        (2, 2, True),
        (side + 1, 2, True),
        (1, 2, False),
        (2, side + 2, False),
    ):
        image = torch.zeros(1, 3, side + 4, side + 4)
        image[0, 0, row, column] = math.nan
        assert bool(net(image).isnan().all()) == seen, (row, column)


def test_a_shortcut_is_the_middle_of_its_input():
    net = ValidNet(1, (3, 5), residual=True).eval()
    layer = net.features.layer2
    with torch.no_grad():
        layer.conv.weight.zero_()
    x = torch.rand(1, 1, 7, 7)
    assert torch.equal(layer(x), x[:, :, 2:-2, 2:-2])  # 0 through a fresh norm is 0; ReLU keeps x


class Decision(nn.Module):
    """The difference of a network's scores as a unit on a plane, as ``erf.measure`` wants it."""

    def __init__(self, network):
        super().__init__()
        self.features = network.features
        head = network.head.state_dict()
        self.unit = nn.Conv2d(head["weight"].shape[1], 1, 1)
        self.unit.load_state_dict({name: part[1:2] - part[0:1] for name, part in head.items()})

    def forward(self, x):
        return self.unit(self.features(x))


def test_the_decisions_map_is_that_of_the_books_own_measurement():
    net = distance_runs.build_network(TINY, 0)
    # Larger than the field of 11 px: zero around it. With 40 images no pixel inside is left out.
    x = torch.randn(40, 3, 15, 15, generator=torch.Generator().manual_seed(0))
    expected = erf.measure(Decision(net), x, "unit").values
    found = distance_runs.measure_decision(net, x)
    # float32 gradients of two ways of summing
    assert np.allclose(found, expected / expected.sum(), rtol=1e-4, atol=1e-7)
    assert found[:2].sum() == 0 and found[2:13, 2:13].all()
    one_score = erf.measure(net, x, "head", channel=1).values  # a wrong unit gives another map
    assert not np.allclose(found, one_score / one_score.sum(), rtol=1e-2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernels": (3, 4)}, "kernels must be odd numbers, at least one, not"),
        ({"kernels": ()}, "kernels must be odd numbers"),
        ({"kernels": (3, 3), "dilations": (1,)}, r"as many as kernels \(2\), not 1"),
    ],
)
def test_networks_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        ValidNet(2, **arguments)


def test_an_image_smaller_than_the_field_is_refused():
    with pytest.raises(UserError, match="field spans 9 px; an image must be as large, not 8 x 8"):
        ValidNet(2, (5, 5))(torch.zeros(1, 3, 8, 8))


def test_a_ring_reaches_its_radius_and_a_point_nothing():
    away = distance_task.distance_px(41)
    for radius in (4, 8, 16):
        ring = (np.abs(away - radius) <= 0.5).astype(float)
        reach = distance_runs.measure_reach(ring / ring.sum() + 1e-9, (radius, 20))
        assert abs(reach["radius50"] - radius) < 0.5  # pixels of a ring lie within half a pixel
        assert reach["ring"][0] > 0.99 and reach["ring"][1] < 0.01
    point = np.zeros((41, 41))
    point[20, 20] = 1.0
    assert distance_runs.radius_of_share(point, 0.95) < 0.5


def test_radii_of_a_gaussian_are_rayleighs():
    offset = np.arange(121) - 60.0
    bell = np.exp(-0.5 * (offset / 9.0) ** 2)
    field = np.outer(bell, bell) / bell.sum() ** 2
    for share in (0.5, 0.95):
        expected = 9.0 * math.sqrt(-2 * math.log(1 - share))
        # whole pixels blur a radius by a tenth of one at this width
        assert abs(distance_runs.radius_of_share(field, share) - expected) < 0.1
    square = np.abs(offset) <= 25  # a wrong measure, half the side of a square, is seen
    assert abs(25 - distance_runs.radius_of_share(np.outer(square, square) * 1.0, 0.5)) > 2
    assert math.isclose(distance_runs.mass_by_radius(field).sum(), 1.0)


class LinearNet(nn.Module):
    """Three wide convolutions without bias, norm or activation: the network of the derivation."""

    def __init__(self, width, seed):
        super().__init__()
        torch.manual_seed(seed)
        sizes = [(1, width), (width, width), (width, 1)]
        self.convs = nn.Sequential(*(nn.Conv2d(i, o, 3, bias=False) for i, o in sizes))
        for conv, (n_in, _) in zip(self.convs, sizes, strict=True):
            nn.init.normal_(conv.weight, 0, math.sqrt(1 / (9 * n_in)))

    def forward(self, x):
        return self.convs(x)[:, 0, 0, 0]


def tangent_kernel(net, side):
    """Inner products of the gradients by all weights of the outputs for two unit pixels."""
    rows = []
    for pixel in torch.eye(side * side).reshape(-1, 1, side, side):
        gradient = torch.autograd.grad(net(pixel[None]).sum(), list(net.parameters()))
        rows.append(torch.cat([g.flatten() for g in gradient]))
    rows = torch.stack(rows).double()
    return (rows @ rows.T).numpy()


def test_pixels_are_learnt_as_fast_as_the_untrained_field_is_strong_there():
    """The law behind S(d), on linear networks: the mean tangent kernel is diagonal, like E[g^2]."""
    kernels = np.array([tangent_kernel(LinearNet(16, seed), 7) for seed in range(60)])
    mean = kernels.mean(0)
    error = kernels.std(0, ddof=1) / math.sqrt(len(kernels)) + 1e-12
    power = theory.predict_gradient_power([theory.Layer(3)] * 3).ravel()
    # A layer whose weights have variance v contributes E[g^2] / v: 9, 144 and 144.
    expected = (9 + 2 * 144) * np.diag(power)
    # 49 correlated diagonal entries and 1176 off it: five standard errors bound all of them
    assert np.abs((mean - expected) / error).max() < 5
    wrong = 297 * np.diag(np.sqrt(power) / np.sqrt(power).sum())  # E|g| in place of E[g^2]
    assert np.abs((mean - wrong) / error).max() > 20


def test_measured_speeds_agree_with_the_prediction_where_it_holds(monkeypatch):
    class Linear(ValidNet):
        """The same without ReLU and norm: what the prediction is about."""

        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            for layer in list(self.features)[1:]:
                layer.norm = nn.Identity()
                layer.conv.weight.data /= math.sqrt(2)
                layer.forward = layer.conv.forward

    monkeypatch.setattr(distance_runs, "ValidNet", Linear)
    config = dataclasses.replace(
        TINY, channels=16, kernels=(5, 5, 3), distances=(0, 3), contrast=20.0
    )
    found = np.array([distance_speed.measure_speeds(config, s, n_pairs=96) for s in range(24)])
    ratio = found[:, 1] / found[:, 0]
    predicted = distance_speed.predict_speeds(config)
    expected = predicted[1] / predicted[0]
    # The head is a fourth layer of one tap: it adds the same factor to both. Four standard errors
    # on the log scale, where single networks scatter evenly.
    error = np.std(np.log(ratio), ddof=1) / math.sqrt(len(ratio))
    assert abs(np.log(ratio).mean() - math.log(expected)) < 4 * error + 0.1
    assert error < 0.2  # sharp enough to refuse a prediction that forgets the circle's length
    forgets = distance_speed.predict_power(config)[2:-2, 2:-2][3, 6] / 1.0
    assert abs(np.log(ratio).mean() - math.log(forgets / predicted[0])) > 4 * error + 0.1


def test_dilation_spreads_and_skips_shrink_the_predicted_speed_of_far_marks():
    speeds = distance_speed.compare_speeds(distance_runs.LAPTOP)
    far = {name: speed[-1] for name, speed in speeds.items()}
    assert far["3 × 3 with skips"] < far["3 × 3"] < far["this network"] < far["3 × 3 dilated"]
    assert all(speed[0] == 1.0 for speed in speeds.values())


def test_steps_to_learn_finds_the_halved_loss_and_says_never():
    losses = np.full(100, math.log(2))
    assert distance_speed.steps_to_learn(losses) == math.inf
    losses[40:] = 0.0
    # the mean over steps 35 to 44 is half of the loss of guessing; the next one is below
    assert distance_speed.steps_to_learn(losses) == 41.0


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("records"))
    options = {"n_seeds": 2, "n_pairs": 16, "store": store}
    return distance_summary.study_distances(TINY, **options), store, options


def test_a_run_is_the_same_when_repeated_and_tasks_begin_alike(study):
    found, _, _ = study
    again = distance_runs.run_distance(TINY.asks(4), 1, Workspace())
    assert list(found[4].numbers["radius50"][1]) == again.metrics["radius50"]
    for task in found.tasks.values():
        assert np.array_equal(task.maps[0], found[None].maps[0])
        assert math.isclose(task.maps[-1].sum(), 1.0, rel_tol=1e-5)  # kept as float32


def test_a_study_is_made_from_its_records(study, monkeypatch):
    found, store, options = study
    assert len(list(store.select("erf-distance"))) == 2 * (3 + 1 + 1)

    def refuse(*arguments):
        raise AssertionError("a run was made although its record is there")

    monkeypatch.setattr(
        distance_summary, "DISTANCE", dataclasses.replace(distance_runs.DISTANCE, run=refuse)
    )
    again = distance_summary.study_distances(TINY, **options)
    assert again.slope() == found.slope() and again.growth(4) == found.growth(4)


def test_the_centre_is_learnt_lots_and_the_blind_are_not(study):
    found, _, _ = study
    assert found[0].after("accuracy").min() > 0.9
    # 200 coins: 0.5 -+ 4 standard errors
    for task in (found[None], found.blind):
        assert abs(task.after("accuracy").mean() - 0.5) < 4 * 0.5 / math.sqrt(200)


def test_the_extra_change_is_taken_off_within_a_seed(study):
    found, _, _ = study
    asked, lots = found[4], found[None]
    by_hand = np.mean(asked.after("radius95") - lots.after("radius95"))
    assert math.isclose(found.extra(4, "radius95").value, by_hand)  # both began alike
    assert found.extra(4, "radius95").n == 2


def test_the_power_of_the_steps_is_found_and_needs_two_learnt_distances(study):
    found, _, _ = study

    def with_steps(far_steps):
        near = found.predicted[1] ** -0.5
        steps = {0: [1.0, 1.0], 2: [near, near], 4: far_steps, None: [math.inf, math.inf]}
        tasks = {
            d: dataclasses.replace(task, steps_to_learn=np.array(steps[d]))
            for d, task in found.tasks.items()
        }
        return dataclasses.replace(found, tasks=tasks)

    far = found.predicted[2] ** -0.5
    assert math.isclose(with_steps([far, far]).steps_exponent().value, 0.5, rel_tol=1e-9)
    assert math.isnan(with_steps([far, math.inf]).steps_exponent().value)
    named = distance_summary.name_distances(with_steps([math.inf, math.inf]))
    assert named["steps_power"]["value"] == "(too few to say)"
    assert named["steps_far"]["value"] == "more than 20"
    assert math.isfinite(named["steps_ratio"]["value"])


def test_names_tables_and_figures(study):
    found, store, _ = study
    named = distance_summary.name_distances(found)
    assert (named["near_px"]["value"], named["far_px"]["value"]) == (2, 4)
    assert named["growth_far"]["value"] == found.growth(4).value
    assert list(distance_tables.tabulate_distances(found).index) == [
        "0 px",
        "2 px",
        "4 px",
        "by lot",
    ]
    published = distance_tables.tabulate_published(store)
    assert [asked for _, asked in published.index] == ["4 px", "0 px", "2 px", "4 px", "by lot"]
    assert published.index[0][0] == "1 layer 3 × 3, 4 channels, field 3 px"
    assert distance_tables.tabulate_published(Store(store.folder / "no")).empty
    draws = distance_task.draw_rings(TINY.rings, 1, seed=0)
    image = distance_task.paint_rings(TINY.rings, draws)[0]
    for draw, shape, rest in (
        (plots.plot_distance_maps, (2, 4), (found,)),
        (plots.plot_distance_radius, (1, 2), (found,)),
        (plots.plot_distance_profiles, (1, 2), (found, distance_summary.profile_tasks(found))),
        (plots.plot_distance_learning, (1, 2), (found,)),
        (plots.plot_distance_speed, (1, 2), (found, distance_speed.compare_speeds(TINY))),
        (plots.plot_distance_images, (1, 3), (TINY, image, draws.tones[0])),
    ):
        fig, axes = plots.figure(*shape)
        assert draw(axes, *rest) is axes
        fig.canvas.draw()
        plt.close(fig)


def test_a_study_needs_the_centre_and_two_distances(tmp_path):
    for distances in ((2, 4), (0, 4)):
        config = dataclasses.replace(TINY, distances=distances)
        with pytest.raises(UserError, match="distances must be 0, the control at the centre, and"):
            distance_summary.study_distances(config, n_seeds=2, n_pairs=8, store=Store(tmp_path))
    assert not list(tmp_path.iterdir())


def test_the_blind_network_ends_before_the_mark_and_is_refused_where_none_does():
    for config in (distance_runs.SMOKE, distance_runs.LAPTOP, *distance_runs.PAPERS):
        blind = config.blinded()
        corner = math.sqrt(2) * (blind.field_px // 2)
        assert corner < config.distances[-1] - config.rings.reach_px
        assert blind.rings == config.rings
    with pytest.raises(UserError, match="the first layer alone sees a mark at 4 px"):
        dataclasses.replace(TINY, kernels=(7, 5)).blinded()


@pytest.mark.parametrize("profile", ["smoke", "laptop", "paper"])
def test_the_notebook_and_the_sweep_make_the_same_runs(profile):
    p = parameters.of("erf_distance").resolve(profile)
    shared = {f.name for f in dataclasses.fields(DistanceConfig)} & set(p.as_dict())
    config = DistanceConfig(None, **{name: getattr(p, name) for name in shared})
    assert EXPERIMENTS["erf-distance"] is distance_runs.DISTANCE
    plan = dict.fromkeys(distance_runs.DISTANCE.plans[profile])
    wanted = distance_runs.plan_tasks(config, p.n_seeds)
    assert all(task in plan for task in wanted)
    assert shared == set(p.as_dict()) - {"n_seeds", "n_pairs"}


def test_the_paper_profile_holds_24_px_within_its_field():
    for config in distance_runs.PAPERS:
        assert config.distances == (0, 4, 8, 16, 24)
        assert config.field_px >= 2 * 24 + 1 + config.rings.mark_px
    assert erf.TWO_SIGMA == 0.0455  # the share behind the smallest set's side
