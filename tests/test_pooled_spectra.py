"""Spectra behind pools: whose Hessian it is, at which moment, of which images and planes."""

import dataclasses
import functools
import itertools
import math

import numpy as np
import pytest
import torch
from theory_oracles import rejects
from torch.func import functional_call
from torch.nn import functional as F

from erfbook import hessian
from erfbook.errors import UserError
from erfbook.experiments.pooled import (
    networks,
    spectra,
    spectra_plans,
)
from erfbook.experiments.pooled.networks import (
    build_network,
    load_data,
    pool_training,
    with_pool,
)
from erfbook.experiments.pooled.plans import SMOKE
from erfbook.experiments.registry import Workspace, obtain
from erfbook.experiments.training_fields import initialise
from erfbook.experiments.weights import load_weights
from erfbook.records import Store

N_IMAGES = 8
NETWORK = with_pool(
    dataclasses.replace(SMOKE, name="tiny", n_train=64, n_test=40, width=1 / 64, stages=(1, 1, 1)),
    2,
)
ASKED = spectra.SpectraConfig(
    name="tiny", dataset=NETWORK.dataset, network=NETWORK, k=5, n_images=N_IMAGES, batch_size=8,
    n_probes=2, n_steps=6,
)  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("records"))


def found(store, seed=0, **changes):
    return obtain(
        spectra_plans.pool_spectra(), dataclasses.replace(ASKED, **changes), [seed], store
    )[0]


def first_images():
    data = load_data(NETWORK)
    images, labels = data.train.images[:N_IMAGES], data.train.labels[:N_IMAGES]
    return data.standardise(images).double(), labels.long()


def dense_values(model, images, labels, batch_norm="calibrated"):
    """Return all eigenvalues, largest first: PyTorch's own Hessian, in float64, in one batch.

    Statistics are those of one pass in training mode whose momentum is 1: they replace the old.
    """
    model = model.double().train()
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    if batch_norm == "calibrated":
        for norm in norms:
            norm.momentum = 1.0
        with torch.no_grad():
            model(images)
    for norm in norms:
        norm.train(batch_norm == "train")
    names, values = zip(*model.named_parameters(), strict=True)
    sizes = [v.numel() for v in values]
    fixed = {name: b.clone() for name, b in model.named_buffers()}

    def loss(flat):
        parts = (p.reshape(v.shape) for p, v in zip(flat.split(sizes), values, strict=True))
        own = {name: b.clone() for name, b in fixed.items()}
        outputs = functional_call(model, {**dict(zip(names, parts, strict=True)), **own}, (images,))
        return F.cross_entropy(outputs, labels)

    flat = torch.cat([v.detach().flatten() for v in values])
    matrix = torch.autograd.functional.hessian(loss, flat, vectorize=True)
    return np.linalg.eigvalsh(matrix.numpy())[::-1]


@functools.cache
def dense_untrained(batch_norm):
    return dense_values(untrained(), *first_images(), batch_norm)


def untrained(seed=0):
    return build_network(NETWORK, seed, len(load_data(NETWORK).classes))


def agree(record, dense):
    """A residual bounds the distance to an eigenvalue; float32 moves all by 1e-4 of the largest."""
    values = record.arrays["values"]
    bound = record.arrays["residuals"] + 1e-4 * abs(dense[0])
    assert (np.abs(values - dense[: len(values)]) <= bound).all()


@pytest.mark.parametrize("batch_norm", spectra.NORMS)
def test_values_before_training_are_the_dense_hessians_in_each_mode(store, batch_norm):
    record = found(store, batch_norm=batch_norm)
    agree(record, dense_untrained(batch_norm))
    assert record.metrics["n_converged"] == ASKED.k
    for other in spectra.NORMS:
        if other != batch_norm:
            rejects(lambda dense: agree(record, dense), dense_untrained(other))


def test_values_belong_to_the_seed_the_images_and_the_initialisation_asked_for(store):
    images, labels = first_images()

    he = untrained()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        initialise(he, "he")
    data = load_data(NETWORK)
    drawn = torch.from_numpy(np.random.default_rng(3).permutation(64)[:N_IMAGES])
    other = data.standardise(data.train.images[drawn]).double(), data.train.labels[drawn].long()
    cases = [
        (found(store, seed=1), dense_values(untrained(1), images, labels)),
        (found(store, init="he"), dense_values(he, images, labels)),
        (found(store, image_seed=3), dense_values(untrained(), *other)),
        (found(store, image_side=20), dense_values(untrained(), images[..., 6:26, 6:26], labels)),
    ]
    for record, dense in cases:
        agree(record, dense)
    for (record, _), (_, wrong) in itertools.permutations(cases, 2):
        rejects(lambda dense, record=record: agree(record, dense), wrong)


def test_after_training_the_network_is_the_one_in_the_store(store):
    record = found(store, moment="after")
    trained = store.find(pool_training().spec(NETWORK, 0))
    model = untrained()
    images, labels = first_images()
    load_weights(model, trained)
    agree(record, dense_values(model, images, labels))
    rejects(lambda dense: agree(record, dense), dense_untrained("calibrated"))


def test_before_training_no_network_is_trained_and_the_recipe_does_not_matter(
    tmp_path, store, monkeypatch
):
    monkeypatch.setattr(networks.training, "train", lambda *a, **k: pytest.fail("it was trained"))
    changed = dataclasses.replace(NETWORK, lr=0.5, epochs=9, clip=0.0, weight_decay=0.0)
    own = Store(tmp_path)
    record = found(own, network=changed)
    assert np.array_equal(record.arrays["values"], found(store).arrays["values"])
    assert not np.array_equal(record.arrays["values"], found(store, seed=1).arrays["values"])
    assert not list(own.select("pool-training"))


def test_records_are_found_again(store, monkeypatch):
    first = found(store)
    monkeypatch.setattr(spectra.hessian, "top_eigenvalues", lambda *a, **k: pytest.fail("again"))
    assert np.array_equal(found(store).arrays["values"], first.arrays["values"])


def test_what_is_read_from_a_density_is_its_nodes():
    density = hessian.SpectralDensity(
        grid=np.zeros(3), density=np.zeros(3), bandwidth=0.1,
        nodes=np.array([[-1.0, 0.0, 3.0], [-2.0, 0.0, 2.0]]),
        weights=np.array([[0.25, 0.5, 0.25], [0.5, 0.25, 0.25]]),
        n_parameters=8, n_matvecs=6, seed=0,
    )  # fmt: skip
    seen = spectra.describe_density(density)
    # sizes 1/4 and 3/4, then 1 and 1/2: downwards 5/4 of 10/4
    assert seen["negative"] == 0.5
    assert seen["descent"] == 8 * (0.25 + 1.0) / 2
    assert seen["trace"] == 8 * ((0.75 - 0.25) + (0.5 - 1.0)) / 2
    assert math.isclose(seen["frobenius"] ** 2, 8 * ((0.25 + 2.25) + (2.0 + 1.0)) / 2)


def check_planes(cropped, repeated):
    """Count units of every plane of the whole VGG-like network behind its smallest/largest pool."""

    def sides(stride, side):
        model = build_network(with_pool(SMOKE, stride), 0, 7)
        seen = []
        for part in model.features:
            part.register_forward_hook(lambda _, __, out: seen.append(out.shape[-1]))
        model.eval()(torch.zeros(1, 3, side, side))
        return seen[1:]  # the first convolution is before the pool

    assert sides(1, cropped) == sides(4, 32)
    assert sides(4, repeated) == sides(1, 32)


def test_separated_cells_have_the_same_planes_all_the_way():
    check_planes(spectra_plans.CROPPED_SIDE, spectra_plans.REPEATED_SIDE)
    rejects(lambda cropped: check_planes(cropped, spectra_plans.REPEATED_SIDE), 12)
    rejects(lambda repeated: check_planes(spectra_plans.CROPPED_SIDE, repeated), 117)


def test_repeated_images_hold_each_pixel_in_its_place():
    images = torch.arange(2 * 32 * 32).reshape(2, 1, 32, 32)
    wide = spectra.resize(images, 121)
    first = (121 - 32 + 1) // 2
    assert torch.equal(wide[..., first : first + 32, first : first + 32], images)
    assert torch.equal(wide[..., 32:64, :], wide[..., :32, :])


def test_each_variant_changes_one_setting():
    for word, config in spectra_plans.vary(ASKED).items():
        old, new = dataclasses.asdict(ASKED), dataclasses.asdict(config)
        changed = {n for n in old if old[n] != new[n]} - {"name", "k", "n_probes"}
        assert len(changed) == (word != "as above")


def test_plans_name_each_configuration_once():
    for plan in spectra_plans.pool_spectra().plans.values():
        names = [(c.name, c.dataset, c.network.name, c.network.architecture) for c, _ in plan]
        assert len(set(names)) == len(names)
        for config, _ in plan:
            config.check()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 100_000}, r"k must be 1 to \d+, the network's number of parameters, not 100000"),
        ({"k": 0}, r"k must be 1 to \d+, .* not 0"),
        ({"n_images": 66}, "n_images must be 1 to 64, those there are, not 66"),
        ({"moment": "during"}, "moment must be one of before, after, not 'during'"),
        ({"batch_norm": "eval"}, "batch_norm must be one of calibrated, .*, not 'eval'"),
        ({"init": "none"}, "init must be one of .*, not 'none'"),
        ({"init": "he", "moment": "after"}, "init 'he' is a start that no network is trained from"),
        ({"image_side": 2}, "image_side must be 0, or at least 3, the pool's kernel, not 2"),
        ({"batch_size": 7}, "batch_size 7 leaves a batch of one of 8 images"),
        ({"network": with_pool(NETWORK, 40)}, "pool_kernel 41 is larger than the 32 px plane"),
    ],
)
def test_settings_that_mean_nothing_are_refused_in_a_line(store, changes, message):
    config = dataclasses.replace(ASKED, **changes)
    with pytest.raises(UserError, match=message):
        spectra.run_spectra(config, 0, Workspace(store=store))
    assert store.find(spectra_plans.pool_spectra().spec(config, 0)) is None
