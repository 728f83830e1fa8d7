"""Check the gradients of one layer or loss alone: compare them with central differences of its formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ..base import Module
from ..errors import ArgumentError, MinibpError
from .diagnosis import UNSET, Evidence, describe_failure, diagnose, formula_problem, randomness_problem

STEP = 1e-6  # of the central difference: small enough for curvature and kinks; rounding then costs 1e-10 of the loss
SMALLER = (1e-9, 1e-12)  # tried next: the logarithm of a small probability is curved within 1e-6
TOLERANCE = 1e-6  # of the relative error: right gradients stay below it, wrong ones are usually off by more than 1e-2
ROUNDING = float(np.finfo(float).eps) / STEP  # what the rounding of a loss of about 1 makes of a gradient of 0
LARGEST = 1e50  # values beyond it cannot be checked: the squares of products of two of them must not overflow
EMPTY = np.empty(0)


class Gradient(NamedTuple):
    """A gradient, its numerical counterpart, their relative error, and the diagnosis if it is wrong.

    `computed` is empty if `gradient` failed. Both arrays are empty if the formula cannot be checked by differences.
    `kinks` elements are not judged: at a kink there is no derivative, and `numerical` repeats what was computed.
    """

    computed: np.ndarray
    numerical: np.ndarray
    error: float
    diagnosis: str = ""
    kinks: int = 0

    @property
    def ok(self) -> bool:
        return self.error <= TOLERANCE and not self.diagnosis

    @property
    def compared(self) -> bool:
        return self.computed.size > 0 and self.computed.shape == self.numerical.shape


def relative_error(computed: np.ndarray, numerical: np.ndarray, least: float, noise: float) -> float:
    """‖a - b‖ / max(‖a‖, ‖b‖), with a divisor of at least `least`, or 0 if ‖a - b‖ is at most `noise`."""
    if computed.shape != numerical.shape:
        return float("inf")
    norm = np.linalg.norm
    with np.errstate(invalid="ignore", over="ignore"):
        difference = norm(computed - numerical)
        if difference <= noise:
            return 0.0
        error = float(difference / max(norm(computed), norm(numerical), least, 1e-100))
    return error if np.isfinite(error) else float("inf")


def numerical_gradient(f: Callable[[], float], array: np.ndarray, step: float = STEP) -> np.ndarray:
    """∂f/∂array by central differences, one element at a time: the mean of the slopes on both sides."""
    left, right = slopes(f, array, step)
    return (left + right) / 2


def slopes(f: Callable[[], float], array: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """The slopes of f on the left and on the right of each element. The array is changed in place and restored."""
    left, right, middle = np.empty_like(array), np.empty_like(array), f()
    for i in np.ndindex(array.shape):
        kept = array[i]
        array[i] = kept - step
        left[i] = (middle - f()) / step
        array[i] = kept + step
        right[i] = (f() - middle) / step
        array[i] = kept
    return left, right


def find_kinks(f: Callable[[], float], array: np.ndarray, smallest: float) -> np.ndarray:
    """Where the slopes on both sides differ by more than `smallest`, also if the step is shorter.

    A curve looks straighter from nearby, and rounding and jumps grow. Only at a kink both slopes stay as they are.
    """
    (left, right), (nearer_left, nearer_right) = slopes(f, array, STEP), slopes(f, array, STEP / 10)
    jump = abs(right - left)
    change = np.maximum(abs(left - nearer_left), abs(right - nearer_right))
    return (jump > smallest) & (change < 0.1 * jump)


def compare(
    f: Callable[[], float],
    array: np.ndarray,
    computed: np.ndarray,
    numerical: np.ndarray,
    least: float,
    noise: float,
    steps: Sequence[float],
) -> Gradient:
    """Compare the gradients of f. If they differ, leave out the elements at a kink, and try these steps as well."""
    error = relative_error(computed, numerical, least, noise)
    if not TOLERANCE < error < float("inf"):
        return Gradient(computed, numerical, error)
    kinks = find_kinks(f, array, TOLERANCE * least)

    def judge(other: np.ndarray) -> Gradient:
        error = relative_error(computed[~kinks], other[~kinks], least, noise)
        return Gradient(computed, np.where(kinks, computed, other), error, kinks=int(kinks.sum()))

    first = judge(numerical)
    finer = (judge(numerical_gradient(f, array, step)) for step in steps)
    return next((each for each in chain([first], finer) if each.ok), first)


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
    least, noise = 0.01 * max(norms), ROUNDING if dy is None else 0
    gradients = {}
    for name, array in arrays.items():
        # The last step is relative, because large numbers swallow a small one.
        steps = (*SMALLER, STEP * max(1.0, float(abs(array).max()), float(abs(y).max())))
        found = computed.get(name, EMPTY)
        gradients[name] = compare(lambda: total(dy), array, found, numerical[name], least, noise, steps)
    # Gradients that the differences confirm are right, whatever the formula does.
    wrong = any(not gradients[name].ok for name in computed)
    problem = formula_problem(lambda: run(x), arrays) if wrong else ""
    if problem:
        return {name: Gradient(EMPTY, EMPTY, float("inf"), problem) for name in arrays}

    for name, each in gradients.items():
        diagnosis = changed.get(name, "") if name in computed else failed
        if not each.ok and not diagnosis and (name == "x" or name in module.params):
            case = Evidence(name, each.computed, each.numerical, x, y, dy, rows, module.params, run, numerical_dx)
            diagnosis = next(iter(changed.values()), "") or diagnose(case)
        gradients[name] = each._replace(diagnosis=diagnosis)
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
                module.unchecked_losses(given["x"], given["t"])
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
