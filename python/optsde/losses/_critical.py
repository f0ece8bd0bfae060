"""Critical points of separable losses: every coordinate at one of a few places."""

from itertools import product

import numpy as np

from optsde._arrays import FloatArray

# 2^16 points of 16 coordinates are 8 MB; beyond, listing them is a mistake.
_LARGEST_DIM = 16


def separable_minima(places: list[float], dim: int) -> FloatArray:
    """All combinations of the 1-D minima, the first place's combination first, (k^d, d)."""
    if len(places) > 1 and dim > _LARGEST_DIM:
        raise ValueError(f"minima: there are {len(places)}^{dim}; they are listed for dim <= {_LARGEST_DIM} only")
    return np.array(list(product(places, repeat=dim)), dtype=np.float64)


def separable_saddles(minima: list[float], maximum: float, dim: int) -> FloatArray:
    """Points with one coordinate at the 1-D maximum and the others at minima, (d 2^(d-1), d)."""
    if dim > _LARGEST_DIM:
        raise ValueError(f"saddles: there are {dim} * 2^{dim - 1}; they are listed for dim <= {_LARGEST_DIM} only")
    count = len(minima) ** (dim - 1)
    others = np.array(list(product(minima, repeat=dim - 1)), dtype=np.float64).reshape(count, dim - 1)
    return np.concatenate([np.insert(others, k, maximum, axis=1) for k in range(dim)])
