"""Optimizer: the base of the optimizers, which goes over two flat vectors in pieces that stay in the cache."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from .backend import to_host, to_library
from .base import Array, Checked, checked_names, instance, number, positive_or_none
from .errors import ArgumentError
from .network import Network
from .schedules import Constant, Schedule

PIECE = 65536  # values: 256 KiB of each float32 vector at a time stay in the second-level cache
COMPILE_AFTER = 4e8  # parameters times steps. Compiled loops save 1.2 to 1.6 ns for each, and load in half a second
FLUSH_EVERY = 100  # steps between two flushes of moments that have almost decayed to zero
FLUSH_BELOW = 1e6  # times the smallest normal number: 1e-32 in float32, whose root is far below any usual ε


class Number(Checked):
    """A number of an optimizer, which must also go with the others: else an ArgumentError where it is assigned."""

    def __set__(self, optimizer: Optimizer, value: Any) -> None:
        before = vars(optimizer).get(self.name)
        value = self.checked(optimizer, value)
        optimizer.refuse_conflict(self.name, value)
        vars(optimizer)[self.name] = value
        if bool(before) != bool(value):  # decay, clipping or a momentum comes in or goes
            optimizer.pieces = None


class Piece(NamedTuple):
    """Views of a part of the vectors, which hold weights or biases alone, and scratch memory of the same size."""

    is_weight: bool
    delta: Array  # scratch: the change of w
    changed: Array  # scratch: g after clipping and decay
    w: Array
    g: Array
    moments: list[Array]


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
        The rate of the next step. A number or a Schedule can be assigned at any time, as can the other numbers.
    steps : int
        Steps made so far.

    Raises
    ------
    ArgumentError
        If net is no Network, or a number is outside its range: here, or where it is assigned; of a Schedule, where
        it is asked for the rate.
    """

    weight_decay: Any = Number(number)
    clip_norm: Any = Number(positive_or_none)
    max_norm: Any = Number(positive_or_none)
    n_moments = 0  # vectors that it keeps beside params and grads
    loop: str | None = None  # the compiled form of `update`, which takes (w, g, *moments, *loop_numbers())

    def __init__(
        self,
        net: Network,
        lr: float | Schedule,
        *,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        max_norm: float | None = None,
    ):
        instance("net", net, Network, "give the network that is to be trained first: SGD(net, lr=0.1)")
        self.net, self.steps, self.schedule = net, 0, self._as_schedule(lr)
        self.weight_decay, self.clip_norm, self.max_norm = weight_decay, clip_norm, max_norm
        self.moments: list[Array] = [net.xp.zeros_like(net.params) for _ in range(self.n_moments)]
        self.sync()

    @staticmethod
    def _as_schedule(lr: float | Schedule) -> Schedule:
        return lr if isinstance(lr, Schedule) else Constant(lr)

    @property
    def lr(self) -> float:
        try:
            rate = float(self.schedule(self.steps))  # a NumPy number would widen the arithmetic
        except OverflowError:  # of a factor above 1, after many steps
            return math.inf
        if not rate >= 0:  # uphill, or NaN
            who = f"{type(self.schedule).__name__} gives the rate {rate:g} after {self.steps} steps"
            raise ArgumentError(f"{who}, expected a number of at least 0")
        return rate

    @lr.setter
    def lr(self, lr: float | Schedule) -> None:
        self.schedule = self._as_schedule(lr)

    def config(self) -> dict[str, Any]:
        """Its numbers besides the learning rate, by the names of the attributes."""
        return {name: getattr(self, name) for name in checked_names(type(self), Number)}

    def __repr__(self) -> str:
        lr = self.schedule.lr if type(self.schedule) is Constant else self.schedule
        numbers = {"lr": lr} | {name: value for name, value in self.config().items() if value}
        return f"{type(self).__name__}(net, {', '.join(f'{name}={value!r}' for name, value in numbers.items())})"

    def refuse_conflict(self, name: str, value: Any) -> None:
        """Refuse, by an ArgumentError, a number that is in its range but does not fit the others."""

    def sync(self) -> None:
        """Go where the network is: it calls this when it has been moved."""
        net = self.net
        net.optimizers.add(self)
        self.xp, self.moments = net.xp, [to_library(vector, net.xp, net.dtype) for vector in self.moments]
        self.compile_at = math.ceil(COMPILE_AFTER / max(net.params.size, 1))
        self.compiled: Callable[..., None] | None = None
        self.pieces: list[Piece] | None = None  # cut before a step, where there are none

    def _cut(self) -> list[Piece]:
        """The vectors in pieces, weights and biases apart; from `compile_at` on, for the compiled loops."""
        net, size = self.net, self.net.params.size
        self.compiled = self._compiled() if self.steps >= self.compile_at else None
        one_pass = self.compiled and not self.weight_decay and self.clip_norm is None  # no cache to keep a piece in
        step = max(size, 1) if self.xp is not np else 4 * PIECE if one_pass else PIECE
        cuts = sorted({*range(0, size, step), net.weight_count if self.weight_decay else 0, size})
        longest = max((b - a for a, b in pairwise(cuts)), default=0)
        scratch = self.xp.empty((2, longest), net.dtype)
        pieces = []
        for start, stop in pairwise(cuts):
            w, g, *moments = (vector[start:stop] for vector in (net.params, net.grads, *self.moments))
            delta, changed = scratch[:, : stop - start]
            pieces.append(Piece(start < net.weight_count, delta, changed, w, g, moments))
        return pieces

    def __getstate__(self) -> dict[str, Any]:
        left = {"xp", "pieces", "compiled"}
        kept = {name: value for name, value in self.__dict__.items() if name not in left}
        return kept | {"moments": [to_host(vector) for vector in self.moments]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.sync()

    def step(self) -> None:
        """One step: change the network's params by its grads.

        Raises
        ------
        ArgumentError
            If a schedule gives a rate that is negative or NaN: nothing is changed then.
        """
        if self.pieces is None:
            self.pieces = self._cut()
        if self.steps % FLUSH_EVERY == 0:
            self._flush(self.pieces)
        xp, lr, scale, decays = self.xp, self.lr, self._clip(self.pieces), bool(self.weight_decay)
        self.begin(lr)
        self.steps += 1
        loop = self.compiled
        numbers = [self.net.dtype.type(number) for number in self.loop_numbers()] if loop else []
        for is_weight, delta, changed, w, g, moments in self.pieces:
            if scale is not None:
                g = xp.multiply(g, scale, out=changed)
            if decays and is_weight:
                g = self.decay(w, g, delta, changed)
            if loop:
                loop(w, g, *moments, *numbers)
            else:
                self.update(w, g, delta, *moments)
        if self.steps == self.compile_at:
            self.pieces = None
        if self.max_norm is not None:
            for W in self.net.weights:
                units = W.reshape(-1, W.shape[-1])
                norms = xp.sqrt(xp.einsum("ij,ij->j", units, units))
                factor = self.max_norm / xp.maximum(norms, self.max_norm)  # 1 where the norm is small enough
                units *= xp.where(xp.isfinite(norms), factor, norms.dtype.type("nan"))  # not 0: as in `_clip`

    def _compiled(self) -> Callable[..., None] | None:
        """The compiled form of `update`, to the bit the same, where there is one."""
        owner = next(cls for cls in type(self).__mro__ if "update" in vars(cls))  # not for a subclass with its own
        loops = self.net.compile()
        return getattr(loops, self.loop, None) if self.loop and "loop" in vars(owner) else None

    def _flush(self, pieces: list[Piece]) -> None:
        """Make moments 0 that are 0 to any purpose, and NaN what has overflowed.

        Where a gradient stays 0, of a unit that is dead or a pixel that is never black, a moment decays to numbers
        below the normal ones, and stays there: rounding keeps it from 0. Processors take a hundred times as long for
        these.
        """
        xp, least = self.xp, np.finfo(self.net.dtype).tiny * FLUSH_BELOW
        for _, size, kept, _, _, moments in pieces:
            for m in moments:
                xp.absolute(m, out=size)
                m *= xp.greater_equal(size, least, out=kept)
                xp.copyto(m, math.nan, where=xp.isinf(size))  # else what it divides would stand still unseen

    def _clip(self, pieces: list[Piece]) -> Any:
        """What the gradients are to be multiplied by, as a 0-d array; None where nothing is clipped."""
        if self.clip_norm is None:
            return None
        xp, g = self.xp, self.net.grads
        if g.size == 0:
            return None
        largest = xp.maximum(xp.maximum(g.max(), -g.min()), np.finfo(g.dtype).tiny)
        total = 0  # of the squares, divided by the largest, so that they cannot overflow
        with np.errstate(over="ignore", invalid="ignore"):
            for piece in pieces:
                scaled = xp.divide(piece.g, largest, out=piece.delta)
                total = total + xp.dot(scaled, scaled)
            norm = largest * xp.sqrt(total)
        # A norm that is not finite must not pass as a step of zero: NaN weights are reported by `train`.
        return xp.where(xp.isfinite(norm), self.clip_norm / xp.maximum(norm, self.clip_norm), norm.dtype.type("nan"))

    def decay(self, w: Array, g: Array, delta: Array, changed: Array) -> Array:
        """The gradient with weight decay in it, g + λ w, beside g."""
        self.xp.multiply(w, self.weight_decay, out=delta)
        return self.xp.add(g, delta, out=changed)

    def begin(self, lr: float) -> None:
        """Take in the rate of this step."""
        self.rate = lr

    def loop_numbers(self) -> tuple[float, ...]:
        """What the compiled loop takes besides arrays, of this step."""
        return ()

    def update(self, w: Array, g: Array, delta: Array, *moments: Array) -> None:
        """Change a piece of the parameters in place; `delta` is scratch memory of the same size."""
        raise NotImplementedError
