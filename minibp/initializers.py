"""Initial weights: an initializer is called as ``initializer(shape, rng)`` and returns an array.

The variance is chosen so that signals neither grow nor fade from layer to layer. It depends on the fan-in, the number
of inputs of a unit (rows of W), and the fan-out, the number of units it feeds (columns of W). All numbers are drawn on
the host in float64, so that every backend and dtype starts from the same values.
"""

from __future__ import annotations

import math

import numpy as np

from .base import number
from .errors import ArgumentError

Shape = tuple[int, ...]


class Constant:
    """The same finite value everywhere."""

    def __init__(self, value: float):
        self.value = number("Constant: value", value, -math.inf)

    def __call__(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        return np.full(shape, self.value, float)


class Zeros(Constant):
    """Zeros, for biases. As weights of a hidden layer they would keep all its units identical."""

    def __init__(self) -> None:
        self.value = 0.0


class Ones(Constant):
    """Ones, for the scale of a normalization."""

    def __init__(self) -> None:
        self.value = 1.0


class Normal:
    """Normal distribution with mean 0 and this standard deviation, which is at least 0."""

    def __init__(self, std: float = 1.0):
        self.std = number("Normal: std", std)

    def __call__(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        return rng.normal(0, self.std, shape)


class Scaled:
    """Base of the initializers whose variance depends on the fan-in and fan-out of a weight matrix (I, O)."""

    def variance(self, fan_in: int, fan_out: int) -> float:
        """Variance of each weight."""
        raise NotImplementedError

    def std(self, shape: Shape) -> float:
        """Standard deviation of each weight; an ArgumentError if the shape has fewer than two dimensions."""
        if len(shape) < 2:
            raise ArgumentError(
                f"{type(self).__name__} needs a weight matrix (inputs, outputs), received shape {shape}; "
                "for biases use Zeros(), Constant(value) or Normal(std)"
            )
        return math.sqrt(self.variance(shape[0], shape[-1]))


class ScaledUniform(Scaled):
    """Uniform on (-limit, limit) with limit = sqrt(3 variance), because its variance is limit² / 3."""

    def __call__(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        limit = math.sqrt(3) * self.std(shape)
        return rng.uniform(-limit, limit, shape)


class ScaledNormal(Scaled):
    """Normal with mean 0, not truncated."""

    def __call__(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        return rng.normal(0, self.std(shape), shape)


class Glorot(Scaled):
    """Variance 2 / (fan-in + fan-out), for sigmoid, tanh and softmax (Glorot & Bengio, 2010)."""

    def variance(self, fan_in: int, fan_out: int) -> float:
        return 2 / (fan_in + fan_out)


class He(Scaled):
    """Variance 2 / fan-in, for ReLU and its variants, which pass half of the signal (He et al., 2015)."""

    def variance(self, fan_in: int, fan_out: int) -> float:
        return 2 / fan_in


class LeCun(Scaled):
    """Variance 1 / fan-in (LeCun et al., "Efficient BackProp", 1998)."""

    def variance(self, fan_in: int, fan_out: int) -> float:
        return 1 / fan_in


class GlorotUniform(Glorot, ScaledUniform):
    """Uniform, variance 2 / (fan-in + fan-out): limit sqrt(6 / (fan-in + fan-out)) (Glorot & Bengio, 2010)."""


class GlorotNormal(Glorot, ScaledNormal):
    """Normal, variance 2 / (fan-in + fan-out) (Glorot & Bengio, 2010)."""


class HeUniform(He, ScaledUniform):
    """Uniform, variance 2 / fan-in: limit sqrt(6 / fan-in) (He et al., 2015)."""


class HeNormal(He, ScaledNormal):
    """Normal, variance 2 / fan-in (He et al., 2015)."""


class LeCunUniform(LeCun, ScaledUniform):
    """Uniform, variance 1 / fan-in: limit sqrt(3 / fan-in) (LeCun et al., 1998)."""


class LeCunNormal(LeCun, ScaledNormal):
    """Normal, variance 1 / fan-in (LeCun et al., 1998; Klambauer et al., 2017)."""
