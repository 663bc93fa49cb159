"""The papers' equations as pure functions of numbers; nothing here imports the rest of the package."""

from erfbook.theory.layers import Layer

__all__ = ["Layer"]
