"""Dataset: inputs and targets, checked once; split()."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..base import NUMBERS, boolean, check_array, check_finite, check_inputs, check_sample_weights, generator, instance
from ..errors import ArgumentError, InputError, ShapeError, TargetError

NAMES = "turn names into labels: names, t = np.unique(names, return_inverse=True)"


class Dataset:
    """Inputs and their targets, checked once.

    ``len(dataset)`` is N, and ``x, t = dataset`` gives both arrays. So a loop over a Dataset yields these two, not
    samples or batches: write ``for x, t in zip(*dataset)`` for samples. `train` cuts the batches itself. An index
    selects samples, and the result is again a Dataset. It is a slice (which copies nothing), a list or an array of
    integers or of booleans, or one integer.

    Parameters
    ----------
    x : array (N, ...)
        Inputs: uint8, which a network scales by 1/255, or float16, float32, float64, which are taken as they are.
        Arrays are kept, not copied. A memory map stays one. An HDF5 data set is read as a whole.
    t : array (N,) or (N, K)
        Integer labels or numbers (N,), or rows of numbers (N, K).
    weights : array (N,), optional
        How much each sample counts, at least 0: the loss of a batch, and of an evaluation, is Σ w ℓ / Σ w. A weight of
        0 removes a sample, a weight of 2 counts it twice. `class_weights` gives those that balance the classes. The
        statistics of a BatchNorm take all samples alike.

    Raises
    ------
    InputError
        If x is empty, masked, of another type, or holds NaN or infinity; or if an index selects no sample.
    ShapeError
        If x has fewer than two dimensions.
    TargetError
        If t does not have N entries, is neither (N,) nor (N, K), is not numeric, or holds NaN or infinity.
    ArgumentError, IndexError
        If an index is none of the above, or lies outside the data set; or if weights are not N finite numbers of at
        least 0, or all are 0.
    """

    x: np.ndarray
    t: np.ndarray
    weights: np.ndarray | None

    def __init__(self, x: Any, t: Any, weights: Any = None):
        self.x = _as_inputs(x)
        self.t = _as_targets(t, len(self.x))
        self.weights = None if weights is None else check_sample_weights("weights", weights, len(self.x))

    def __len__(self) -> int:
        return len(self.x)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield x, then t."""
        yield self.x
        yield self.t

    def __getitem__(self, index: Any) -> "Dataset":
        if not isinstance(index, slice):
            index = np.atleast_1d(index)
            if not index.size:
                index = index.astype(int)  # NumPy makes an array of floats from an empty list
            if index.ndim != 1 or index.dtype.kind not in "iub":
                raise ArgumentError(
                    f"received an index of {index.dtype} and shape {index.shape}, expected a slice, an integer, or a "
                    "list of integers or of booleans: which samples"
                )
        part: Dataset = object.__new__(type(self))  # already checked
        part.x, part.t = self.x[index], self.t[index]
        part.weights = None if self.weights is None else self.weights[index]
        if not len(part):
            raise InputError(f"the data set is empty: the index selects none of {len(self)} samples")
        return part

    def __repr__(self) -> str:
        x, t = (f"{array.dtype}[{', '.join(map(str, array.shape))}]" for array in (self.x, self.t))
        labels = f", labels={self.t.min()}..{self.t.max()}" if self.t.ndim == 1 and self.t.dtype.kind != "f" else ""
        weights = "" if self.weights is None else f", weights={self.weights.min():g}..{self.weights.max():g}"
        return f"Dataset(x={x}, t={t}{labels}{weights})"


class Splits(NamedTuple):
    """A data set in two parts: one to train on, one to test on."""

    train: Dataset
    test: Dataset


def class_weights(t: Any, kind: Any = "balanced") -> np.ndarray:
    """The weight of each sample, from that of its class: ``Dataset(x, t, class_weights(t))``.

    Parameters
    ----------
    t : array (N,) of integer labels
        The classes of the samples.
    kind : "balanced" or dict, default "balanced"
        "balanced" gives each class the same total: N / (K n), where K classes occur, and n samples are of the class
        (King & Zeng, 2001; as in scikit-learn). A dict gives the weight of each class; others have 1.

    Returns
    -------
    array (N,) of float64
        The weights.

    Raises
    ------
    TargetError
        If t does not hold labels.
    ArgumentError
        If kind is neither, or a class of the dict does not occur.
    """
    t = check_array(t, "t", TargetError, NUMBERS, "integer labels", cure=NAMES)
    if t.ndim != 1 or t.dtype.kind not in "biu" or not t.size:
        raise TargetError(f"t is an array of {t.dtype} and shape {t.shape}; expected integer labels (N,)")
    found, index, counts = np.unique(t, return_inverse=True, return_counts=True)
    if isinstance(kind, str) and kind == "balanced":
        return (len(t) / (len(found) * counts))[index]
    if not isinstance(kind, dict):
        raise ArgumentError(f'kind is {kind!r}, expected "balanced", or a dict of weights by label')
    if missing := [label for label in kind if label not in found]:
        raise ArgumentError(f"class {missing[0]!r} has a weight, but does not occur; the classes are {found.tolist()}")
    return check_sample_weights("weights", [kind.get(label, 1.0) for label in found.tolist()], len(found))[index]


def split(dataset: Dataset, held_out: float = 0.2, seed: int = 0, stratify: bool = False) -> Splits:
    """Split a data set at random into a part to train on and a part to test on. Both are copies.

    A memory map is refused, because it may be larger than memory. Shuffle its file once, and take slices, which copy
    nothing: ``dataset[:-1000], dataset[-1000:]``.

    Parameters
    ----------
    dataset : Dataset
        N samples.
    held_out : float or int, default 0.2
        The part to test on: a fraction of N between 0 and 1, or a number of samples.
    seed : int, default 0
        The same seed gives the same split.
    stratify : bool, default False
        Give each class its share of both parts, to within one sample. The targets must be labels.

    Returns
    -------
    Splits
        ``.train`` and ``.test``.

    Raises
    ------
    ArgumentError
        If `dataset` is not a Dataset, its inputs are a memory map, held_out is neither, one of the parts would be
        empty, seed is not an integer of at least 0, or stratify is True and a class has a single sample.
    TargetError
        If stratify is True and the targets are not labels.
    """
    instance("dataset", dataset, Dataset, "create one: Dataset(x, labels)")
    if isinstance(dataset.x, np.memmap):
        raise ArgumentError(
            "a random split would copy the memory map into memory. Slices copy nothing: dataset[:-1000] and "
            "dataset[-1000:], of a file whose samples were shuffled; or read it all: Dataset(numpy.array(x), t)"
        )
    n = len(dataset)
    if n == 1:
        raise ArgumentError("a data set of 1 sample cannot be split: one of the parts would be empty")
    if isinstance(held_out, (int, np.integer)) and not isinstance(held_out, bool):
        count = int(held_out)
    elif isinstance(held_out, (float, np.floating)) and 0 < held_out < 1:
        count = round(n * float(held_out))
    else:
        raise ArgumentError(f"held_out is {held_out!r}; expected a fraction between 0 and 1, or a number of samples")
    if not 0 < count < n:
        raise ArgumentError(
            f"held_out={held_out!r} is {count} of {n} samples; expected 1..{n - 1}, so that neither part is empty"
        )
    order = generator(seed).permutation(n)
    if boolean("stratify", stratify):
        order = order[_stratified(dataset.t[order], count)]
    return Splits(dataset[order[count:]], dataset[order[:count]])


def _stratified(t: np.ndarray, count: int) -> np.ndarray:
    """An order of labels in which the first `count` have their share of each class, rounded up or down."""
    if t.ndim != 1 or t.dtype.kind == "f":
        raise TargetError(f"stratify needs labels, but the targets are an array of {t.dtype} and shape {t.shape}")
    found, index, counts = np.unique(t, return_inverse=True, return_counts=True)
    if (counts == 1).any():
        raise ArgumentError(f"class {found[counts == 1][0]} has a single sample, which cannot be in both parts")
    shares = counts * (count / len(t))
    taken = np.floor(shares).astype(int)
    taken[np.argsort(taken - shares, kind="stable")[: count - taken.sum()]] += 1  # the largest remainders
    place = np.empty(len(t), int)  # of each sample among those of its class
    place[np.argsort(index, kind="stable")] = np.concatenate([np.arange(n) for n in counts])
    return np.argsort(place >= taken[index], kind="stable")


def _as_inputs(x: Any) -> np.ndarray:
    x = check_inputs(x)
    if not x.dtype.isnative:
        cure = "convert it: x.astype(x.dtype.newbyteorder('='))"
        raise InputError(f"x: received an array of {x.dtype}, expected the byte order of this machine; {cure}")
    if x.size == 0:
        raise InputError(f"the data set is empty: x has the shape {x.shape}")
    if x.ndim < 2:
        raise ShapeError(f"x has the shape {x.shape}; expected (N, ...). For one value a sample: x.reshape(-1, 1)")
    check_finite(x, "x", InputError, "remove these samples, or replace the values")
    return x


def _as_targets(t: Any, n: int) -> np.ndarray:
    t = check_array(t, "t", TargetError, NUMBERS, "integer labels or numbers", cure=NAMES)
    t = t.astype(t.dtype.newbyteorder("="), copy=False)
    if t.ndim not in (1, 2) or t.shape[1:] == (0,):
        raise TargetError(f"t has the shape {t.shape}; expected labels (N,) or rows (N, K)")
    if len(t) != n:
        raise TargetError(f"x has {n} samples, but t has {len(t)} targets; expected one target for each sample")
    check_finite(t, "t", TargetError, "remove these samples, or replace the values")
    return t
