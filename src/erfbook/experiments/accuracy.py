"""Accuracy against receptive field: what the published table says about its own closing claims.

The claims are that accuracy grows about with the logarithm of the field's size, and that a large
field is necessary but not sufficient (Araujo et al. 2019). A line through ten chosen networks
describes those ten. Whether the field is what moves them is another question: depth, parameters,
training and year grow along with it. :func:`survey_torchvision` asks it of networks that were
trained alike and differ in field, and of pairs that have the same field and were trained otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
import torchvision
from jaxtyping import Float
from scipy import stats

from erfbook import rf
from erfbook.experiments.estimates import Estimate
from erfbook.experiments.published import TABLE_SIDE, PublishedRow, published_table

LEVEL = 0.95


@dataclass(frozen=True)
class Rated:
    """A network's receptive field and its accuracy.

    Args:
        name: of the network.
        size: of the last plane's fields, px.
        top1: percent.
        kind: a further word, such as the recipe of its training.
    """

    name: str
    size: int
    top1: float
    kind: str = ""


@dataclass(frozen=True)
class AccuracyFit:
    """The least-squares line of accuracy on the base-2 logarithm of the field's size.

    Args:
        networks: those it rests on.
        slope: percentage points a doubling, with its t interval.
        intercept: percent, at a field of one pixel.
        correlation: Pearson's, with the interval of Fisher's transformation.
        residual: standard deviation about the line, percentage points.
        linear_r2: share of the variance that a line on the size itself would explain.
        leave_one_out: the slope without each network in turn.
    """

    networks: tuple[Rated, ...]
    slope: Estimate
    intercept: float
    correlation: Estimate
    residual: float
    linear_r2: float
    leave_one_out: Mapping[str, float]

    @property
    def r2(self) -> float:
        """Share of the variance of accuracy that the line explains."""
        return self.correlation.value**2

    @property
    def decides(self) -> bool:
        """Whether the slope's interval excludes zero."""
        return self.slope.low > 0 or self.slope.high < 0

    def predict(
        self, sizes: Float[np.ndarray, " size"]
    ) -> tuple[Float[np.ndarray, " size"], Float[np.ndarray, " size"], Float[np.ndarray, " size"]]:
        """Return the line at field sizes and the ends of its 95 % confidence band, percent."""
        x, at = np.log2([n.size for n in self.networks]), np.log2(sizes)
        line = self.intercept + self.slope.value * at
        spread = np.sqrt(1 / len(x) + (at - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
        half = _t_quantile(len(x) - 2) * self.residual * spread
        return line, line - half, line + half


def fit_accuracy(networks: Sequence[Rated | PublishedRow] | None = None) -> AccuracyFit:
    """Fit top-1 accuracy on the logarithm of the field's size.

    Args:
        networks: at least three, not all of one size; the published ten if None.

    Raises:
        ValueError: too few networks, or a single size.

    >>> ruled = [Rated(str(n), 2**n, 50 + 3 * n + (-1) ** n) for n in range(6)]
    >>> fit_accuracy(ruled).slope.low < 3 < fit_accuracy(ruled).slope.high
    True
    """
    rated = _rated(published_table() if networks is None else networks)
    if len(rated) < 3 or len({n.size for n in rated}) < 2:
        raise ValueError(f"networks must be 3 or more of different sizes, not {len(rated)} of them")
    x, y = np.log2([n.size for n in rated]), np.array([n.top1 for n in rated])
    line = stats.linregress(x, y)
    half = _t_quantile(len(x) - 2) * line.stderr
    slope = Estimate(
        float(line.slope), float(line.slope - half), float(line.slope + half), len(rated)
    )
    rest = y - line.intercept - line.slope * x
    return AccuracyFit(
        networks=rated,
        slope=slope,
        intercept=float(line.intercept),
        correlation=_correlation(x, y),
        residual=math.sqrt((rest**2).sum() / (len(x) - 2)),
        linear_r2=float(np.corrcoef(2**x, y)[0, 1] ** 2),
        leave_one_out={
            n.name: _slope(np.delete(x, i), np.delete(y, i)) for i, n in enumerate(rated)
        },
    )


def fit_families() -> dict[str, AccuracyFit]:
    """Fit the published table whole, and without one family at a time."""
    rows = published_table()
    dropped = {
        "all": (),
        "no_resnet": ("resnet_v1",),
        "no_mobilenet": ("mobilenet",),
        "no_oldest": ("alexnet",),
        "no_inception": ("inception",),
        "large": ("alexnet", "vgg", "mobilenet"),
    }
    return {
        name: fit_accuracy([row for row in rows if not row.name.startswith(families or ("-",))])
        for name, families in dropped.items()
    }


@dataclass(frozen=True)
class Order:
    """How far larger fields and higher accuracies come in the same order.

    Args:
        n_pairs: pairs of networks of different size and accuracy.
        discordant: (larger field, smaller field) where the larger one is less accurate.
        tau: Kendall's rank correlation.
        p_value: its exact two-sided p value.
    """

    n_pairs: int
    discordant: tuple[tuple[str, str], ...]
    tau: float
    p_value: float


def compare_order(networks: Sequence[Rated | PublishedRow] | None = None) -> Order:
    """Count the pairs in which a larger field goes with a lower accuracy: "not sufficient"."""
    rated = _rated(published_table() if networks is None else networks)
    pairs = [
        (a, b) if a.size > b.size else (b, a)
        for a, b in combinations(rated, 2)
        if a.size != b.size and a.top1 != b.top1
    ]
    tau = stats.kendalltau([n.size for n in rated], [n.top1 for n in rated])
    discordant = tuple((a.name, b.name) for a, b in pairs if a.top1 < b.top1)
    return Order(len(pairs), discordant, float(tau.statistic), float(tau.pvalue))


def find_smallest_field(
    top1: float, networks: Sequence[Rated | PublishedRow] | None = None
) -> Rated | None:
    """Return the network of the smallest field among those as accurate as this: "necessary".

    Args:
        top1: the accuracy that is asked for, percent.
        networks: to search; the published ten if None.
    """
    rated = _rated(published_table() if networks is None else networks)
    good = [n for n in rated if n.top1 >= top1]
    return min(good, key=lambda n: n.size) if good else None


# torchvision's networks whose fields are local up to the last plane (no squeeze-excite, no
# attention), with the plane that its head pools.
SURVEYED = {
    **{"alexnet": "features", "vgg11": "features", "vgg13": "features", "vgg16": "features"},
    **{"vgg19": "features", "squeezenet1_1": "features", "mobilenet_v2": "features"},
    **{f"resnet{n}": "layer4" for n in (18, 34, 50, 101, 152)},
    **{"resnext50_32x4d": "layer4", "wide_resnet50_2": "layer4", "shufflenet_v2_x1_0": "conv5"},
    **{"googlenet": "inception5b", "inception_v3": "Mixed_7c", "densenet121": "features"},
    **{"mnasnet1_0": "layers", "regnet_x_400mf": "trunk_output", "regnet_x_8gf": "trunk_output"},
}


def survey_torchvision(names: Iterable[str] | None = None) -> tuple[Rated, ...]:
    """Return field and published accuracy of torchvision's networks, once a set of weights.

    Nothing is downloaded: accuracies are part of torchvision's description of its weights. ``kind``
    is the set's name; V1 and V2 of a network differ in their training alone.

    Args:
        names: keys of ``SURVEYED``; all of them if None.
    """
    found = []
    for name in SURVEYED if names is None else names:
        size = _field_size(name)
        for weights in torchvision.models.get_model_weights(name):
            top1 = weights.meta["_metrics"]["ImageNet-1K"]["acc@1"]
            if not math.isnan(top1):  # weights for features only have no accuracy
                found.append(Rated(name, size, top1, weights.name))
    return tuple(found)


def _field_size(name: str) -> int:
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    # RegNets compute their widths with tensors, which must hold values.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        network = torchvision.models.get_model(name, weights=None, **options).eval()
    return rf.analyze(network, (3, TABLE_SIDE, TABLE_SIDE))[SURVEYED[name]].size[0]


def compare_training(surveyed: Iterable[Rated]) -> dict[str, float]:
    """Return what V2's training adds to V1's accuracy, percentage points, at the same field."""
    of: dict[str, dict[str, float]] = {}
    for rated in surveyed:
        of.setdefault(rated.name, {})[rated.kind] = rated.top1
    v1, v2 = "IMAGENET1K_V1", "IMAGENET1K_V2"
    return {name: top1[v2] - top1[v1] for name, top1 in of.items() if v1 in top1 and v2 in top1}


def _rated(networks: Sequence[Rated | PublishedRow]) -> tuple[Rated, ...]:
    return tuple(
        n if isinstance(n, Rated) else Rated(n.name, n.size, n.top1, "published") for n in networks
    )


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.polyfit(x, y, 1)[0])


def _t_quantile(freedom: int) -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))


def _correlation(x: np.ndarray, y: np.ndarray) -> Estimate:
    """Pearson's correlation; the interval needs four points and is [-1, 1] with fewer."""
    found = stats.pearsonr(x, y)
    low, high = (-1.0, 1.0) if len(x) < 4 else found.confidence_interval(LEVEL)
    return Estimate(float(found.statistic), float(low), float(high), len(x))
