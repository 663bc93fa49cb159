"""Experiments on what units prefer."""
