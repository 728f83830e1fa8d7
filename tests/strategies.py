"""What hypothesis draws: batches of any small shape, of one sample and one value too."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

seeds = st.integers(0, 2**32 - 1)


def numbers(size):
    """Floats of either sign, up to this size."""
    return st.floats(-size, size, allow_subnormal=False)


def batches(size=20.0, **sides):
    """Arrays (N, K)."""
    return arrays(float, array_shapes(min_dims=2, max_dims=2, max_side=7, **sides), elements=numbers(size))


def random_like(x, seed=0):
    """Normal numbers in the shape of x: for gradients that come from above."""
    return np.random.default_rng(seed).normal(size=np.shape(x))
