"""How weights start: small objects that draw an array, `start(shape, rng)`.

The spread is chosen so that signals neither grow nor fade from layer to layer. It depends on the fan-in, the number
of inputs of a unit (rows of W), and the fan-out, the number of units it feeds (columns of W). All draws are made on
the host in float64, so that every backend and dtype starts from the same numbers.
"""

from __future__ import annotations

import math

import numpy as np

from .base import number
from .errors import ArgumentError

Shape = tuple[int, ...]


class Constant:
    """Every value the same.

    Raises
    ------
    ArgumentError
        If value is no finite number.
    """

    def __init__(self, value: float):
        self.value = number("Constant: value", value, -math.inf)

    def __call__(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        return np.full(shape, self.value, float)


class Zeros(Constant):
    """All zeros: right for biases. As weights of a hidden layer they keep its units alike for ever."""

    def __init__(self) -> None:
        self.value = 0.0


class Ones(Constant):
    """All ones: the scale of a normalization starts so."""

    def __init__(self) -> None:
        self.value = 1.0


class Normal:
    """Normal distribution of mean 0 and this standard deviation.

    Raises
    ------
    ArgumentError
        If std is no finite number of at least 0.
    """

    def __init__(self, std: float = 1.0):
        self.std = number("Normal: std", std)

    def __call__(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        return rng.normal(0, self.std, shape)


class Scaled:
    """Base of those whose variance follows from the fan-in and the fan-out of a weight matrix (I, O)."""

    def variance(self, fan_in: int, fan_out: int) -> float:
        """Variance of each weight."""
        raise NotImplementedError

    def std(self, shape: Shape) -> float:
        """Standard deviation of each weight.

        Raises
        ------
        ArgumentError
            If the shape is not that of a weight matrix, with two dimensions or more.
        """
        if len(shape) < 2:
            raise ArgumentError(
                f"{type(self).__name__} needs a weight matrix (inputs, outputs), received shape {shape}; "
                "start biases with Zeros(), Constant(value) or Normal(std)"
            )
        return math.sqrt(self.variance(shape[0], shape[-1]))


class ScaledUniform(Scaled):
    """Uniform on (-limit, limit); limit = sqrt(3 variance), since a uniform's variance is limit² / 3."""

    def __call__(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Draw weights.

        Raises
        ------
        ArgumentError
            If the shape is not that of a weight matrix, with two dimensions or more.
        """
        limit = math.sqrt(3) * self.std(shape)
        return rng.uniform(-limit, limit, shape)


class ScaledNormal(Scaled):
    """Normal of mean 0 (not truncated)."""

    def __call__(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Draw weights.

        Raises
        ------
        ArgumentError
            If the shape is not that of a weight matrix, with two dimensions or more.
        """
        return rng.normal(0, self.std(shape), shape)


class Glorot(Scaled):
    """Variance 2 / (fan-in + fan-out), for sigmoid, tanh and softmax (Glorot & Bengio, 2010)."""

    def variance(self, fan_in: int, fan_out: int) -> float:
        return 2 / (fan_in + fan_out)


class He(Scaled):
    """Variance 2 / fan-in, for ReLU and its kin, which let half of the signal through (He et al., 2015)."""

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
