"""The papers' equations as pure functions of numbers."""

from erfbook.theory.layers import Layer

__all__ = ["Layer"]
