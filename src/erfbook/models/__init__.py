"""Networks: loaded by name, with or without trained weights."""

from erfbook.models.loading import default_weights, load_model

__all__ = ["default_weights", "load_model"]
