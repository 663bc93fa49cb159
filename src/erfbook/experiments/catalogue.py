"""The experiments that a sweep can make, by name."""

from __future__ import annotations

from erfbook.experiments.damage_plans import INIT_DAMAGE, SPARSE_DAMAGE
from erfbook.experiments.distance_runs import DISTANCE
from erfbook.experiments.importance_plans import PIXEL_IMPORTANCE
from erfbook.experiments.pooled.control import POOL_CONTROL
from erfbook.experiments.pooled.likeness import pool_likeness
from erfbook.experiments.pooled.networks import pool_training
from erfbook.experiments.pooled.prunings import POOL_PRUNING
from erfbook.experiments.pooled.spectra_plans import pool_spectra
from erfbook.experiments.registry import Experiment
from erfbook.experiments.seen.position_runs import UNIT_POSITIONS
from erfbook.experiments.seen.sheet import UNIT_SHEET
from erfbook.experiments.seen.tiling import TILING
from erfbook.experiments.training_classes import ERF_TRAINING
from erfbook.experiments.training_scenes import ERF_CAMVID

EXPERIMENTS: dict[str, Experiment] = {
    e.name: e
    for e in (
        ERF_TRAINING,
        ERF_CAMVID,
        DISTANCE,
        INIT_DAMAGE,
        SPARSE_DAMAGE,
        pool_training(),
        pool_spectra(),
        POOL_PRUNING,
        pool_likeness(),
        POOL_CONTROL,
        PIXEL_IMPORTANCE,
        UNIT_POSITIONS,
        UNIT_SHEET,
        TILING,
    )
}
