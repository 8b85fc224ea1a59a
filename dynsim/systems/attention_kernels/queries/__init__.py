"""Queries alone: the reduced model, its token Jacobian, the constructed examples."""
