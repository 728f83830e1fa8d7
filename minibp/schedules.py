"""Learning-rate schedules: the rate as a function of the number of steps made.

An optimizer takes a schedule in place of a number, ``SGD(net, lr=Cosine(0.1, steps=10_000))``, and calls it before each
step. A step is one batch: an epoch has ``math.ceil(len(dataset) / batch_size)`` steps. All steps of the optimizer
count, also those before a schedule is assigned. `train` warns once if the rate is (almost) 0 in a whole epoch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from inspect import signature
from typing import Any

from .base import (
    BestSoFar,
    Checked,
    Declared,
    Stateful,
    at_least_one,
    at_least_zero,
    brackets,
    by_part,
    fraction,
    number,
)
from .errors import ArgumentError


class Schedule(Declared, Stateful):
    """Base of the schedules: ``schedule(step)`` is the learning rate after that many steps."""

    def __call__(self, step: int) -> float:
        raise NotImplementedError(f"{type(self).__name__} needs a method __call__(self, step) that returns the rate")

    def __repr__(self) -> str:
        names = [name for name in signature(type(self)).parameters if hasattr(self, name)]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    def state_dict(self) -> dict[str, Any]:
        return {"class": type(self).__name__} | super().state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state.get("class") != type(self).__name__:
            raise ArgumentError(f"{type(self).__name__}: the state is one of {state.get('class')!s:.40}")
        super().load_state_dict({name: value for name, value in state.items() if name != "class"})


def as_schedule(name: str, value: Any) -> Schedule:
    """A schedule; a number is a constant one."""
    if callable(value) and not isinstance(value, Schedule):
        cure = brackets(value) or "; make a function of the step a subclass of minibp.schedules.Schedule"
        raise ArgumentError(f"{name} must be a number or a Schedule, received {value!r}{cure}")
    return value if isinstance(value, Schedule) else Constant(number(name, value))


def _between(name: str, value: Any) -> float:
    if not 0 < number(name, value) < 1:
        raise ArgumentError(f"{name} must lie between 0 and 1, received {value!r}")
    return float(value)


class Constant(Schedule):
    """The same rate at every step.
    """

    lr: Any = Checked(number)

    def __init__(self, lr: float):
        self.lr = lr

    def __call__(self, step: int) -> float:
        return self.lr


class Step(Schedule):
    """lr · factorᵏ, where k = step // every: the rate changes by `factor` after each `every` steps.
    """

    lr: Any = Checked(number)
    every: Any = Checked(at_least_one)
    factor: Any = Checked(number)

    def __init__(self, lr: float, every: int, factor: float = 0.1):
        self.lr, self.every, self.factor = lr, every, factor

    def __call__(self, step: int) -> float:
        return self.lr * self.factor ** (step // self.every)


class Exponential(Schedule):
    """lr · factor^(step / steps): the rate falls smoothly, by `factor` in `steps` steps.
    """

    lr: Any = Checked(number)
    steps: Any = Checked(at_least_one)
    factor: Any = Checked(number)

    def __init__(self, lr: float, steps: int, factor: float = 0.1):
        self.lr, self.steps, self.factor = lr, steps, factor

    def __call__(self, step: int) -> float:
        return self.lr * self.factor ** (step / self.steps)


class Cosine(Schedule):
    """Half a cosine from lr to `end` in `steps` steps, then constant (Loshchilov & Hutter, 2017).
    """

    lr: Any = Checked(number)
    steps: Any = Checked(at_least_one)
    end: Any = Checked(number)

    def __init__(self, lr: float, steps: int, end: float = 0.0):
        self.lr, self.steps, self.end = lr, steps, end

    def __call__(self, step: int) -> float:
        done = min(step / self.steps, 1)
        return self.end + (self.lr - self.end) * (1 + math.cos(math.pi * done)) / 2


class Warmup(Schedule):
    """Linear warm-up: the rate rises in `steps` equal steps to the first rate of the schedule that follows.

    The first step has 1/`steps` of that rate, not 0 (Goyal et al., 2017).

    Parameters
    ----------
    then : float or Schedule
        The rate or the schedule that follows.
    steps : int
        The length of the warm-up.
    """

    then: Any = Checked(as_schedule)
    steps: Any = Checked(at_least_one)

    def __init__(self, then: float | Schedule, steps: int):
        self.then, self.steps = then, steps

    def state_names(self) -> list[str]:
        return [name for name in super().state_names() if name != "then"]

    def state_parts(self) -> Mapping[str, Stateful]:
        return {"then": self.then}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        _, inner = by_part(state, ["then"])
        self.then = resumed(vars(self).get("then", Constant(0)), inner["then"])
        super().load_state_dict(state)

    def __call__(self, step: int) -> float:
        if step < self.steps:
            return self.then(0) * (step + 1) / self.steps
        return self.then(step - self.steps)


class ReduceOnPlateau(Schedule, BestSoFar):
    """The rate is multiplied by `factor` when a loss has not improved for more than `patience` epochs.

    Pass it the loss after each epoch: ``schedule.update(epoch.val_loss)``. Before another training call `reset`, and
    assign `lr`.

    Parameters
    ----------
    lr : float
        The initial rate.
    factor : float, default 0.1
        In (0, 1).
    patience : int, default 10
        Epochs without improvement to allow. 10 and 0.1 are the defaults of PyTorch and Keras.
    least : float, default 0
        The smallest rate.
    threshold : float, default 0
        A loss is an improvement if it is below the best one by more than this fraction of it, as in PyTorch.
    cooldown : int, default 0
        Epochs after a reduction that do not count as epochs without improvement.
    """

    lr: Any = Checked(number)
    factor: Any = Checked(_between)
    patience: Any = Checked(at_least_zero)
    least: Any = Checked(number)
    threshold: Any = Checked(fraction)
    cooldown: Any = Checked(at_least_zero)
    cooling: Any = Checked(at_least_zero)  # epochs of the cooldown that are left

    def __init__(
        self,
        lr: float,
        factor: float = 0.1,
        patience: int = 10,
        least: float = 0.0,
        threshold: float = 0.0,
        cooldown: int = 0,
    ):
        self.lr, self.factor, self.patience, self.least = lr, factor, patience, least
        self.threshold, self.cooldown = threshold, cooldown
        self.reset()

    def reset(self) -> None:
        """Forget all epochs. The rate stays as it is."""
        super().reset()
        self.cooling = 0

    def update(self, loss: float | None) -> None:
        """Take the loss of an epoch, where smaller is better. NaN and infinity are no improvement."""
        self.improved(loss, self.threshold * abs(self.best) if math.isfinite(self.best) else 0.0)
        if self.cooling:
            self.cooling, self.waited = self.cooling - 1, 0
        if self.waited > self.patience:
            self.lr, self.waited = max(self.lr * self.factor, min(self.lr, self.least)), 0
            self.cooling = self.cooldown

    def __call__(self, step: int) -> float:
        return self.lr


def resumed(schedule: Schedule, state: Mapping[str, Any]) -> Schedule:
    """The schedule with this state: the same object, or another of minibp's schedules if the state is that of one.

    An ArgumentError if it is the state of neither, or of a ReduceOnPlateau, which a program must hold to use it.
    """
    kind = state.get("class")
    if kind != type(schedule).__name__:
        known = {cls.__name__: cls for cls in Schedule.__subclasses__() if cls.__module__ == __name__}
        known.pop(ReduceOnPlateau.__name__)
        if not isinstance(kind, str) or kind not in known:
            raise ArgumentError(f"the state is one of {kind!s:.40}, expected {type(schedule).__name__}")
        schedule = known[kind].__new__(known[kind])
    schedule.load_state_dict(state)
    return schedule
