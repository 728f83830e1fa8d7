"""Optimizers: a few passes over two flat vectors, params and grads, in pieces that stay in the cache.

In the formulas w is a parameter, g its gradient ∂L/∂w, lr the learning rate; ← overwrites.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from .backend import to_host
from .errors import ArgumentError, UnknownNameError
from .network import Network
from .part import Array
from .schedules import Constant, Schedule, positive, rate

PIECE = 65536  # values: 256 KiB of each float32 vector at a time stay in the second-level cache


def share(name: str, value: float) -> float:
    """A decay rate of a running average: a number in [0, 1)."""
    if rate(name, value) >= 1:
        raise ArgumentError(f"{name} must be below 1, got {value!r}")
    return float(value)


class Optimizer:
    """Base of the optimizers: changes a network's params by its grads, and never changes grads.

    Parameters
    ----------
    net : Network
        Whose parameters to train.
    lr : float or Schedule
        Learning rate.
    weight_decay : float, default 0
        λ: λ w is added to the gradient of each weight (not of biases), the gradient of ½ λ Σ w².
    clip_norm : float, optional
        Where the norm of the whole gradient is larger, it is scaled down to this (Pascanu et al., 2013).
    max_norm : float, optional
        After each step, the weights into a unit (a column of W) whose norm is larger are scaled down to this
        (Srivastava et al., 2014).

    Attributes
    ----------
    lr : float
        The rate of the next step. A number or a Schedule can be assigned at any time.
    steps : int
        Steps made so far.

    Raises
    ------
    ArgumentError
        If a number is outside its range.
    """

    moments = 0  # vectors that it keeps beside params and grads

    def __init__(
        self,
        net: Network,
        lr: float | Schedule,
        *,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        max_norm: float | None = None,
    ):
        if not isinstance(net, Network):
            raise ArgumentError(f"an optimizer needs the network it trains, got {net!r}")
        self.net, self.steps, self.schedule = net, 0, self._as_schedule(lr)
        self.weight_decay = rate("weight_decay", weight_decay)
        self.clip_norm = None if clip_norm is None else positive("clip_norm", clip_norm)
        self.max_norm = None if max_norm is None else positive("max_norm", max_norm)
        self.vectors: list[Array] = [net.xp.zeros_like(net.params) for _ in range(self.moments)]
        self._cut()

    @staticmethod
    def _as_schedule(lr: float | Schedule) -> Schedule:
        return lr if isinstance(lr, Schedule) else Constant(lr)

    @property
    def lr(self) -> float:
        return self.schedule(self.steps)

    @lr.setter
    def lr(self, lr: float | Schedule) -> None:
        self.schedule = self._as_schedule(lr)

    def _cut(self) -> None:
        """Cut the vectors into pieces, weights and biases apart."""
        net = self.net
        self.xp, self.params = net.xp, net.params
        self.decays = bool(self.weight_decay)
        self.vectors = [self.xp.asarray(to_host(vector), net.dtype) for vector in self.vectors]
        size, step = net.params.size, PIECE if self.xp is np else max(net.params.size, 1)
        cuts = sorted({*range(0, size, step), net.weight_count if self.decays else 0, size})
        longest = max((b - a for a, b in pairwise(cuts)), default=0)
        scratch = self.xp.empty((2, longest), net.dtype)
        self.pieces = []
        for start, stop in pairwise(cuts):
            views = [vector[start:stop] for vector in (net.params, net.grads, *self.vectors)]
            self.pieces.append((start < net.weight_count, *scratch[:, : stop - start], *views))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in {"xp", "params", "pieces"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._cut()

    def step(self) -> None:
        """One step: change the network's params by its grads."""
        if self.params is not self.net.params or self.decays != bool(self.weight_decay):  # moved, or changed
            self._cut()
        xp, scale, decays = self.xp, self._clip(), self.decays
        self.begin(self.lr)
        self.steps += 1
        for is_weight, delta, changed, w, g, *moments in self.pieces:
            if scale is not None:
                g = xp.multiply(g, scale, out=changed)
            if decays and is_weight:
                g = self.decay(w, g, delta, changed)
            self.update(w, g, delta, *moments)
        if self.max_norm is not None:
            for W in self.net.weights:
                units = W.reshape(-1, W.shape[-1])
                norms = xp.sqrt(xp.einsum("ij,ij->j", units, units))
                units *= self.max_norm / xp.maximum(norms, self.max_norm)  # 1 where the norm is small enough

    def _clip(self) -> Any:
        """What the gradients are to be multiplied by, as a 0-d array; None where nothing is clipped."""
        if self.clip_norm is None:
            return None
        xp, g = self.xp, self.net.grads
        norm = xp.sqrt(xp.dot(g, g))
        # A norm that is not finite must not pass as a step of zero: NaN weights are reported by `train`.
        return xp.where(xp.isfinite(norm), self.clip_norm / xp.maximum(norm, self.clip_norm), norm.dtype.type("nan"))

    def decay(self, w: Array, g: Array, delta: Array, changed: Array) -> Array:
        """The gradient with weight decay in it, g + λ w, beside g."""
        self.xp.multiply(w, self.weight_decay, out=delta)
        return self.xp.add(g, delta, out=changed)

    def begin(self, lr: float) -> None:
        """Take in the rate of this step."""
        self.rate = lr

    def update(self, w: Array, g: Array, delta: Array, *moments: Array) -> None:
        """Change a piece of the parameters in place; `delta` is scratch memory of the same size."""
        raise NotImplementedError


class SGD(Optimizer):
    """Gradient descent, w ← w - lr g. With momentum μ: m ← μ m + g,  w ← w - lr m.

    With Nesterov's momentum: w ← w - lr (g + μ m).

    Sources: Polyak, 1964; Nesterov, 1983, in the form of Sutskever et al., 2013.

    Parameters
    ----------
    net : Network
    lr : float or Schedule, default 0.1
    momentum : float, default 0
        μ, in [0, 1); 0.9 is usual.
    nesterov : bool, default False
        Nesterov's momentum.
    **options
        weight_decay, clip_norm, max_norm: see `Optimizer`.
    """

    def __init__(
        self, net: Network, lr: float | Schedule = 0.1, momentum: float = 0.0, nesterov: bool = False, **options: Any
    ):
        self.momentum, self.nesterov = share("momentum", momentum), nesterov
        if nesterov and not momentum:
            raise ArgumentError("nesterov=True needs a momentum, e.g. momentum=0.9")
        self.moments = 1 if momentum else 0
        super().__init__(net, lr, **options)

    def update(self, w: Array, g: Array, delta: Array, *moments: Array) -> None:
        multiply = self.xp.multiply
        if moments:
            (m,) = moments
            m *= self.momentum
            m += g
            if self.nesterov:
                multiply(m, self.momentum, out=delta)
                delta += g
                delta *= self.rate
            else:
                multiply(m, self.rate, out=delta)
        else:
            multiply(g, self.rate, out=delta)
        w -= delta


class AdaGrad(Optimizer):
    """AdaGrad (Duchi, Hazan & Singer, 2011): v ← v + g²,  w ← w - lr g / (√v + ε).

    Parameters
    ----------
    net : Network
    lr : float or Schedule, default 0.01
    eps : float, default 1e-8
        ε, against division by zero.
    **options
        weight_decay, clip_norm, max_norm: see `Optimizer`.
    """

    moments = 1

    def __init__(self, net: Network, lr: float | Schedule = 0.01, eps: float = 1e-8, **options: Any):
        self.eps = positive("eps", eps)
        super().__init__(net, lr, **options)

    def update(self, w: Array, g: Array, delta: Array, *moments: Array) -> None:
        xp, (v,) = self.xp, moments
        v += xp.multiply(g, g, out=delta)
        xp.sqrt(v, out=delta)
        delta += self.eps
        xp.divide(g, delta, out=delta)
        delta *= self.rate
        w -= delta


class RMSProp(Optimizer):
    """RMSProp (Tieleman & Hinton, 2012, lecture 6.5): v ← ρ v + (1 - ρ) g²,  w ← w - lr g / (√v + ε).

    Parameters
    ----------
    net : Network
    lr : float or Schedule, default 0.001
    rho : float, default 0.9
        ρ, how much of the running average stays.
    eps : float, default 1e-8
        ε, against division by zero.
    **options
        weight_decay, clip_norm, max_norm: see `Optimizer`.
    """

    moments = 1

    def __init__(
        self, net: Network, lr: float | Schedule = 0.001, rho: float = 0.9, eps: float = 1e-8, **options: Any
    ):
        self.rho, self.eps = share("rho", rho), positive("eps", eps)
        super().__init__(net, lr, **options)

    def update(self, w: Array, g: Array, delta: Array, *moments: Array) -> None:
        xp, (v,) = self.xp, moments
        v *= self.rho
        xp.multiply(g, g, out=delta)
        delta *= 1 - self.rho
        v += delta
        xp.sqrt(v, out=delta)
        delta += self.eps
        xp.divide(g, delta, out=delta)
        delta *= self.rate
        w -= delta


class Adam(Optimizer):
    """Adam (Kingma & Ba, 2015), w ← w - lr m̂ / (√v̂ + ε).

    m̂ and v̂ are the running averages of g and g², freed of their start at zero. They are kept as sums,
    m ← β₁ m + g and v ← β₂ v + g², so that m̂ = m (1 - β₁) / (1 - β₁ᵗ) after t steps and v̂ likewise. With
    r = √((1 - β₂) / (1 - β₂ᵗ)), √v̂ = r √v, and the step is w ← w - a m / (√v + e) with
    a = lr (1 - β₁) / (1 - β₁ᵗ) / r and e = ε / r: two passes over memory fewer.

    Parameters
    ----------
    net : Network
    lr : float or Schedule, default 0.001
    beta1, beta2 : float, default 0.9, 0.999
        β₁ and β₂, how much of the running averages stays. These, ε and lr are the paper's.
    eps : float, default 1e-8
        ε, against division by zero.
    **options
        weight_decay, clip_norm, max_norm: see `Optimizer`. The decay is part of the gradient; AdamW keeps it apart.
    """

    moments = 2

    def __init__(
        self,
        net: Network,
        lr: float | Schedule = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        **options: Any,
    ):
        self.beta1, self.beta2, self.eps = share("beta1", beta1), share("beta2", beta2), positive("eps", eps)
        super().__init__(net, lr, **options)

    def begin(self, lr: float) -> None:
        super().begin(lr)
        t = self.steps + 1
        r = math.sqrt((1 - self.beta2) / (1 - self.beta2**t))
        self.a, self.e = lr * (1 - self.beta1) / (1 - self.beta1**t) / r, self.eps / r

    def update(self, w: Array, g: Array, delta: Array, *moments: Array) -> None:
        xp, (m, v) = self.xp, moments
        m *= self.beta1
        m += g
        v *= self.beta2
        v += xp.multiply(g, g, out=delta)
        xp.sqrt(v, out=delta)
        delta += self.e
        xp.divide(m, delta, out=delta)
        delta *= self.a
        w -= delta


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019): w ← w - lr λ w, apart from Adam's step.

    Parameters
    ----------
    net : Network
    lr : float or Schedule, default 0.001
    weight_decay : float, default 0.01
        λ; the paper's and PyTorch's default. Weights only, not biases.
    **options
        beta1, beta2, eps: see `Adam`; clip_norm, max_norm: see `Optimizer`.
    """

    def __init__(self, net: Network, lr: float | Schedule = 0.001, weight_decay: float = 0.01, **options: Any):
        super().__init__(net, lr, weight_decay=weight_decay, **options)

    def decay(self, w: Array, g: Array, delta: Array, changed: Array) -> Array:
        """w ← w - lr λ w; the gradient stays as it is."""
        w *= 1 - self.rate * self.weight_decay
        return g


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD, "rmsprop": RMSProp, "adagrad": AdaGrad, "adam": Adam, "adamw": AdamW
}  # fmt: skip


def by_name(name: str) -> type[Optimizer]:
    """The optimizer class of this name, in lower case; raises UnknownNameError, which lists those that exist."""
    if name not in OPTIMIZERS:
        raise UnknownNameError("optimizer", name, list(OPTIMIZERS))
    return OPTIMIZERS[name]
