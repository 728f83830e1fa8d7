"""The updates of scikit-learn's MLP, where they differ from those of minibp's SGD and Adam.

The penalty: scikit-learn adds ½ α Σ w² / N to the mean loss of a batch of N samples, so that the decay λ = α / N of the
last batch, which may be shorter, is larger. If samples have weights, N is the sum of theirs. The velocity of its SGD
contains the rate, v ← μ v - lr g, which is -lr m for minibp's m as long as lr stays the same; `set_rate` rescales m
when it changes. Its Adam adds ε before the bias correction, which is the form at the end of section 2 of Kingma & Ba,
2015.
"""

from __future__ import annotations

import math
from typing import Any

from ..base import Array
from ..optimizer import Optimizer
from ..optimizers import SGD, Adam
from ..program.rows import OPTIMIZERS


class PerSample(Optimizer):
    """Base of the two. `weight_decay` is α: the decay of a batch of N samples is λ = α / N."""

    per_sample = True

    def decay(self, w: Array, g: Array, delta: Array, changed: Array) -> Array:
        """The gradient with weight decay, g + (α / N) w, in `changed`."""
        self.xp.multiply(w, self.weight_decay / self.net.fused_loss.total, out=delta)
        return self.xp.add(g, delta, out=changed)


class PerSampleSGD(PerSample, SGD):
    """SGD whose decay is α / N."""


class PerSampleAdam(PerSample, Adam):
    """Adam whose decay is α / N, and which adds ε before the bias correction.

    w ← w - lr √(1 - β₂ᵗ) / (1 - β₁ᵗ) m / (√v + ε) for the averages m and v. For sums in place of averages (see `Adam`)
    it is the step w ← w - a m / (√v + e) with the a of Adam and e = ε / √(1 - β₂).
    """

    raw_eps = True

    def update(self, w: Array, g: Array, delta: Array, *moments: Array) -> None:
        xp, (m, v), t, beta1, beta2 = self.xp, moments, self.steps, self.beta1, self.beta2
        a = self.rate * (1 - beta1) / (1 - beta1**t) * math.sqrt((1 - beta2**t) / (1 - beta2))
        m *= beta1
        m += g
        v *= beta2
        v += xp.multiply(g, g, out=delta)
        xp.sqrt(v, out=delta)
        delta += self.eps / math.sqrt(1 - beta2)
        xp.divide(m, delta, out=delta)
        delta *= a
        w -= delta


# They have the operations of SGD and Adam, which look at these two attributes.
OPTIMIZERS[PerSampleSGD] = OPTIMIZERS[SGD] | {"per_sample": "per_sample"}
OPTIMIZERS[PerSampleAdam] = OPTIMIZERS[Adam] | {"per_sample": "per_sample", "raw_eps": "raw_eps"}


def set_rate(optimizer: Any, rate: float) -> None:
    """Set the rate of the next steps, and keep the velocity of an SGD, -lr m."""
    before = optimizer.lr
    if rate == before:
        return
    if isinstance(optimizer, SGD):
        for m in optimizer.moments:
            m *= before / rate
    optimizer.lr = rate
