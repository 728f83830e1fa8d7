"""Strategies for hypothesis: batches of any small shape, down to one sample and one value."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

seeds = st.integers(0, 2**32 - 1)
counts = st.integers(1, 6)


def batches(size=20.0, **sides):
    """Any floats up to this size, in arrays (N, K)."""
    elements = st.floats(-size, size, allow_subnormal=False)
    return arrays(float, array_shapes(min_dims=2, max_dims=2, max_side=6, **sides), elements=elements)


def normals(shape, seed=0):
    """Normal numbers pushed away from 0, where ReLU and similar functions have no derivative."""
    x = np.random.default_rng(seed).normal(size=shape)
    return x + np.copysign(0.01, x)


signals = st.builds(lambda n, k, seed: normals((n, k), seed), counts, counts, seeds)
