"""The command line of ``erfbook sweep``."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""


def run(options: argparse.Namespace) -> int:
    """Carry out the command and return the exit code."""
    return 0
