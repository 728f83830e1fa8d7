"""diagnose(): which known mistake explains a wrong gradient?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import NamedTuple

import numpy as np

MATCH = 1e-5  # relative difference up to which a mistake explains a gradient; the numerical one is exact to about 1e-9
UNSET = 1.0  # fills the gradients beforehand, to detect one that is never set, or is added to
SLOPE_STEP = 1e-6  # of the central difference for the slope of an elementwise layer
REPEATS = 50  # calls of a formula to detect randomness: a mask of few values may come out the same several times
SAME_Y = 1e-9  # tolerance between two calls: rounding stays below it, noise does not

# How minibp and NumPy refuse an array of the wrong shape.
SHAPE_MESSAGES = [
    r"has shape (?P<expected>\([\d, ]*\)), received an array of shape (?P<received>\([\d, ]*\))",
    r"from shape (?P<received>\([\d, ]*\)) into shape (?P<expected>\([\d, ]*\))",
    r"with shape (?P<expected>\([\d, ]*\)) doesn't match the broadcast shape (?P<received>\([\d, ]*\))",
]

# Derivatives in terms of the output y: of the sigmoid, tanh, softplus, ELU, exp and the square root.
DERIVATIVES_BY_OUTPUT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "y (1 - y)": lambda y: y * (1 - y),
    "1 - y²": lambda y: 1 - y * y,
    "1 - exp(-y)": lambda y: 1 - np.exp(-y),
    "y + 1 (below 0)": lambda y: np.where(y > 0, 1, y + 1),
    "y": lambda y: y,
    "1 / (2 y)": lambda y: 1 / (2 * y),
}

Mistake = tuple[np.ndarray, str]  # the gradient that it leads to, and its description


class Evidence(NamedTuple):
    """A wrong gradient and the arrays it was computed from, all in float64.

    Parameters
    ----------
    name : str
        Whose gradient it is: "x" or the name of a parameter.
    computed, numerical : arrays
        The gradient from `backward`, and from central differences.
    x, y : arrays (N, ...)
        Input and output of the layer. For a loss, y holds the losses (N,).
    dy : array like y, or None for a loss
    t : array (N, K) of target rows, or None for a layer
    params : mapping
        The parameters by name.
    run : function
        Computes y for another x.
    numerical_dx : function
        Computes the numerical dx for another dy.
    """

    name: str
    computed: np.ndarray
    numerical: np.ndarray
    x: np.ndarray
    y: np.ndarray
    dy: np.ndarray | None
    t: np.ndarray | None
    params: Mapping[str, np.ndarray]
    run: Callable[[np.ndarray], np.ndarray]
    numerical_dx: Callable[[np.ndarray], np.ndarray]


def matches(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether b explains a. A b of zeros explains nothing."""
    if a.shape != b.shape or not np.isfinite(b).all():
        return False
    size = float(np.linalg.norm(b))
    return size > 0 and float(np.linalg.norm(a - b)) <= MATCH * size


def formula_problem(run: Callable[[], np.ndarray], arrays: Mapping[str, np.ndarray]) -> str:
    """Why a formula of these arrays cannot be checked by differences, or "" if it can."""
    problem = randomness_problem(run)
    if problem:
        return problem
    dtype = run().dtype
    if dtype == np.float64 and not any(_is_coarse(run, array) for array in arrays.values()):
        return ""
    dtype = np.dtype("float32") if dtype == np.float64 else dtype  # y is float64, but the steps between are not
    return f"formula computes in {dtype}, which is too coarse for this check: use self.dtype or x.dtype"


def randomness_problem(run: Callable[[], np.ndarray]) -> str:
    """The diagnosis of a formula that returns a different y on each call, or "" if it does not."""
    y = run()
    for _ in range(REPEATS):
        if not np.allclose(run(), y, rtol=SAME_Y, atol=SAME_Y, equal_nan=True):
            return (
                "formula returns a different y on each call: for this check, create its random generator inside "
                "formula from a fixed seed, or derive the numbers from a seed and a step as Dropout does"
            )
    return ""


def _is_coarse(run: Callable[[], np.ndarray], array: np.ndarray) -> bool:
    """Whether y follows this array in steps like those of float32: it reacts to 1e-5, but not to 1e-11."""
    kept, y = array.copy(), run()
    direction = kept * np.random.default_rng(0).normal(size=kept.shape)

    def difference(step: float) -> np.ndarray:
        array[...] = kept + step * direction
        moved = abs(run() - y)
        array[...] = kept
        return moved

    with np.errstate(all="ignore"):
        moves = difference(1e-5) > 1e-7 * abs(y)  # so far that float64 would also show a millionth of it
        # If only few elements move, the formula rounds or counts; that does not mean float32.
        return bool(moves.mean() > 0.2 and (difference(1e-11) == 0)[moves].mean() > 0.5)


def diagnose(case: Evidence) -> str:
    """The likely mistake behind a wrong gradient and its remedy, in one sentence."""
    if case.computed.shape != case.numerical.shape:
        return _describe_shape(case.name, case.computed.shape, case.numerical.shape, len(case.x))
    if not np.isfinite(case.computed).all():
        return "it contains NaN or infinity: look for 0/0, log(0), and an exp that overflows"
    if case.name != "x" and (case.computed == UNSET).all():
        return f"it is never set: gradient(dy) must set self.d{case.name}"
    with np.errstate(all="ignore"):  # a mistake may divide by 0 even if the formula does not
        for gradient, description in _mistakes(case):
            if matches(case.computed, gradient):
                return description
        return _describe_factor(case) or "it matches no known mistake: derive the gradient again from the formula"


def describe_failure(error: Exception, params: Mapping[str, np.ndarray], n: int) -> str:
    """The diagnosis of a `gradient` that raises an error for a batch of n samples."""
    message = str(error)
    text = f"gradient fails: {type(error).__name__}: {message}"
    for pattern in SHAPE_MESSAGES if isinstance(error, ValueError) else ():
        found = re.search(pattern, message)
        if found:
            received, expected = (tuple(map(int, re.findall(r"\d+", found[key]))) for key in ("received", "expected"))
            fitting = [name for name, array in params.items() if array.shape == expected]
            names = [name for name in fitting if f"d{name} has shape" in message] or fitting
            if names:
                return f"{text}; {_describe_shape(' or d'.join(names), received, expected, n)}"
    if isinstance(error, ValueError) and ("matmul" in message or "not aligned" in message):
        text += "; if the shapes of a product do not fit, a factor often needs a transpose"
    return text


def _describe_shape(name: str, received: tuple[int, ...], expected: tuple[int, ...], n: int) -> str:
    """The diagnosis of a gradient of the wrong shape, for a batch of n samples."""
    if name != "x" and received == (1, *expected):
        hint = "drop keepdims from the sum over the batch"
    elif name != "x" and received[1:] == expected:
        hint = "the sum over the batch is missing, .sum(axis=0)"
    elif name != "x" and len(expected) == 1 and received in ((n,), (n, 1)):
        hint = "the sum runs over the wrong axis, the batch is axis 0"
    elif received == expected[::-1]:
        hint = "the product is transposed; swap its factors and transpose both"
    else:
        hint = "a gradient has the shape of its array"
    return f"the computed d{name} has shape {received}, expected {expected}: {hint}"


def _mistakes(case: Evidence) -> Iterator[Mistake]:
    """The known mistakes: first those that are certain if they match, last those that may match by chance."""
    yield from _factor_mistakes(case)
    if case.name != "x":
        yield from _parameter_mistakes(case)
    elif case.t is not None:
        yield from _loss_mistakes(case)
    else:
        yield from _input_mistakes(case)


def _factor_mistakes(case: Evidence) -> Iterator[Mistake]:
    """A wrong sign, a wrong factor 2, N or K, and their products, the simplest first."""
    n, k = len(case.x), case.x.shape[-1] if case.dy is None else case.dy.shape[-1]
    known: list[list[tuple[float, str, str]]] = [
        [(-1, "-1", "the sign is wrong")],
        [
            (2, "2", "the ½ that cancels the 2 of a square is missing"),
            (0.5, "½", "½ is applied once too often, or the 2 of a square is missing"),
        ],
        [
            (n, "N", "the batch is summed instead of averaged (divide by N once)"),
            (1 / n, "1/N", "it is divided by N once too often (only the loss divides by N, layers sum over the batch)"),
        ],
        [
            (k, "K", "the K outputs are summed instead of averaged"),
            (1 / k, "1/K", "the K outputs are averaged instead of summed"),
        ],
    ]
    products = product(*[[(1.0, "", ""), *each] for each in known])
    simplest_first = sorted(products, key=lambda factors: sum(bool(label) for _, label, _ in factors))
    for i, factors in enumerate(simplest_first):
        factor = np.prod([value for value, _, _ in factors])
        if factor == 1 or any(label and value == 1 for value, label, _ in factors):
            continue
        several = [factors, *(f for f in simplest_first[i + 1 :] if _same_factor(factors, f))]  # as 2 and N if N is 2
        descriptions = [
            f"it is {' · '.join(label for _, label, _ in f if label)} times the right gradient: "
            + ", and ".join(words for _, _, words in f if words)
            for f in several
        ]
        yield factor * case.numerical, "; or ".join(descriptions)


def _same_factor(a: tuple, b: tuple) -> bool:
    values = [np.prod([value for value, _, _ in factors]) for factors in (a, b)]
    lengths = [sum(bool(label) for _, label, _ in factors) for factors in (a, b)]
    return bool(np.isclose(*values)) and lengths[0] == lengths[1] and not any(label and v == 1 for v, label, _ in b)


def _parameter_mistakes(case: Evidence) -> Iterator[Mistake]:
    name, numerical, dy = case.name, case.numerical, case.dy
    yield numerical + UNSET, f"it is added to the previous gradient: write self.d{name} = ..., not +="
    if numerical.ndim == 2:
        yield numerical.T, "the product is transposed: dW = xᵀ dy, not dyᵀ x"
    if dy is not None and numerical.shape == dy.shape[1:]:
        cure = f"write self.d{name} = dy.sum(axis=0)"
        if numerical.shape == dy.shape[:1]:
            yield dy.sum(axis=1), f"it is the sum over the outputs, not over the batch: {cure}"
        for row in dy:
            yield row, f"it is dy of one sample, not the sum over the batch: {cure}"


def _loss_mistakes(case: Evidence) -> Iterator[Mistake]:
    x, numerical, t, n = case.x, case.numerical, case.t, len(case.x)
    assert t is not None
    y = np.exp(x - x.max(axis=-1, keepdims=True))
    y /= y.sum(axis=-1, keepdims=True)
    sigmoid = 1 / (1 + np.exp(-x))
    twice = "a - t is multiplied by {}, which it contains already: return (a - t) / N"
    softmax, logistic = ", where a = softmax(x)", ", where a = σ(x)"
    elementwise = "only the diagonal a (1 - a) of the softmax Jacobian is used, but each output depends on all logits: "
    # If such a loss is fed probabilities, the layer before applies its Jacobian as well.
    fed = "a - t is the gradient of the logits, but this loss is fed the probabilities a: "
    for factor, also in ((1, ""), (n, "; the 1/N is missing, too")):
        by_jacobian = y * (numerical - (numerical * y).sum(axis=-1, keepdims=True))
        yield factor * by_jacobian, twice.format("the softmax Jacobian") + softmax + also
        yield factor * numerical * y * (1 - y), twice.format("the diagonal of the softmax Jacobian") + softmax + also
        yield factor * numerical * sigmoid * (1 - sigmoid), twice.format("the derivative of σ") + logistic + also
        yield -factor / n * t * (1 - y), elementwise + "return (a - t) / N" + softmax
        yield factor / n * (x - t), fed + "return ∂L/∂a, and the layer before multiplies it by its Jacobian" + also


def _input_mistakes(case: Evidence) -> Iterator[Mistake]:
    x, y, dy, numerical = case.x, case.y, case.dy, case.numerical
    assert dy is not None
    for name, W in case.params.items():
        if W.ndim == dy.ndim == 2 and dy.shape[1] == W.shape[0]:
            yield dy @ W, f"{name} is not transposed: dx = dy {name}ᵀ, not dy {name}"
    if dy.shape != x.shape:
        return
    yield dy, "dy is returned unchanged: the derivative of this layer is missing"
    slope = _slope(case, x)
    if matches(slope * dy, numerical):  # an elementwise layer
        yield slope, "the factor dy is missing: dx is dy times the derivative"
        yield dy * _slope(case, y), "the derivative is computed from the output y: use the input, self.x"
        for formula, derivative in DERIVATIVES_BY_OUTPUT.items():
            if matches(dy * derivative(y), numerical):
                words = f"the derivative {formula} is computed from the input x: use the output, self.y"
                yield dy * derivative(x), words
    else:
        words = "only the diagonal y (1 - y) of the Jacobian is used, but each output depends on all inputs of its row"
        yield dy * y * (1 - y), f"{words}: dx = y (dy - Σⱼ dyⱼ yⱼ)"
    yield case.numerical_dx(numerical), "dy is multiplied by the Jacobian of this layer twice: once is enough"


def _slope(case: Evidence, x: np.ndarray) -> np.ndarray:
    """f'(x) of an elementwise layer."""
    return (case.run(x + SLOPE_STEP) - case.run(x - SLOPE_STEP)) / (2 * SLOPE_STEP)


def _describe_factor(case: Evidence) -> str:
    """The diagnosis of a gradient that is zero or off by another constant factor, or "" if it is neither."""
    if not case.computed.any():
        return "it is zero"
    factor = float((case.computed * case.numerical).sum() / max((case.numerical**2).sum(), 1e-300))
    if case.computed.size > 1 and matches(case.computed, factor * case.numerical):  # a single number always does
        return f"it is {factor:.4g} times the right gradient: a constant factor is wrong"
    return ""
