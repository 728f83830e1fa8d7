"""diagnose(): which of the known mistakes gives just the gradient that was computed?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import NamedTuple

import numpy as np

MATCH = 1e-5  # relative difference under which a mistake explains a gradient; the true one is known to about 1e-9
UNSET = 1.0  # what gradients are filled with beforehand, so that one that is never set, or added to, shows
STEP = 1e-6  # of the slope of a layer that works element by element
REPEATS = 50  # of a formula, to see whether it is random: masks of a few values, or of few zeros, may be the same
SAME_Y = 1e-9  # how far y may be from the last time's: rounding is less, noise is more

# How a shape that does not fit is refused: by minibp, and by NumPy.
REFUSALS = [
    r"has shape (?P<expected>\([\d, ]*\)), received an array of shape (?P<got>\([\d, ]*\))",
    r"from shape (?P<got>\([\d, ]*\)) into shape (?P<expected>\([\d, ]*\))",
    r"with shape (?P<expected>\([\d, ]*\)) doesn't match the broadcast shape (?P<got>\([\d, ]*\))",
]

# Derivatives as they are written for the output: of the sigmoid, tanh, softplus, ELU, exp and the square root.
OF_THE_OUTPUT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "y (1 - y)": lambda y: y * (1 - y),
    "1 - y²": lambda y: 1 - y * y,
    "1 - exp(-y)": lambda y: 1 - np.exp(-y),
    "y + 1 below 0": lambda y: np.where(y > 0, 1, y + 1),
    "y": lambda y: y,
    "1 / (2 y)": lambda y: 1 / (2 * y),
}

Mistake = tuple[np.ndarray, str]  # the gradient that it gives, and what to say of it


class Evidence(NamedTuple):
    """A gradient that is wrong, and what it was computed from, all in float64.

    Parameters
    ----------
    name : str
        What it is the gradient of: "x", or a parameter's name.
    got, true : arrays
        As `backward` computed it, and as central differences do.
    x, y : arrays (N, ...)
        What the layer was fed and what it returned; of a loss, y are the losses (N,).
    dy : array like y, or None for a loss
    t : array (N, K) of target rows, or None for a layer
    params : mapping
        The parameters by name.
    run : function
        y for another x.
    push : function
        The true dx for another dy.
    """

    name: str
    got: np.ndarray
    true: np.ndarray
    x: np.ndarray
    y: np.ndarray
    dy: np.ndarray | None
    t: np.ndarray | None
    params: Mapping[str, np.ndarray]
    run: Callable[[np.ndarray], np.ndarray]
    push: Callable[[np.ndarray], np.ndarray]


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether b, which is not zero, explains a."""
    if a.shape != b.shape or not np.isfinite(b).all():
        return False
    size = float(np.linalg.norm(b))
    return size > 0 and float(np.linalg.norm(a - b)) <= MATCH * size


def unfit(run: Callable[[], np.ndarray], arrays: Mapping[str, np.ndarray]) -> str:
    """Why differences of a formula mean nothing, of which these are the arrays; "" where they do."""
    said = varies(run)
    if said:
        return said
    dtype = run().dtype
    if dtype == np.float64 and not any(_coarse(run, array) for array in arrays.values()):
        return ""
    dtype = np.dtype("float32") if dtype == np.float64 else dtype  # float32 within, and widened again
    return f"formula computes in {dtype} by itself, too coarse for this check: use self.dtype, or that of x"


def varies(run: Callable[[], np.ndarray]) -> str:
    """What to say of a formula that gives another y each time; "" where it does not."""
    y = run()
    for _ in range(REPEATS):
        if not np.allclose(run(), y, rtol=SAME_Y, atol=SAME_Y, equal_nan=True):
            return (
                "formula gives another y each time: fix its random numbers for this check, by a generator that formula "
                "makes anew from a seed, or draw by seed and step as Dropout does"
            )
    return ""


def _coarse(run: Callable[[], np.ndarray], array: np.ndarray) -> bool:
    """Whether y moves with this array in steps like those of float32: not by 1e-11, though well by 1e-5."""
    kept, y = array.copy(), run()
    direction = kept * np.random.default_rng(0).normal(size=kept.shape)

    def difference(step: float) -> np.ndarray:
        array[...] = kept + step * direction
        moved = abs(run() - y)
        array[...] = kept
        return moved

    with np.errstate(all="ignore"):
        moves = difference(1e-5) > 1e-7 * abs(y)  # by so much that float64 would show a millionth of it
        # Few of many move where a formula rounds, or counts: that is not float32.
        return bool(moves.mean() > 0.2 and (difference(1e-11) == 0)[moves].mean() > 0.5)


def diagnose(case: Evidence) -> str:
    """What is likely wrong with a wrong gradient, and what to do: one sentence."""
    if case.got.shape != case.true.shape:
        return _wrong_shape(case.name, case.got.shape, case.true.shape, len(case.x))
    if not np.isfinite(case.got).all():
        return "it holds NaN or infinity: look for 0/0, log(0), and an exp that overflows"
    if case.name != "x" and (case.got == UNSET).all():
        return f"it is never set: gradient(dy) must set self.d{case.name}"
    with np.errstate(all="ignore"):  # a mistake may divide by 0 where the formula does not
        for gradient, words in _mistakes(case):
            if same(case.got, gradient):
                return words
        return _constant(case) or "none of the known mistakes: derive the gradient again from the formula"


def failure(error: Exception, params: Mapping[str, np.ndarray], n: int) -> str:
    """What to say of a gradient that fails for a batch of n: the error, and what likely led to it."""
    message = str(error)
    said = f"gradient fails: {type(error).__name__}: {message}"
    for refusal in REFUSALS if isinstance(error, ValueError) else ():
        found = re.search(refusal, message)
        if found:
            got, expected = (tuple(map(int, re.findall(r"\d+", found[group]))) for group in ("got", "expected"))
            fits = [name for name, array in params.items() if array.shape == expected]
            names = [name for name in fits if f"d{name} has shape" in message] or fits
            if names:
                return f"{said}; {_wrong_shape(' or d'.join(names), got, expected, n)}"
    if isinstance(error, ValueError) and ("matmul" in message or "not aligned" in message):
        said += "; a product that does not fit is often a transposed one"
    return said


def _wrong_shape(name: str, got: tuple[int, ...], expected: tuple[int, ...], n: int) -> str:
    """What to say of a gradient of another shape than that of what it belongs to, for a batch of n."""
    if name != "x" and got == (1, *expected):
        hint = f"drop keepdims, d{name} = dy.sum(axis=0)"
    elif name != "x" and got[1:] == expected:
        hint = f"the sum over the batch is missing, d{name} = dy.sum(axis=0)"
    elif name != "x" and len(expected) == 1 and got in ((n,), (n, 1)):
        hint = f"summed over the wrong axis, d{name} = dy.sum(axis=0)"
    elif got == expected[::-1]:
        hint = "a transposed product: exchange the factors, and transpose both"
    else:
        hint = "a gradient has the shape of what it belongs to"
    return f"d{name} has shape {got}, expected {expected}: {hint}"


def _mistakes(case: Evidence) -> Iterator[Mistake]:
    """The known mistakes, from those that are sure when they fit to those that could be chance."""
    yield from _factors(case)
    if case.name != "x":
        yield from _of_a_parameter(case)
    elif case.t is not None:
        yield from _of_a_loss(case)
    else:
        yield from _of_an_input(case)


def _factors(case: Evidence) -> Iterator[Mistake]:
    """A sign, the half, N, K, and their products, the simplest first."""
    n, k = len(case.x), case.x.shape[-1] if case.dy is None else case.dy.shape[-1]
    known: list[list[tuple[float, str, str]]] = [
        [(-1, "-1", "the sign is wrong")],
        [
            (2, "2", "the 2 of a square is there, the ½ of the formula is not"),
            (0.5, "½", "the half is taken once too often, or the 2 of a square is missing"),
        ],
        [
            (n, "N", "a sum over the batch where the mean is meant; divide by N, once"),
            (1 / n, "1/N", "divided by N once too often; the loss's gradient carries the 1/N, layers sum"),
        ],
        [
            (k, "K", "a sum over the K outputs where their mean is meant"),
            (1 / k, "1/K", "a mean over the K outputs where their sum is meant"),
        ],
    ]
    products = product(*[[(1.0, "", ""), *each] for each in known])
    simplest_first = sorted(products, key=lambda factors: sum(bool(label) for _, label, _ in factors))
    for i, factors in enumerate(simplest_first):
        factor = np.prod([value for value, _, _ in factors])
        if factor == 1 or any(label and value == 1 for value, label, _ in factors):
            continue
        several = [factors, *(f for f in simplest_first[i + 1 :] if _alike(factors, f))]  # 2 and N, where N is 2
        texts = [
            f"it is {' · '.join(label for _, label, _ in f if label)} times what is right: "
            + ", and ".join(words for _, _, words in f if words)
            for f in several
        ]
        yield factor * case.true, "; or ".join(texts)


def _alike(a: tuple, b: tuple) -> bool:
    values = [np.prod([value for value, _, _ in factors]) for factors in (a, b)]
    lengths = [sum(bool(label) for _, label, _ in factors) for factors in (a, b)]
    return bool(np.isclose(*values)) and lengths[0] == lengths[1] and not any(label and v == 1 for v, label, _ in b)


def _of_a_parameter(case: Evidence) -> Iterator[Mistake]:
    name, true, dy = case.name, case.true, case.dy
    yield true + UNSET, f"it is added to what was there: write self.d{name} = ..., not +="
    if true.ndim == 2:
        yield true.T, "a transposed product: dW = xᵀ dy, not dyᵀ x"
    if dy is not None and true.shape == dy.shape[1:]:
        if true.shape == dy.shape[:1]:  # else it does not fit, and fails
            yield dy.sum(axis=1), f"summed over the wrong axis: d{name} = dy.sum(axis=0)"
        for row in dy:
            yield row, f"the sum over the batch is missing, it is dy of one sample: d{name} = dy.sum(axis=0)"


def _of_a_loss(case: Evidence) -> Iterator[Mistake]:
    x, true, t, n = case.x, case.true, case.t, len(case.x)
    assert t is not None
    y = np.exp(x - x.max(axis=-1, keepdims=True))
    y /= y.sum(axis=-1, keepdims=True)
    sigmoid = 1 / (1 + np.exp(-x))
    twice = "a - y is pushed through the {} once more: it is the gradient of the logits already, return it as it is"
    elementwise = "the softmax Jacobian is taken elementwise, a (1 - a), but each output depends on all logits: "
    # Fed probabilities, it answers for the logits; the layer before then applies its own derivative as well.
    fed = "a - y is the gradient of the logits, but this loss is fed the probabilities: "
    for factor, also in ((1, ""), (n, "; and divide by N")):
        through = y * (true - (true * y).sum(axis=-1, keepdims=True))
        yield factor * through, twice.format("softmax Jacobian") + also
        yield factor * true * y * (1 - y), twice.format("diagonal a (1 - a) of the softmax Jacobian") + also
        yield factor * true * sigmoid * (1 - sigmoid), twice.format("sigmoid's derivative") + also
        yield -factor / n * t * (1 - y), elementwise + "return (a - y) / N"
        words = fed + "the Jacobian of the layer before is then applied twice; return ∂C/∂a"
        yield factor / n * (x - t), words + also


def _of_an_input(case: Evidence) -> Iterator[Mistake]:
    x, y, dy, true = case.x, case.y, case.dy, case.true
    assert dy is not None
    for name, W in case.params.items():
        if W.ndim == dy.ndim == 2 and dy.shape[1] == W.shape[0]:
            yield dy @ W, f"a transposed product: dx = dy {name}ᵀ, not dy {name}"
    if dy.shape != x.shape:
        return
    yield dy, "dy is passed on as it is: the layer's own derivative is missing"
    slope = _slope(case, x)
    if same(slope * dy, true):  # the layer works element by element
        yield slope, "the product with dy is missing: dx = dy times the derivative"
        yield dy * _slope(case, y), "the derivative is taken at the output y, but is written for the input: use self.x"
        for formula, derivative in OF_THE_OUTPUT.items():
            if same(dy * derivative(y), true):
                words = "the derivative is taken at the input x, but is written for the output: use self.y"
                yield dy * derivative(x), f"{words}, {formula}"
    else:
        words = "the Jacobian is taken elementwise, y (1 - y), but each output depends on all inputs of its row"
        yield dy * y * (1 - y), f"{words}: dx = y (dy - Σⱼ dyⱼ yⱼ)"
    yield case.push(true), "dy is pushed through the layer's Jacobian twice: once is enough"


def _slope(case: Evidence, x: np.ndarray) -> np.ndarray:
    """f'(x), for a layer that works element by element."""
    return (case.run(x + STEP) - case.run(x - STEP)) / (2 * STEP)


def _constant(case: Evidence) -> str:
    """A factor that is none of the known ones, where there is enough to tell it from chance."""
    if not case.got.any():
        return "it is zero"
    factor = float((case.got * case.true).sum() / max((case.true**2).sum(), 1e-300))
    if case.got.size > 1 and same(case.got, factor * case.true):
        return f"it is {factor:.4g} times what is right: a constant factor is wrong"
    return ""
