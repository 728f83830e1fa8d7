"""Normalization: layers that bring their inputs to mean 0 and variance 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend import to_host
from .base import (
    Array,
    Checked,
    Fixed,
    Layer,
    Shape,
    Workspace,
    at_least_one,
    check_array,
    check_finite,
    check_inputs,
    fraction,
    number,
)
from .errors import ArgumentError
from .initializers import Ones, Zeros


def above_zero(name: str, value: Any) -> float:
    """A number that is above 0 in float32, too: else a constant feature would divide by 0."""
    return number(name, value, 1e-37)


class Normalization(Layer):
    """Base of both, y = γ x̂ + β with x̂ = (x - μ) / √(σ² + ε).

    Shapes: x (N, I), γ and β (I,), y (N, I). γ and β are learned; they start as ones and zeros.
    """

    gives = "numbers"
    axis: int  # the axis that μ and σ² are taken over
    n: Any = Fixed(at_least_one)
    eps: Any = Checked(above_zero)

    def __init__(self, n: int, eps: float = 1e-5):
        super().__init__()
        self.n, self.eps = n, eps
        self.in_shape = (self.n,)
        self.add_parameter("gamma", (self.n,), Ones())
        self.add_parameter("beta", (self.n,), Zeros())

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        one: Shape = (1, shape[1]) if self.axis == 0 else (shape[0], 1)
        moments = Workspace(one, reduced=self.axis == 1)
        return super().workspaces(shape) | {"xhat": shape, "part": shape, "mean": moments, "var": moments, "std": one}

    def center(self, x: Array) -> tuple[Array, Array]:
        """Return μ and σ² (biased), and write x - μ to x̂.

        The first value is subtracted before summing. The rounding error in a sum of large numbers can exceed their
        differences, and a constant feature must give exactly 0.
        """
        xp, count, xhat = self.xp, x.shape[self.axis], self.xhat
        first = x[:1] if self.axis == 0 else x[:, :1]
        xp.subtract(x, first, out=xhat)
        mean = xhat.sum(axis=self.axis, keepdims=True, out=self.mean)
        mean /= count
        xhat -= mean
        mean += first
        var = xp.multiply(xhat, xhat, out=self.part).sum(axis=self.axis, keepdims=True, out=self.var)
        var /= count
        return mean, var

    def scaled(self, var: Array) -> Array:
        """y, from σ², and x - μ in x̂."""
        xp, xhat = self.xp, self.xhat
        var += self.eps
        std = xp.sqrt(var, out=self.std)
        xp.divide(var, std, out=std)  # no change, but infinity becomes NaN: else x̂ would be 0 if σ² overflows
        xhat /= std
        y = xp.multiply(xhat, self.gamma, out=self.y)
        y += self.beta
        return y

    def gradient(self, dy: Array) -> Array:
        """dγ = Σₙ dy x̂,  dβ = Σₙ dy,  dx = (g - mean(g) - x̂ mean(g x̂)) / √(σ² + ε)  with g = dy γ."""
        xp, xhat, part = self.xp, self.xhat, self.part
        if self.trainable:
            xp.multiply(dy, xhat, out=part).sum(axis=0, out=self.dgamma)
            dy.sum(axis=0, out=self.dbeta)
        g = xp.multiply(dy, self.gamma, out=self.dx)
        along = xp.multiply(g, xhat, out=part).mean(axis=self.axis, keepdims=True, out=self.var)
        mean = g.mean(axis=self.axis, keepdims=True, out=self.mean)
        along, mean = self.means_of_batch(along, mean)
        xp.multiply(xhat, along, out=part)
        g -= mean
        g -= part
        g /= self.std
        return g

    def means_of_batch(self, *means: Array) -> tuple[Array, ...]:
        """These means over `axis`; of the whole batch if x is a part of it, and the axis that of the samples."""
        return means


class LayerNorm(Normalization):
    """Layer normalization: μ and σ² of each sample, over its I values (Ba, Kiros & Hinton, 2016).

    Parameters
    ----------
    n : int
        I, the number of values of a sample.
    eps : float, default 1e-5
        ε, added to the variance against division by zero.
    """

    axis = 1

    def config(self) -> dict[str, Any]:
        return {"n": self.n, "eps": self.eps}

    def formula(self, x: Array) -> Array:
        _, var = self.center(x)
        return self.scaled(var)


class BatchNorm(Normalization):
    """Batch normalization: μ and σ² of each of the I values, over the batch (Ioffe & Szegedy, 2015).

    At inference it uses running averages of the μ and σ² seen in training. They start at 0 and 1, which counts for
    momentumⁿ after n steps: with the default, 12 % after 20. A batch of one sample has no variance: its y is β, and the
    running averages do not change. `train` warns if all batches are so.

    Parameters
    ----------
    n : int
        I, the number of values of a sample.
    momentum : float, default 0.9
        running ← momentum running + (1 - momentum) batch, as in Chainer and (as 1 - 0.1) in PyTorch.
    eps : float, default 1e-5
        ε, added to the variance against division by zero.
    """

    axis = 0
    momentum: Any = Checked(fraction)

    def __init__(self, n: int, momentum: float = 0.9, eps: float = 1e-5):
        super().__init__(n, eps)
        self.momentum = momentum
        self.add_parameter("running_mean", (self.n,), Zeros(), trained=False)
        self.add_parameter("running_var", (self.n,), Ones(), trained=False)

    def check_values(self, name: str, values: Any) -> np.ndarray:
        array = super().check_values(name, values)
        if name == "running_var" and (array < 0).any():
            raise ArgumentError(f"{self}: running_var must not hold negative numbers, received {array.min():g}")
        return array

    def config(self) -> dict[str, Any]:
        return {"n": self.n, "momentum": self.momentum, "eps": self.eps}

    def formula(self, x: Array) -> Array:
        if self.training:
            self.center(x)
            n = len(x) if self.shard is None else self.center_batch()
            if n > 1:
                self.remember(n / (n - 1))  # unbiased, as in the paper
        else:
            self.mean[...], self.var[...] = self.running_mean, self.running_var
            self.xp.subtract(x, self.mean, out=self.xhat)
        return self.scaled(self.var)

    def center_batch(self) -> int:
        """Turn μ, σ² and x - μ of a part of a batch into those of the whole, and return the number of its samples.

        μ = Σ nᵣ μᵣ / N and σ² = Σ nᵣ (σᵣ² + (μᵣ - μ)²) / N over the parts (Chan, Golub & LeVeque, 1979). All ranks
        compute the same bits. Differences to the first part keep a constant feature exact, as above.
        """
        own = self.mean.copy()
        means, variances = self.shard.gather(self.xp.stack([own, self.var]), self.xp).swapaxes(0, 1)
        share, first = self.shares(), means[0]
        self.mean[...] = first + (share * (means - first)).sum(axis=0)
        self.var[...] = (share * (variances + (means - self.mean) ** 2)).sum(axis=0)
        self.xhat += own - self.mean
        return sum(self.shard.sizes)

    def means_of_batch(self, *means: Array) -> tuple[Array, ...]:
        if self.shard is None or not self.training:
            return means
        return tuple((self.shares() * self.shard.gather(self.xp.stack(means), self.xp).swapaxes(0, 1)).sum(axis=1))

    def shares(self) -> Array:
        """The fraction of the batch in each part (R, 1, 1)."""
        sizes = self.xp.asarray(self.shard.sizes, self.dtype)
        return (sizes / sizes.sum())[:, None, None]

    def remember(self, factor: float) -> None:
        """running ← momentum running + (1 - momentum) batch, with the variance of the batch times this factor.

        Rounding stops a running mean some units in the last place short of the mean. For a large constant feature that
        is more than √ε, so a running mean that no longer moves is set to the mean.
        """
        xp, rest, change, before = self.xp, 1 - self.momentum, self.std[0], self.part[0]
        running, mean = self.running_mean, self.mean[0]
        before[...] = running
        running += xp.multiply(xp.subtract(mean, running, out=change), rest, out=change)
        xp.copyto(running, mean, where=running == before)
        self.running_var *= self.momentum
        self.running_var += xp.multiply(self.var[0], rest * factor, out=change)

    def gradient(self, dy: Array) -> Array:
        """In training as above. At inference μ and σ² are constants, and dx = dy γ / √(σ² + ε)."""
        dx = super().gradient(dy)
        if not self.training:
            self.xp.multiply(dy, self.gamma, out=dx)
            dx /= self.std
        return dx


class Standardize(Layer):
    """Preprocessing as a layer, y = (x - μ) / σ, where μ and σ are those of the training set. It is not trained.

    As the first layer it is saved with the network, so nobody has to scale inputs by hand:
    ``Network([Standardize.of(train_set.x), Dense(13, 50), ...], loss)``.

    Shapes: x (N, ...), mean and std (...), y (N, ...).

    Parameters
    ----------
    mean, std : array
        μ and σ of each value of a sample, σ above 0. They can be assigned later.
    """

    gives = "numbers"

    def __init__(self, mean: Any, std: Any):
        super().__init__()
        mean = check_array(mean, "mean", ArgumentError)
        if mean.ndim == 0 or not mean.size:
            raise ArgumentError(f"Standardize: mean has the shape {mean.shape}, expected that of a sample, as (13,)")
        self.in_shape = mean.shape
        self.add_parameter("mean", mean.shape, mean, trained=False)
        self.add_parameter("std", mean.shape, std, trained=False)

    @classmethod
    def of(cls, x: Any) -> Standardize:
        """One with the mean and the standard deviation of these inputs (N, ...), uint8 as the network scales it.

        A feature that is constant has σ = 1: it becomes 0.
        """
        x = check_inputs(x)
        if x.ndim < 2 or not len(x):
            raise ArgumentError(f"Standardize.of received x of shape {x.shape}, expected (N, ...), at least one sample")
        check_finite(x, "x", ArgumentError, "clean it first, e.g. by numpy.nan_to_num(x)")
        scale = 255.0 if x.dtype == np.uint8 else 1.0
        mean, std = x.mean(axis=0, dtype="float64"), x.std(axis=0, dtype="float64")
        constant = (x == x[:1]).all(axis=0) | (std < 1e-30)  # whose mean and std are rounding
        return cls(np.where(constant, x[0], mean) / scale, np.where(constant, 1.0, std / scale))

    def check_values(self, name: str, values: Any) -> np.ndarray:
        array = super().check_values(name, values)
        if name == "std" and (array <= 0).any():
            place = np.unravel_index(int(np.argmax(array <= 0)), array.shape)
            where = ", ".join(map(str, place))
            what = f"Standardize: std[{where}] is {array[place]:g}, expected a number above 0"
            raise ArgumentError(f"{what}; 1 for a constant feature, as Standardize.of gives it")
        return array

    def config(self) -> dict[str, Any]:
        return {"mean": to_host(self.mean).tolist(), "std": to_host(self.std).tolist()}

    def __repr__(self) -> str:
        return f"Standardize({', '.join(map(str, self.in_shape or ()))})"

    def formula(self, x: Array) -> Array:
        y = self.xp.subtract(x, self.mean, out=self.y)
        y /= self.std
        return y

    def gradient(self, dy: Array) -> Array:
        """dx = dy / σ."""
        return self.xp.divide(dy, self.std, out=self.dx) if self.needs_dx else None
