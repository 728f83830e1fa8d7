"""Check the gradients of one layer or loss alone: compare them with central differences of its formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..base import Module
from ..errors import ArgumentError, MinibpError
from .diagnosis import UNSET, Evidence, describe_failure, diagnose, formula_problem, randomness_problem

STEP = 1e-6  # of the central difference: small enough for curvature and kinks; rounding then costs 1e-10 of the loss
SMALLER = (1e-9, 1e-12)  # tried next: the logarithm of a small probability is curved within 1e-6
TOLERANCE = 1e-6  # of the relative error: right gradients stay below it, wrong ones are usually off by more than 1e-2
LARGEST = 1e50  # values beyond it cannot be checked: the squares of products of two of them must not overflow
EMPTY = np.empty(0)


class Gradient(NamedTuple):
    """A gradient, its numerical counterpart, their relative error, and the diagnosis if it is wrong.

    `computed` is empty if `gradient` failed. Both arrays are empty if the formula cannot be checked by differences.
    """

    computed: np.ndarray
    numerical: np.ndarray
    error: float
    diagnosis: str

    @property
    def ok(self) -> bool:
        return self.error <= TOLERANCE and not self.diagnosis

    @property
    def compared(self) -> bool:
        return self.computed.size > 0 and self.computed.shape == self.numerical.shape


def relative_error(computed: np.ndarray, numerical: np.ndarray, least: float) -> float:
    """‖a - b‖ / max(‖a‖, ‖b‖), with a divisor of at least `least`."""
    if computed.shape != numerical.shape:
        return float("inf")
    norm = np.linalg.norm
    with np.errstate(invalid="ignore", over="ignore"):
        error = float(norm(computed - numerical) / max(norm(computed), norm(numerical), least, 1e-100))
    return error if np.isfinite(error) else float("inf")


def numerical_gradient(f: Callable[[], float], array: np.ndarray, step: float = STEP) -> np.ndarray:
    """∂f/∂array by central differences, one element at a time. The array is changed in place and restored."""
    gradient = np.empty_like(array)
    for i in np.ndindex(array.shape):
        kept = array[i]
        array[i] = kept + step
        above = f()
        array[i] = kept - step
        gradient[i] = (above - f()) / (2 * step)
        array[i] = kept
    return gradient


def all_arrays(module: Module, prefix: str = "") -> dict[str, np.ndarray]:
    """The parameters of a module and of those inside it: "W", "inner.W". With the prefix "d", their gradients."""
    return {
        f"{place}.{name}" if place else name: array
        for place, each in module.named_modules().items()
        for name, array in (each.grads if prefix else each.params).items()
    }


def random_dy(shape: tuple[int, ...]) -> np.ndarray:
    """A dy for a layer without a loss, from a seed that a user is unlikely to draw x from."""
    return np.random.default_rng(1847).normal(size=shape)


@contextmanager
def restored(module: Module) -> Iterator[None]:
    """Restore the attributes, parameters and buffers of a module at the end, so that dropout repeats its mask."""
    modules = module.modules()
    arrays = [(array, array.copy()) for each in modules for array in each._arrays.values()]
    try:
        with same_attributes(*modules):
            yield
    finally:
        for array, values in arrays:
            array[...] = values


@contextmanager
def same_attributes(*modules: Module) -> Iterator[None]:
    """Restore the attributes of these modules at the end, but not the values in their arrays."""
    before = [vars(module).copy() for module in modules]
    try:
        yield
    finally:
        for module, attributes in zip(modules, before, strict=True):
            vars(module).clear()
            vars(module).update(attributes)


@contextmanager
def formula_errors(place: str) -> Iterator[None]:
    """Turn the error of a formula into an ArgumentError that names its layer. Nothing can be compared then."""
    try:
        yield
    except MinibpError:
        raise
    except Exception as error:
        raise ArgumentError(f"{place}: formula fails: {type(error).__name__}: {error}") from error


def check_size(place: str, values: np.ndarray, verb: str = "formula returns") -> np.ndarray:
    """Refuse, by an ArgumentError, NaN and numbers whose squares overflow. Differences cannot check them."""
    if not (abs(values.astype(float)) < LARGEST).all():
        raise ArgumentError(f"{place}: {verb} NaN or numbers of {LARGEST:g} and more; check with inputs of about -1..1")
    return values


def _function_of_x(module: Any, place: str, t: np.ndarray | None) -> Callable[[np.ndarray], np.ndarray]:
    """The function from x to y, or to the losses for t, that leaves the module as it was."""

    def run(x: np.ndarray) -> np.ndarray:
        with restored(module), formula_errors(place):
            x = x.copy()  # the formula may change it in place
            return np.array(module.forward(x) if t is None else module.unchecked_losses(x, t.copy()))

    return run


def check_fixed(layer: Any, place: str, x: np.ndarray) -> dict[str, Gradient]:
    """Check a layer before all parameters, which is never run backward: only a random formula does harm there."""
    run = _function_of_x(layer, place, None)
    problem = randomness_problem(lambda: run(x))
    return {"x": Gradient(EMPTY, EMPTY, float("inf"), problem)} if problem else {}


def check_module(
    module: Any, place: str, x: np.ndarray, dy: np.ndarray | None = None, t: np.ndarray | None = None
) -> dict[str, Gradient]:
    """Check the gradients of a layer for this dy, or of a loss for these targets: the parameters first, then x.

    The parameters of layers inside count as its own, as "inner.W", but a wrong gradient of these gets no diagnosis.

    An ArgumentError if the formula fails.
    """
    run = _function_of_x(module, place, t)

    def numerical_dx(dy: np.ndarray | None) -> np.ndarray:
        return numerical_gradient(lambda: total(dy), x)

    def total(dy: np.ndarray | None) -> float:
        return float(run(x).mean(dtype=float) if dy is None else (run(x) * dy).sum())

    computed, rows, failed, changed = _run_backward(module, place, x, dy, t)
    y = check_size(place, run(check_size(place, x, "it is fed")))
    arrays = {**all_arrays(module), "x": x}
    numerical = {name: numerical_gradient(lambda: total(dy), array) for name, array in arrays.items()}
    # Divide by at least a hundredth of the largest norm, so that a gradient that is zero but for rounding passes.
    norms = [float(np.linalg.norm(each)) for each in (*numerical.values(), *([] if dy is None else [dy]))]
    least = 0.01 * max(norms)
    errors = {name: relative_error(computed.get(name, EMPTY), numerical[name], least) for name in arrays}
    for name, array in arrays.items():
        # The last step is relative, because large numbers swallow a small one.
        steps = (*SMALLER, STEP * max(1.0, float(abs(array).max())))
        for step in steps if TOLERANCE < errors[name] < float("inf") else ():
            finer = numerical_gradient(lambda: total(dy), array, step)
            if relative_error(computed[name], finer, least) <= TOLERANCE:
                numerical[name], errors[name] = finer, relative_error(computed[name], finer, least)
                break
    # Gradients that the differences confirm are right, whatever the formula does.
    wrong = any(errors[name] > TOLERANCE for name in computed)
    problem = formula_problem(lambda: run(x), arrays) if wrong else ""
    if problem:
        return {name: Gradient(EMPTY, EMPTY, float("inf"), problem) for name in arrays}

    gradients = {}
    for name, error in errors.items():
        if name not in computed:
            gradients[name] = Gradient(EMPTY, numerical[name], error, failed)
            continue
        diagnosis = changed.get(name, "")
        if error > TOLERANCE and not diagnosis and (name == "x" or name in module.params):
            case = Evidence(name, computed[name], numerical[name], x, y, dy, rows, module.params, run, numerical_dx)
            diagnosis = next(iter(changed.values()), "") or diagnose(case)
        gradients[name] = Gradient(computed[name], numerical[name], error, diagnosis)
    return gradients


def _run_backward(
    module: Any, place: str, x: np.ndarray, dy: Any, t: Any
) -> tuple[dict[str, np.ndarray], np.ndarray | None, str, dict[str, str]]:
    """Run the module forward and backward.

    Returns the gradients by name, the target rows of a loss, why a gradient is missing, and, by parameter or "x", the
    diagnoses of arrays that the module changes in place.
    """
    given = {name: each.copy() for name, each in (("x", x), ("t", t), ("dy", dy)) if each is not None}
    params, grads = all_arrays(module), all_arrays(module, "d")
    kept = {name: each.copy() for name, each in {**given, **params}.items()}
    computed: dict[str, np.ndarray] = {}
    failed, changed, rows = "", dict[str, str](), None

    def find_changes(method: str) -> None:
        for name, array in {**given, **params}.items():
            if np.array_equal(array, kept[name], equal_nan=True):
                continue
            why = "which only the optimizer may do" if name in params else "an array that others use"
            changed.setdefault(
                name if name in params else "x",
                f"{method} changes {name} in place, {why}: compute with a copy, {name}.copy(), "
                "or write into a workspace with out=",
            )

    with restored(module):
        for gradient in grads.values():
            gradient[...] = UNSET
        with formula_errors(place):
            if dy is None:
                if module.unchecked_losses(given["x"], given["t"]) is None:
                    raise TypeError("it returned None, expected the losses (N,)")
                rows = np.array(module.t)
            else:
                module.forward(given["x"])
        find_changes("formula")
        call = "gradient()" if dy is None else "gradient(dy)"
        try:
            dx = module.backward() if dy is None else module.backward(given["dy"])
            computed = {name: gradient.copy() for name, gradient in grads.items()}
            if dx is None:
                failed = f"it is missing: {call} must return dx"
            elif isinstance(dx, (tuple, list)):
                kind = type(dx).__name__
                failed = f"{call} must return dx alone, received a {kind}; assign the other gradients, self.dW = ..."
            else:
                computed["x"] = np.array(dx, float)
        except Exception as error:  # of any kind: the report tells where it was raised
            failed = describe_failure(error, module.params, len(x))
        find_changes("gradient")
    return computed, rows, failed, changed
