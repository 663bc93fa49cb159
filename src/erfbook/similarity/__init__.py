"""How alike the representations of two networks are."""
