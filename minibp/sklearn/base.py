"""BaseMLP: what the classifier and the regressor share."""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.validation import validate_data

from ..backend import to_host
from ..base import float_dtype
from ..data import Dataset
from ..errors import ArgumentError
from ..layers import Dense
from ..network import Network
from ..program import compile as compile_network
from ..progress import Epoch
from .building import build_network, name
from .descent import begin, descend
from .lbfgs import BLOCK, minimize_loss
from .sparse import SparseDataset, is_sparse

FLOATS = (np.float64, np.float32)


def has_epochs(model: Any) -> bool:
    """Whether an estimator has `partial_fit`; an AttributeError says why not."""
    if model.solver == "lbfgs":
        raise AttributeError("partial_fit is only available for the solvers adam and sgd, this one is lbfgs")
    return True


class Samples(NamedTuple):
    """Inputs, targets and weights (or None), as `Dataset` takes them."""

    x: Any
    t: np.ndarray
    weights: np.ndarray | None

    def dataset(self) -> Dataset:
        """The data set of these samples."""
        rest = [self.t] if self.weights is None else [self.t, self.weights]
        return SparseDataset(self.x, *rest) if is_sparse(self.x) else Dataset(np.asarray(self.x), *rest)

    def outputs(self, net: Network) -> np.ndarray:
        """The outputs of a network (N, K)."""
        if not is_sparse(self.x):
            return net.predict(np.asarray(self.x))
        step = max(1, BLOCK // self.x.shape[1])  # rows to make dense at a time
        parts = (self.x[start : start + step].toarray() for start in range(0, self.x.shape[0], step))
        return np.concatenate([net.predict(part) for part in parts])


class Validation(NamedTuple):
    """The samples that are scored after each epoch, and their data set; None twice if there are none."""

    model: Any
    samples: Samples | None
    data: Dataset | None

    def score(self, epoch: Epoch) -> float:
        """The accuracy or R² after this epoch."""
        assert self.samples is not None
        _, t, weights = self.samples
        if is_classifier(self.model) and t.ndim == 1 and weights is None and len(self.model.classes_) > 1:
            return float(epoch.val_accuracy or 0.0)
        return float(self.model._score_outputs(self.samples.outputs(self.model.network_), t, weights))


def checked_weights(sample_weight: Any, n: int) -> np.ndarray | None:
    """Weights of n samples as an array; a ValueError if they cannot be used."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n, sample_weight)
    weights = check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weights.shape != (n,):
        raise ValueError(f"sample_weight has the shape {weights.shape}, expected ({n},)")
    if (weights < 0).any():
        raise ValueError("sample_weight holds negative numbers, expected weights of at least 0")
    if not weights.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weights


class BaseMLP(BaseEstimator):
    """Base of the two estimators."""

    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Train.

        Parameters
        ----------
        X : array or sparse matrix (N, F)
            Inputs. Integers are used as they are: bytes are not scaled.
        y : array (N,) or (N, K)
            Classes, or numbers to approximate.
        sample_weight : array (N,), optional
            The weight of each sample in the loss.
        X_val, y_val, sample_weight_val : optional
            A validation set, scored after each epoch; the solver lbfgs, which has none, does not use it. With
            early_stopping=True it takes the place of the part of X that would be set aside.

        Returns
        -------
        estimator
            The estimator itself.
        """
        return self._fit(X, y, sample_weight, validation=(X_val, y_val, sample_weight_val))

    def _fit(self, X, y, sample_weight, validation=(None, None, None), incremental=False, classes=None):
        self._validate_params()
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        fresh = not hasattr(self, "network_") or not (self.warm_start or incremental)
        x, y = self._read(X, y, reset=fresh)
        fresh_targets = fresh and classes is None
        if classes is not None:
            self._take_classes(classes, y, fresh)
        t = self._read_targets(y, fresh_targets)
        if not fresh and not incremental:
            self._check_same_targets(y)
        class_weights, weights = self._class_weights(y), checked_weights(sample_weight, len(t))
        if class_weights is not None:
            weights = class_weights if weights is None else weights * class_weights
        if fresh:
            self._start(x)
        elif self.solver != "lbfgs" and not hasattr(self, "loss_curve_"):
            begin(self, self._random_state)
        samples, held_out = self._split(Samples(x, t.astype(self._target_dtype(t)), weights), validation)
        if self.solver == "lbfgs":
            minimize_loss(self, samples._replace(weights=None).dataset(), samples.weights)
        else:
            data = held_out.dataset() if held_out is not None else None
            descend(self, samples.dataset(), Validation(self, held_out, data), incremental)
        return self

    def _read(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        """X and y as arrays of numbers, checked. With `reset` the features of X are those to come."""
        numeric = not is_classifier(self)
        return validate_data(
            self, X, y, accept_sparse="csr", multi_output=True, dtype=FLOATS, y_numeric=numeric, reset=reset
        )

    def _target_dtype(self, t: np.ndarray) -> Any:
        """Labels stay integers; rows are numbers of the network."""
        return t.dtype if t.ndim == 1 else self.network_.dtype

    def _start(self, x: Any) -> None:
        """Draw a new network, and begin to count."""
        self._random_state = check_random_state(self.random_state)
        dtype = x.dtype if isinstance(self.dtype, str) and self.dtype == "auto" else float_dtype(self.dtype)
        self.network_ = build_network(self, x.shape[1], self.n_outputs_, dtype, self._random_state)
        name(self)
        self.n_layers_ = len(self.network_.weights) + 1
        self.n_iter_ = self.t_ = 0
        self._split_state: Any = None
        if self.solver != "lbfgs":
            begin(self, self._random_state)

    def _split(self, samples: Samples, validation: Any) -> tuple[Samples, Samples | None]:
        """The samples to train on, and those to score: the given ones, or a part of the first, or none."""
        x_val, y_val, weights = validation
        if (x_val is None) != (y_val is None) or (x_val is None and weights is not None):
            raise ValueError("a validation set needs both X_val and y_val; sample_weight_val belongs to them")
        if x_val is not None:
            held_out = self._validation_samples(x_val, y_val, weights)
        elif self.early_stopping and self.solver != "lbfgs":
            samples, held_out = self._set_aside(samples)
        else:
            held_out = None
        return samples, held_out

    def _validation_samples(self, x_val: Any, y_val: Any, weights: Any) -> Samples:
        """The validation set of a user, checked as X and y are."""
        x, y = self._read(x_val, y_val, reset=False)
        t = self._read_targets(y, False)
        return Samples(x, t.astype(self._target_dtype(t)), checked_weights(weights, len(t)))

    def _set_aside(self, samples: Samples) -> tuple[Samples, Samples]:
        """The samples in two parts, as scikit-learn splits them. Later calls (warm_start) split in the same way."""
        if self._split_state is None:
            self._split_state = self._random_state.get_state()
            random_state = self._random_state
        else:
            random_state = np.random.RandomState()
            random_state.set_state(self._split_state)
        x, t, weights = samples
        check_consistent_length(x, t)
        stratify = t if is_classifier(self) and self.n_outputs_ == 1 else None
        arrays = [x, t] if weights is None else [x, t, weights]
        parts = train_test_split(
            *arrays, random_state=random_state, test_size=self.validation_fraction, stratify=stratify
        )
        if parts[1].shape[0] < 2:
            raise ValueError("The validation set is too small. Increase validation_fraction, or take more samples.")
        first, second = parts[::2], parts[1::2]
        return Samples(*first, *[None] * (3 - len(first))), Samples(*second, *[None] * (3 - len(second)))

    def _outputs(self, X: Any) -> np.ndarray:
        """The outputs of the network (N, K)."""
        x = validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=False)
        net = self.network_
        if vars(self).get("_compiled") and net.program is None and net.backend == "numpy":  # it was unpickled, or moved
            try:
                compile_network(net)
            except ArgumentError:  # there is no numba here
                self._compiled = False
        outputs = Samples(x, np.empty(0), None).outputs(net)
        return outputs.astype(np.result_type(x.dtype, outputs.dtype), copy=False)

    # ---- the parameters of the network

    def _dense(self) -> list[Dense]:
        return [module for module in self.network_.modules() if isinstance(module, Dense)]

    @property
    def coefs_(self) -> tuple[np.ndarray, ...]:
        """The weights (I, O) of each Dense layer. On NumPy they are those of the network, not copies.

        A tuple, because what is assigned to an element of a list would not reach the network.
        """
        return tuple(to_host(layer.W) for layer in self._dense())

    @coefs_.setter
    def coefs_(self, values: Any) -> None:
        for layer, W in zip(self._dense(), values, strict=True):
            layer.W = W

    @property
    def intercepts_(self) -> tuple[np.ndarray, ...]:
        """The biases (O,) of each Dense layer."""
        return tuple(to_host(layer.b) for layer in self._dense())

    @intercepts_.setter
    def intercepts_(self, values: Any) -> None:
        for layer, b in zip(self._dense(), values, strict=True):
            layer.b = b

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
