"""One layer or one loss alone: its gradients, as it computes them, against central differences of its formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..base import Module
from ..errors import ArgumentError, MinibpError
from .diagnosis import UNSET, Evidence, diagnose, failure, unfit, varies

STEP = 1e-6  # of the central difference: small, against curvature and kinks; rounding then costs 1e-10 of the loss
SMALLER = (1e-9, 1e-12)  # tried where that disagrees: the logarithm of a small probability is curved within 1e-6
TOLERANCE = 1e-6  # relative error that a right gradient stays under; wrong ones are off by 1e-2 and more
LARGEST = 1e50  # number that can be checked: the squares of gradients, products of two such, must not overflow
NOTHING = np.empty(0)


class Gradient(NamedTuple):
    """A gradient as backward computed it, as central differences do, and what is likely wrong with it.

    `got` and `true` are empty where they could not be computed: the gradient fails, or differences mean nothing.
    """

    got: np.ndarray
    true: np.ndarray
    error: float
    diagnosis: str

    @property
    def ok(self) -> bool:
        return self.error <= TOLERANCE and not self.diagnosis

    @property
    def compared(self) -> bool:
        return self.got.size > 0 and self.got.shape == self.true.shape


def relative_error(got: np.ndarray, true: np.ndarray, least: float) -> float:
    """|a - b| / max(|a|, |b|), by norms, the divisor being at least `least`."""
    if got.shape != true.shape:
        return float("inf")
    norm = np.linalg.norm
    with np.errstate(invalid="ignore", over="ignore"):
        error = float(norm(got - true) / max(norm(got), norm(true), least, 1e-100))
    return error if np.isfinite(error) else float("inf")


def numerical_gradient(f: Callable[[], float], array: np.ndarray, step: float = STEP) -> np.ndarray:
    """∂f/∂array by central differences, one element at a time; the array is changed in place and put back."""
    gradient = np.empty_like(array)
    for i in np.ndindex(array.shape):
        kept = array[i]
        array[i] = kept + step
        above = f()
        array[i] = kept - step
        gradient[i] = (above - f()) / (2 * step)
        array[i] = kept
    return gradient


def draw(shape: tuple[int, ...]) -> np.ndarray:
    """A dy where there is no true one; of a seed that x was hardly drawn by."""
    return np.random.default_rng(1847).normal(size=shape)


@contextmanager
def undone(part: Module) -> Iterator[None]:
    """Afterwards a part is as it was, its parameters too, and dropout's step: the same mask each time."""
    start, held = vars(part).copy(), {name: array.copy() for name, array in part._arrays.items()}
    try:
        yield
    finally:
        vars(part).update(start)
        for name, values in held.items():
            part._arrays[name][...] = values


@contextmanager
def named(place: str) -> Iterator[None]:
    """Say, by an ArgumentError, whose formula it is that fails: nothing can be compared then, so it is not reported."""
    try:
        yield
    except MinibpError:
        raise
    except Exception as error:
        raise ArgumentError(f"{place}: formula fails: {type(error).__name__}: {error}") from error


def bounded(place: str, values: np.ndarray, how: str = "formula gives") -> np.ndarray:
    """Refuse, by an ArgumentError, numbers from which no gradient can be told: NaN, and whose squares overflow."""
    if not (abs(values.astype(float)) < LARGEST).all():
        raise ArgumentError(f"{place}: {how} NaN or numbers of {LARGEST:g} and more: check with some of about -1..1")
    return values


def _runner(part: Any, place: str, t: np.ndarray | None) -> Callable[[np.ndarray], np.ndarray]:
    """y, or the losses, as a function of x."""

    def run(x: np.ndarray) -> np.ndarray:
        with undone(part), named(place):
            x = x.copy()  # which it may change in place
            return np.array(part.forward(x) if t is None else part.unchecked_losses(x, t.copy()))

    return run


def check_constant(part: Any, place: str, x: np.ndarray) -> dict[str, Gradient]:
    """Of a layer that is never run backward, all that matters is that it gives the same y each time.

    A formula that fails is an ArgumentError.
    """
    run = _runner(part, place, None)
    said = varies(lambda: run(x))
    return {"x": Gradient(NOTHING, NOTHING, float("inf"), said)} if said else {}


def check_part(
    part: Any, place: str, x: np.ndarray, dy: np.ndarray | None = None, t: np.ndarray | None = None
) -> dict[str, Gradient]:
    """The gradients of one layer, for this dy, or of one loss, for these targets: by parameter, and last of x.

    A formula that fails is an ArgumentError.
    """
    run = _runner(part, place, t)

    def push(dy: np.ndarray | None) -> np.ndarray:
        return numerical_gradient(lambda: total(dy), x)

    def total(dy: np.ndarray | None) -> float:
        return float(run(x).mean(dtype=float) if dy is None else (run(x) * dy).sum())

    got, rows, failed, changed = _backward(part, place, x, dy, t)
    y = bounded(place, run(bounded(place, x, "it is fed")))
    arrays = {**part.params, "x": x}
    true = {name: numerical_gradient(lambda: total(dy), array) for name, array in arrays.items()}
    # A gradient that is zero, but for rounding, agrees: hence at least a hundredth of the largest, and of dy.
    norms = [float(np.linalg.norm(each)) for each in (*true.values(), *([] if dy is None else [dy]))]
    least = 0.01 * max(norms)
    errors = {name: relative_error(got.get(name, NOTHING), true[name], least) for name in arrays}
    for name, array in arrays.items():
        others = (*SMALLER, STEP * max(1.0, float(abs(array).max())))  # the last, as large numbers swallow a small step
        for step in others if TOLERANCE < errors[name] < float("inf") else ():
            finer = numerical_gradient(lambda: total(dy), array, step)
            if relative_error(got[name], finer, least) <= TOLERANCE:
                true[name], errors[name] = finer, relative_error(got[name], finer, least)
                break
    # Only where something is wrong: what differences confirm is right.
    said = unfit(lambda: run(x), arrays) if any(errors[name] > TOLERANCE for name in got) else ""
    if said:
        return {name: Gradient(NOTHING, NOTHING, float("inf"), said) for name in arrays}

    gradients = {}
    for name, error in errors.items():
        if name not in got:
            gradients[name] = Gradient(NOTHING, true[name], error, failed)
            continue
        said = changed.get(name, "")
        if error > TOLERANCE and not said:
            case = Evidence(name, got[name], true[name], x, y, dy, rows, part.params, run, push)
            said = next(iter(changed.values()), "") or diagnose(case)
        gradients[name] = Gradient(got[name], true[name], error, said)
    return gradients


def _backward(
    part: Any, place: str, x: np.ndarray, dy: Any, t: Any
) -> tuple[dict[str, np.ndarray], np.ndarray | None, str, dict[str, str]]:
    """What a part computes.

    Returns
    -------
    Copies of the gradients; the rows of targets of a loss; why a gradient is missing; and what to say, by parameter
    and x, of arrays that the part changes in place.
    """
    given = {name: each.copy() for name, each in (("x", x), ("t", t), ("dy", dy)) if each is not None}
    kept = {name: each.copy() for name, each in {**given, **part.params}.items()}
    got: dict[str, np.ndarray] = {}
    failed, changed, rows = "", dict[str, str](), None

    def note(method: str) -> None:
        for name, array in {**given, **part.params}.items():
            if np.array_equal(array, kept[name], equal_nan=True):
                continue
            why = "which is for the optimizer to do" if name in part.params else "an array that others use"
            changed.setdefault(
                name if name in part.params else "x",
                f"{method} changes {name} in place, {why}: compute with a copy, {name}.copy(), "
                "or write into a workspace with out=",
            )

    with undone(part):
        for gradient in part.grads.values():
            gradient[...] = UNSET
        with named(place):
            if dy is None:
                if part.unchecked_losses(given["x"], given["t"]) is None:
                    raise TypeError("it returns None, expected the losses (N,)")
                rows = np.array(part.t)
            else:
                part.forward(given["x"])
        note("formula")
        call = "gradient()" if dy is None else "gradient(dy)"
        try:
            dx = part.backward() if dy is None else part.backward(given["dy"])
            got = {name: np.array(gradient) for name, gradient in part.grads.items()}
            if dx is None:
                failed = f"it is missing: {call} must return dx"
            elif isinstance(dx, (tuple, list)):
                kind = type(dx).__name__
                failed = f"{call} must return dx alone, it returns a {kind}; the parameters' are set, self.dW = ..."
            else:
                got["x"] = np.array(dx, float)
        except Exception as error:  # whatever is wrong there, the report shall say where
            failed = failure(error, part.params, len(x))
        note("gradient")
    return got, rows, failed, changed
