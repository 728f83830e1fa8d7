"""Optimizer: the base of the optimizers. It goes over two flat vectors in pieces that stay in the cache."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from .backend import current_device, squares, to_host, to_library, write
from .base import (
    Array,
    Checked,
    Declared,
    Fixed,
    Stateful,
    all_finite,
    at_least_zero,
    by_part,
    check_vector,
    checked_names,
    instance,
    number,
    positive_or_none,
    refuse_other_names,
)
from .errors import ArgumentError, DivergenceError
from .network import Network
from .schedules import Constant, Schedule, as_schedule, resumed

PIECE = 65536  # values: 256 KiB of each float32 vector, so that a piece stays in the second-level cache
FLUSH_EVERY = 100  # steps between two flushes of moments that have almost decayed to zero
FLUSH_BELOW = 1e6  # times the smallest normal number: 1e-32 in float32, whose root is far below any usual ε


class Number(Checked):
    """A number of an optimizer. It is checked when it is assigned, alone and together with the others."""

    def checked(self, owner: Any, value: Any) -> Any:
        value, net = super().checked(owner, value), vars(owner).get("net")
        with np.errstate(all="ignore"):
            rounded = float(net.dtype.type(value)) if value and net is not None else 1.0
        if not 0 < rounded < math.inf:
            what = f"{type(owner).__name__}: {self.name}={value!r} becomes {rounded:g} in {net.dtype}"
            raise ArgumentError(f"{what}; choose a {'smaller' if rounded else 'larger'} one, or a network of float64")
        return value

    def __set__(self, optimizer: Optimizer, value: Any) -> None:
        before = vars(optimizer).get(self.name)
        value = self.checked(optimizer, value)
        optimizer.refuse_conflict(self.name, value)
        vars(optimizer)[self.name] = value
        if bool(before) != bool(value):  # decay, clipping or momentum is switched on or off
            optimizer.pieces = None


class Piece(NamedTuple):
    """Views of a part of the vectors, either weights or biases, and scratch memory of the same size."""

    is_weight: bool
    delta: Array  # scratch: the change of w
    changed: Array  # scratch: g after clipping and decay
    w: Array
    g: Array
    moments: list[Array]


class Optimizer(Declared, Stateful):
    """Base of the optimizers. An optimizer changes the params of a network by its grads, and does not change grads.

    Parameters
    ----------
    net : Network
        The network to train.
    lr : float or Schedule
        Learning rate.
    weight_decay : float, default 0
        λ: adds λ w, the gradient of ½ λ Σ w², to the gradient of weights, not of biases.
    clip_norm : float, optional
        The largest norm of the whole gradient; a longer one is scaled down to it (Pascanu et al., 2013).
    max_norm : float, optional
        The largest norm of the weights into a unit (a column of W); after each step, longer ones are scaled down to it
        (Srivastava et al., 2014).

    Attributes
    ----------
    lr : float
        The rate of the next step. It can be assigned at any time, a number or a Schedule, as can the other numbers. A
        number replaces a schedule, also by ``optimizer.lr *= 0.1``.
    steps : int
        The number of steps made so far.
    rate : float
        The rate of the last step, for `update`. `step` sets it: assign to `lr`.
    """

    net: Any = Fixed(lambda name, net: net)  # its moments and pieces belong to this network
    weight_decay: Any = Number(number)
    clip_norm: Any = Number(positive_or_none)
    max_norm: Any = Number(positive_or_none)
    schedule: Schedule
    xp: Any
    moments: list[Array]
    pieces: list[Piece] | None = None  # None: cut before the next step
    n_moments = 0  # vectors that it keeps besides params and grads
    steps = 0
    rate = 0.0  # of the current step

    def __init__(
        self,
        net: Network,
        lr: float | Schedule,
        *,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        max_norm: float | None = None,
    ):
        instance("net", net, Network, "the network comes first: SGD(net, lr=0.1)")
        self.net, self.steps, self.schedule = net, 0, self._as_schedule(lr)
        self.weight_decay, self.clip_norm, self.max_norm = weight_decay, clip_norm, max_norm
        with net.device:
            self.moments = [net.xp.zeros_like(net.params) for _ in range(self.n_moments)]
        self.check_numbers()
        self.sync()

    def _as_schedule(self, lr: float | Schedule) -> Schedule:
        try:
            return as_schedule("lr", lr)
        except ArgumentError as error:
            raise ArgumentError(f"{type(self).__name__}: {error}") from None

    @property
    def lr(self) -> float:
        return self.rate_after(self.steps)

    @lr.setter
    def lr(self, lr: float | Schedule) -> None:
        self.schedule = self._as_schedule(lr)

    def rate_after(self, steps: int) -> float:
        """The learning rate after that many steps; an ArgumentError if the schedule returns anything else."""
        try:
            rate = self.schedule(steps)
        except OverflowError:  # a factor above 1, after many steps
            return math.inf
        try:
            if rate >= 0:  # not NaN; a TypeError for a string
                return float(rate)  # a NumPy float64 would widen the arithmetic
        except OverflowError:
            return math.inf
        except (TypeError, ValueError):  # ValueError: an array of several numbers
            pass
        who = f"{type(self.schedule).__name__} gives the rate {rate!r:.80} after {steps} steps"
        raise ArgumentError(f"{who}, expected a number of at least 0")

    def state_parts(self) -> Mapping[str, Stateful]:
        return {"schedule": self.schedule}

    def state_dict(self) -> dict[str, Any]:
        moments = {f"moments.{i}": np.array(to_host(vector)) for i, vector in enumerate(self.moments)}
        return super().state_dict() | {"steps": self.steps} | moments

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        names = [f"moments.{i}" for i in range(len(self.moments))]
        own, inner = by_part(state, self.state_parts())
        refuse_other_names(self, own, [*self.state_names(), "steps", *names])
        who = type(self).__name__
        moments = [check_vector(f"{who}: {name}", own[name], self.net.params) for name in names]
        steps = at_least_zero(f"{who}: steps", own["steps"])
        numbers = {name: getattr(type(self), name).checked(self, own[name]) for name in checked_names(type(self))}
        vars(self).update(numbers)  # all of them first: one alone may contradict another that was there
        for name in self.state_names():
            self.load_value(name, own[name])
        for moment, values in zip(self.moments, moments, strict=True):
            write(moment, values, self.xp)
        self.steps, self.schedule = steps, resumed(self.schedule, inner["schedule"])
        self.sync()

    def config(self) -> dict[str, Any]:
        """The numbers other than the learning rate, by name."""
        return {name: getattr(self, name) for name in checked_names(type(self), Number)}

    def __repr__(self) -> str:
        lr = self.schedule.lr if type(self.schedule) is Constant else self.schedule
        numbers = {"lr": lr} | {name: value for name, value in self.config().items() if value}
        return f"{type(self).__name__}(net, {', '.join(f'{name}={value!r}' for name, value in numbers.items())})"

    def settable_names(self) -> list[str]:
        return ["lr", *super().settable_names()]

    def check_numbers(self) -> None:
        """Check all numbers again: a class sets some before it knows the network, which may also move."""
        for name in checked_names(type(self), Number):
            if name in vars(self):
                getattr(type(self), name).checked(self, vars(self)[name])

    def check_moments(self) -> None:
        """Refuse, by a DivergenceError, moments that are NaN or infinite."""
        if self.moments and not all_finite(self.xp, *self.moments):
            what = f"a moment of this {type(self).__name__} is NaN or infinite, from a training that diverged"
            raise DivergenceError(f"{what}; create a new one")

    def refuse_conflict(self, name: str, value: Any) -> None:
        """Refuse, by an ArgumentError, a number that is within its range but contradicts another."""

    def sync(self) -> None:
        """Move to where the network is. The network calls this after it has moved."""
        net = self.net
        net.optimizers.add(self)
        with net.device:
            self.xp, self.moments = net.xp, [to_library(vector, net.xp, net.dtype) for vector in self.moments]
        self.pieces = None

    def _cut(self) -> list[Piece]:
        """Cut the vectors into pieces. Weights and biases are in different pieces if weights decay."""
        self.note_attributes()
        self.check_numbers()
        net, size = self.net, self.net.params.size
        step = max(size, 1) if self.xp is not np else PIECE
        borders: list[tuple[int, int]] = []  # where the pieces begin and end
        for first, last in net.trained_ranges:
            middle = min(max(net.weight_count, first), last) if self.weight_decay else first
            borders += pairwise(sorted({*range(first, last, step), middle, last}))
        scratch = self.xp.empty((2, max((stop - start for start, stop in borders), default=0)), net.dtype)
        pieces = []
        for start, stop in borders:
            w, g, *moments = (vector[start:stop] for vector in (net.params, net.grads, *self.moments))
            delta, changed = scratch[:, : stop - start]
            pieces.append(Piece(start < net.weight_count, delta, changed, w, g, moments))
        return pieces

    def __getstate__(self) -> dict[str, Any]:
        left = {"xp", "pieces"}
        kept = {name: value for name, value in self.__dict__.items() if name not in left}
        return kept | {"moments": [to_host(vector) for vector in self.moments]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.sync()

    def step(self) -> None:
        """Make one step: change the params of the network by its grads.

        Raises
        ------
        ArgumentError
            If a schedule returns anything but a number of at least 0. Nothing is changed then.
        """
        if self.xp is not np and self.net.device != current_device(self.xp):
            with self.net.device:
                return self.step()
        if self.pieces is None:
            self.pieces = self._cut()
        if self.steps % FLUSH_EVERY == 0:
            self._flush(self.pieces)
        xp, scale, decays = self.xp, self._clip(self.pieces), bool(self.weight_decay)
        self.begin(self.rate_after(self.steps))
        self.__dict__["steps"] += 1  # saves a call of __setattr__
        for is_weight, delta, changed, w, g, moments in self.pieces:
            if scale is not None:
                g = xp.multiply(g, scale, out=changed)
            if decays and is_weight:
                g = self.decay(w, g, delta, changed)
            self.update(w, g, delta, *moments)
        if self.max_norm is not None:
            for W in self.net.trained_weights:
                units = W.reshape(-1, W.shape[-1])
                norms = xp.sqrt(squares(units, xp))
                factor = self.max_norm / xp.maximum(norms, self.max_norm)  # 1 if the norm is small enough
                units *= xp.where(xp.isfinite(norms), factor, norms.dtype.type("nan"))  # not 0, see `_clip`

    def _flush(self, pieces: list[Piece]) -> None:
        """Set moments to 0 that have almost decayed to 0, and to NaN if they have overflowed.

        If a gradient stays 0, as for a dead unit or an input that is always 0, a moment decays to subnormal numbers
        and stays there, because of rounding. Processors are a hundred times slower with these. A GPU is not, and in
        float32 CuPy has it take them for 0.
        """
        xp, least = self.xp, np.finfo(self.net.dtype).tiny * FLUSH_BELOW
        for _, size, kept, _, _, moments in pieces:
            for m in moments:
                if xp is np:
                    xp.absolute(m, out=size)
                    m *= xp.greater_equal(size, least, out=kept)
                xp.copyto(m, math.nan, where=xp.isinf(m))  # else weights that it divides would stop unnoticed

    def _clip(self, pieces: list[Piece]) -> Any:
        """The factor for the gradients, as a 0-d array; None without clipping."""
        if self.clip_norm is None or not pieces:
            return None
        xp = self.xp
        sizes = [xp.maximum(piece.g.max(), -piece.g.min()) for piece in pieces]
        largest = functools.reduce(xp.maximum, sizes, np.finfo(self.net.dtype).tiny)
        total = 0  # sum of squares, after division by the largest against overflow
        with np.errstate(over="ignore", invalid="ignore"):
            for piece in pieces:
                scaled = xp.divide(piece.g, largest, out=piece.delta)
                total = total + squares(scaled, xp)
            norm = largest * xp.sqrt(total)
        # With an infinite norm the step must not be zero: it becomes NaN, which `train` reports.
        return xp.where(xp.isfinite(norm), self.clip_norm / xp.maximum(norm, self.clip_norm), norm.dtype.type("nan"))

    def decay(self, w: Array, g: Array, delta: Array, changed: Array) -> Array:
        """The gradient with weight decay, g + λ w, in `changed`."""
        self.xp.multiply(w, self.weight_decay, out=delta)
        return self.xp.add(g, delta, out=changed)

    def begin(self, lr: float) -> None:
        """Prepare a step with this rate."""
        self.__dict__["rate"] = lr  # saves a call of __setattr__

    def update(self, w: Array, g: Array, delta: Array, *moments: Array) -> None:
        """Change a piece of the parameters in place. `delta` is scratch memory of the same size."""
        name = type(self).__name__
        raise NotImplementedError(f"{name} needs a method update(self, w, g, delta, *moments) that changes w")
