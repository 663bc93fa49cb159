"""Magnitude pruning: a new network and its mask."""

from erfbook.pruning.magnitude import (
    LAYER_SETS,
    SCOPES,
    Pruned,
    apply_mask,
    choose_mask,
    choose_weights,
    prune_global,
)
from erfbook.pruning.tuning import fine_tune, held
from erfbook.pruning.unused import find_read_shares, find_unused

__all__ = [
    "LAYER_SETS",
    "SCOPES",
    "Pruned",
    "apply_mask",
    "choose_mask",
    "choose_weights",
    "find_read_shares",
    "find_unused",
    "fine_tune",
    "held",
    "prune_global",
]
