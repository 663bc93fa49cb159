"""Networks: loaded by name, with or without trained weights."""

from erfbook.models.loading import load_model

__all__ = ["load_model"]
