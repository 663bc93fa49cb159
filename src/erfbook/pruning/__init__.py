"""Magnitude pruning: a new network and its mask."""
