"""The papers' experiments, one function each: the only place where the parts meet."""
