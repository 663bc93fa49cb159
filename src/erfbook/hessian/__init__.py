"""Eigenvalues of the Hessian of a loss."""
