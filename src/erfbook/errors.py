"""What a person did that cannot work: one line that names the thing, the value and the remedy."""

from __future__ import annotations


class UserError(ValueError):
    """Input that cannot be used; the command line prints its message and exits with code 2."""


class RunError(RuntimeError):
    """Work that failed although its input was sound; the command line exits with code 1."""
