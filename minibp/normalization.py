"""Normalization: layers that give their inputs mean 0 and variance 1, then a scale γ and a shift β that are learnt."""

from __future__ import annotations

from typing import Any

from .checks import at_least_one, fraction, positive
from .initializers import Ones, Zeros
from .layer import Layer
from .part import Array, Shape


class Normalization(Layer):
    """What the two have in common, y = γ x̂ + β with x̂ = (x - μ) / √(σ² + ε).

    Shapes: x (N, I), γ and β (I,), y (N, I). γ starts as ones, β as zeros. A number outside its range is an
    ArgumentError.
    """

    gives = "numbers"
    axis: int  # over which μ and σ² are taken

    def __init__(self, n: int, eps: float = 1e-5):
        name = type(self).__name__
        self.n, self.eps = at_least_one(f"{name}: n", n), positive(f"{name}: eps", eps)
        self.in_shape = (self.n,)
        self.add_parameter("gamma", (self.n,), Ones())
        self.add_parameter("beta", (self.n,), Zeros())

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        one = (1, shape[1]) if self.axis == 0 else (shape[0], 1)
        return super().workspaces(shape) | {"xhat": shape, "part": shape, "mean": one, "var": one, "std": one}

    def moments(self, x: Array) -> None:
        """Fill μ and σ² (biased), and leave x - μ in x̂."""
        xp = self.xp
        x.mean(axis=self.axis, keepdims=True, out=self.mean)
        xp.subtract(x, self.mean, out=self.xhat)
        xp.multiply(self.xhat, self.xhat, out=self.part).mean(axis=self.axis, keepdims=True, out=self.var)

    def scaled(self) -> Array:
        """y, with x - μ in x̂."""
        xp, xhat = self.xp, self.xhat
        std = xp.add(self.var, self.eps, out=self.std)
        xp.sqrt(std, out=std)
        xhat /= std
        y = xp.multiply(xhat, self.gamma, out=self.y)
        y += self.beta
        return y

    def gradient(self, dy: Array) -> Array:
        """dγ = Σₙ dy x̂,  dβ = Σₙ dy,  dx = (g - mean(g) - x̂ mean(g x̂)) / √(σ² + ε)  with g = dy γ."""
        xp, xhat, part = self.xp, self.xhat, self.part
        xp.multiply(dy, xhat, out=part).sum(axis=0, out=self.dgamma)
        dy.sum(axis=0, out=self.dbeta)
        g = xp.multiply(dy, self.gamma, out=self.dx)
        along = xp.multiply(g, xhat, out=part).mean(axis=self.axis, keepdims=True, out=self.var)
        xp.multiply(xhat, along, out=part)
        g -= g.mean(axis=self.axis, keepdims=True, out=self.mean)
        g -= part
        g /= self.std
        return g


class LayerNorm(Normalization):
    """Layer normalization: μ and σ² of each sample, over its I values (Ba, Kiros & Hinton, 2016).

    Parameters
    ----------
    n : int
        I, the number of values of a sample.
    eps : float, default 1e-5
        ε, added to the variance so that a constant sample does not divide by zero.

    Raises
    ------
    ArgumentError
        If n is no integer of at least 1, or eps is not above 0.
    """

    axis = 1

    def config(self) -> dict[str, Any]:
        return {"n": self.n, "eps": self.eps}

    def formula(self, x: Array) -> Array:
        self.moments(x)
        return self.scaled()


class BatchNorm(Normalization):
    """Batch normalization: μ and σ² of each of the I values, over the batch (Ioffe & Szegedy, 2015).

    In use (not training) it takes running averages of what it saw in training. A batch of one sample has no
    variance: its y is β, and the running averages stay as they are.

    Parameters
    ----------
    n : int
        I, the number of values of a sample.
    momentum : float, default 0.9
        running ← momentum running + (1 - momentum) batch, as in Chainer and (as 1 - 0.1) in PyTorch.
    eps : float, default 1e-5
        ε, added to the variance so that a constant value does not divide by zero.

    Raises
    ------
    ArgumentError
        If n is no integer of at least 1, momentum lies outside [0, 1), or eps is not above 0.
    """

    axis = 0

    def __init__(self, n: int, momentum: float = 0.9, eps: float = 1e-5):
        super().__init__(n, eps)
        self.momentum = fraction("BatchNorm: momentum", momentum)
        self.add_parameter("running_mean", (self.n,), Zeros(), trained=False)
        self.add_parameter("running_var", (self.n,), Ones(), trained=False)

    def config(self) -> dict[str, Any]:
        return {"n": self.n, "momentum": self.momentum, "eps": self.eps}

    def formula(self, x: Array) -> Array:
        if self.training:
            self.moments(x)
            if len(x) > 1:
                self.remember(self.running_mean, self.mean, 1.0)
                self.remember(self.running_var, self.var, len(x) / (len(x) - 1))  # unbiased, as in the paper
        else:
            self.mean[...], self.var[...] = self.running_mean, self.running_var
            self.xp.subtract(x, self.mean, out=self.xhat)
        return self.scaled()

    def remember(self, running: Array, batch: Array, factor: float) -> None:
        """running ← momentum running + (1 - momentum) factor batch."""
        running *= self.momentum
        running += self.xp.multiply(batch[0], (1 - self.momentum) * factor, out=self.std[0])

    def gradient(self, dy: Array) -> Array:
        """As above in training; in use μ and σ² are constants, and dx = dy γ / √(σ² + ε)."""
        dx = super().gradient(dy)
        if not self.training:
            self.xp.multiply(dy, self.gamma, out=dx)
            dx /= self.std
        return dx
