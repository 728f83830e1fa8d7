"""Optimizers: the formulas.

w is a parameter, g its gradient ∂L/∂w, lr the learning rate. The moments m and v are kept from step to step. ← means
that the left side is overwritten.
"""

from __future__ import annotations

import math
from typing import Any

from .base import Array, boolean, fraction, positive
from .errors import ArgumentError, UnknownNameError
from .network import Network
from .optimizer import Number, Optimizer
from .schedules import Schedule


class SGD(Optimizer):
    """Gradient descent, w ← w - lr g. With momentum μ: m ← μ m + g,  w ← w - lr m.

    With Nesterov's momentum: w ← w - lr (g + μ m).

    Sources: Polyak, 1964; Nesterov, 1983, in the form of Sutskever et al., 2013.

    Parameters
    ----------
    net : Network
    lr : float or Schedule, default 0.1
    momentum : float, default 0
        μ, in [0, 1); 0.9 is usual. It can be changed later unless it was 0, because then there is no m.
    nesterov : bool, default False
        Use Nesterov's momentum.
    **options
        weight_decay, clip_norm, max_norm: see `Optimizer`.
    """

    momentum: Any = Number(fraction)
    nesterov: Any = Number(boolean)

    def __init__(
        self, net: Network, lr: float | Schedule = 0.1, momentum: float = 0.0, nesterov: bool = False, **options: Any
    ):
        self.momentum, self.nesterov = momentum, nesterov
        self.n_moments = 1 if momentum else 0
        super().__init__(net, lr, **options)

    def refuse_conflict(self, name: str, value: Any) -> None:
        """Refuse Nesterov's momentum without a momentum, and a momentum that is set too late."""
        if name == "momentum" and value and vars(self).get("n_moments") == 0:
            raise ArgumentError(
                "the momentum was 0 when this SGD was created, so it has no m; create a new one: SGD(net, momentum=0.9)"
            )
        now = vars(self) | {name: value}
        if now.get("nesterov") and not now.get("momentum", True):
            raise ArgumentError("nesterov=True needs a momentum, e.g. momentum=0.9")

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


def _divided_step(xp: Any, w: Array, g: Array, v: Array, delta: Array, eps: float, rate: float) -> None:
    """w ← w - rate g / (√v + ε): the last part of AdaGrad, RMSProp and Adam (with m for g)."""
    xp.sqrt(v, out=delta)
    delta += eps
    xp.divide(g, delta, out=delta)
    delta *= rate
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

    eps: Any = Number(positive)
    n_moments = 1

    def __init__(self, net: Network, lr: float | Schedule = 0.01, eps: float = 1e-8, **options: Any):
        self.eps = eps
        super().__init__(net, lr, **options)

    def update(self, w: Array, g: Array, delta: Array, *moments: Array) -> None:
        xp, (v,) = self.xp, moments
        v += xp.multiply(g, g, out=delta)
        _divided_step(xp, w, g, v, delta, self.eps, self.rate)


class RMSProp(Optimizer):
    """RMSProp (Tieleman & Hinton, 2012, lecture 6.5): v ← ρ v + (1 - ρ) g²,  w ← w - lr g / (√v + ε).

    Parameters
    ----------
    net : Network
    lr : float or Schedule, default 0.001
    rho : float, default 0.9
        ρ, the decay rate of the running average.
    eps : float, default 1e-8
        ε, against division by zero.
    **options
        weight_decay, clip_norm, max_norm: see `Optimizer`.
    """

    rho: Any = Number(fraction)
    eps: Any = Number(positive)
    n_moments = 1

    def __init__(
        self, net: Network, lr: float | Schedule = 0.001, rho: float = 0.9, eps: float = 1e-8, **options: Any
    ):
        self.rho, self.eps = rho, eps
        super().__init__(net, lr, **options)

    def update(self, w: Array, g: Array, delta: Array, *moments: Array) -> None:
        xp, (v,) = self.xp, moments
        v *= self.rho
        xp.multiply(g, g, out=delta)
        delta *= 1 - self.rho
        v += delta
        _divided_step(xp, w, g, v, delta, self.eps, self.rate)


class Adam(Optimizer):
    """Adam (Kingma & Ba, 2015), w ← w - lr m̂ / (√v̂ + ε).

    m̂ and v̂ are the running averages of g and g², corrected for their start at zero. Here they are kept as sums,
    m ← β₁ m + g and v ← β₂ v + g², so that m̂ = m (1 - β₁) / (1 - β₁ᵗ) after t steps and v̂ likewise. With
    r = √((1 - β₂) / (1 - β₂ᵗ)), √v̂ = r √v. The step is then w ← w - a m / (√v + e) with
    a = lr (1 - β₁) / (1 - β₁ᵗ) / r and e = ε / r, which saves two passes over memory.

    Parameters
    ----------
    net : Network
    lr : float or Schedule, default 0.001
    beta1, beta2 : float, default 0.9, 0.999
        β₁ and β₂, the decay rates of the running averages. These, ε and lr are the values of the paper.
    eps : float, default 1e-8
        ε, against division by zero.
    **options
        weight_decay, clip_norm, max_norm: see `Optimizer`. The decay is part of the gradient, unlike in AdamW.
    """

    beta1: Any = Number(fraction)
    beta2: Any = Number(fraction)
    eps: Any = Number(positive)
    n_moments = 2

    def __init__(
        self,
        net: Network,
        lr: float | Schedule = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        **options: Any,
    ):
        self.beta1, self.beta2, self.eps = beta1, beta2, eps
        super().__init__(net, lr, **options)

    def update(self, w: Array, g: Array, delta: Array, *moments: Array) -> None:
        xp, (m, v), t, beta1, beta2 = self.xp, moments, self.steps, self.beta1, self.beta2
        r = math.sqrt((1 - beta2) / (1 - beta2**t))
        a, e = self.rate * (1 - beta1) / (1 - beta1**t) / r, self.eps / r
        m *= beta1
        m += g
        v *= beta2
        v += xp.multiply(g, g, out=delta)
        _divided_step(xp, w, m, v, delta, e, a)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019): w ← w - lr λ w, besides Adam's step.

    Parameters
    ----------
    net : Network
    lr : float or Schedule, default 0.001
    weight_decay : float, default 0.01
        λ, for weights, not for biases. The default is that of the paper and of PyTorch.
    **options
        beta1, beta2, eps: see `Adam`; clip_norm, max_norm: see `Optimizer`.
    """

    def __init__(self, net: Network, lr: float | Schedule = 0.001, weight_decay: float = 0.01, **options: Any):
        super().__init__(net, lr, weight_decay=weight_decay, **options)

    def decay(self, w: Array, g: Array, delta: Array, changed: Array) -> Array:
        """w ← w - lr λ w; the gradient does not change."""
        w *= 1 - self.rate * self.weight_decay
        return g


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD, "rmsprop": RMSProp, "adagrad": AdaGrad, "adam": Adam, "adamw": AdamW
}  # fmt: skip


def by_name(name: str) -> type[Optimizer]:
    """The optimizer class of this name in lower case; an UnknownNameError lists those that exist."""
    if name not in OPTIMIZERS:
        raise UnknownNameError("optimizer", name, list(OPTIMIZERS))
    return OPTIMIZERS[name]
