"""MLPClassifier and MLPRegressor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted

from .base import BaseMLP, has_epochs


def given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an ``__init__``, from its ``locals()``."""
    return {name: value for name, value in arguments.items() if name not in ("self", "__class__")}


class MLPClassifier(ClassifierMixin, BaseMLP):
    """A classifier with the parameters, defaults and attributes of ``sklearn.neural_network.MLPClassifier``.

    One output and the logistic function for two classes, and for the yes/no answers of several labels a sample; else
    the softmax of one output a class. With the same `random_state` it starts from the weights of scikit-learn's, takes
    the samples in its order, and makes its steps.

    Parameters
    ----------
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter, \
shuffle, random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction, \
beta_1, beta_2, epsilon, n_iter_no_change, max_fun
        As in scikit-learn.
    dropout : float, default 0
        The fraction of the values of each hidden layer that are set to zero in training.
    class_weight : dict, "balanced" or None
        The weight of each class in the loss: "balanced" gives all classes the same total.
    backend : {"numpy", "cupy", "auto"}, default "numpy"
        The array library of the network; "cupy" is a GPU.
    dtype : {"auto", "float32", "float64"}, default "auto"
        What it computes in; "auto" is the dtype of X, as in scikit-learn. float32 is twice as fast.
    layers : callable, optional
        ``layers(n_features, n_outputs)`` returns the layers of the network, up to the logits: the last one is a Dense
        of n_outputs. Then hidden_layer_sizes, activation and dropout are not used.

    Attributes
    ----------
    classes_, coefs_, intercepts_, n_iter_, loss_, loss_curve_, best_loss_, validation_scores_, \
best_validation_score_, t_, n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As in scikit-learn.
    validation_loss_curve_ : list of float
        The loss of the validation set after each epoch.
    network_ : minibp.Network
        The network.
    """

    _parameter_constraints = {  # noqa: RUF012
        **TheirClassifier._parameter_constraints,
        "dropout": TheirClassifier._parameter_constraints["beta_1"],  # [0, 1)
        "layers": [callable, None],
    }

    def __init__(
        self, hidden_layer_sizes=(100,), activation="relu", *, solver="adam", alpha=0.0001, batch_size="auto",
        learning_rate="constant", learning_rate_init=0.001, power_t=0.5, max_iter=200, shuffle=True, random_state=None,
        tol=1e-4, verbose=False, warm_start=False, momentum=0.9, nesterovs_momentum=True, early_stopping=False,
        validation_fraction=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-8, n_iter_no_change=10, max_fun=15000,
        dropout=0.0, class_weight=None, backend="numpy", dtype="auto", layers=None,
    ):  # fmt: skip
        self.__dict__.update(given(locals()))

    def _read_targets(self, y: Any, fresh: bool) -> np.ndarray:
        if hasattr(y, "toarray"):
            y = y.toarray()
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        kind = type_of_target(y)
        if "multioutput" in kind:
            raise ValueError("y has several classes a sample, expected one, or a matrix of 0 and 1 (multilabel)")
        several = kind == "multilabel-indicator"
        if fresh:
            self._set_classes(np.arange(y.shape[1]) if several else np.unique(y), several)
        if several != self._several:
            raise ValueError("y is a matrix of labels in one call and holds one class a sample in another")
        if several:
            if y.shape[1] != self.n_outputs_:
                raise ValueError(f"y has {y.shape[1]} labels a sample, expected {self.n_outputs_}")
            return np.asarray(y != 0)
        known = np.unique(y)
        if unknown := sorted(set(known.tolist()) - set(self.classes_.tolist()), key=str):
            raise ValueError(f"y has classes that are not in classes_: {unknown}; classes_ has {self.classes_}")
        return np.searchsorted(self.classes_, y)

    def _set_classes(self, classes: np.ndarray, several: bool) -> None:
        self.classes_, self._several = classes, several
        binary = len(classes) <= 2 and not several
        self.n_outputs_ = 1 if binary else len(classes)
        self.out_activation_ = "logistic" if binary or several else "softmax"

    def _take_classes(self, classes: Any, y: Any, fresh: bool) -> None:
        """The classes that the first call of `partial_fit` names, or those of a later one, which must be the same."""
        several = type_of_target(y) == "multilabel-indicator"
        classes = np.arange(y.shape[1]) if several else np.unique(classes)
        if fresh:
            self._set_classes(classes, several)
        elif not np.array_equal(classes, self.classes_):
            raise ValueError(f"classes={classes} is not the same as in the first call to partial_fit: {self.classes_}")

    def _check_same_targets(self, y: np.ndarray) -> None:
        if not self._several and len(np.unique(y)) != len(self.classes_):
            what = "warm_start can only be used where y has the same classes as in the previous call to fit"
            raise ValueError(f"{what}: it has {len(np.unique(y))} of the {len(self.classes_)} in {self.classes_}")

    def _class_weights(self, y: Any) -> np.ndarray | None:
        return None if self.class_weight is None else compute_sample_weight(self.class_weight, y)

    def _answers(self, outputs: np.ndarray) -> np.ndarray:
        """The targets that the outputs stand for: numbers of classes, or rows of booleans."""
        if self._several:
            return outputs > 0.5
        if self.n_outputs_ > 1:
            return outputs.argmax(axis=1)
        return (outputs[:, 0] > 0.5).astype(int) if len(self.classes_) == 2 else np.zeros(len(outputs), int)

    def _score_outputs(self, outputs: np.ndarray, t: np.ndarray, weights: np.ndarray | None) -> float:
        right = (self._answers(outputs) == t).reshape(len(t), -1).all(axis=1)
        return float(np.average(right, weights=weights))

    @available_if(has_epochs)
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Train for one epoch on these samples. Calls go on from each other: n of them are ``fit`` with max_iter=n.

        Parameters
        ----------
        X : array or sparse matrix (N, F)
            Inputs.
        y : array (N,), or (N, K) of 0 and 1
            Classes.
        sample_weight : array (N,), optional
            Weights.
        classes : array, optional
            All classes; needed by the first call.

        Returns
        -------
        MLPClassifier
            The estimator itself.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} is not supported for partial_fit, which does not know all "
                "samples: give a dict, from sklearn.utils.class_weight.compute_class_weight"
            )
        if classes is None and not hasattr(self, "classes_"):
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return self._fit(X, y, sample_weight, incremental=True, classes=classes)

    def predict(self, X):
        """The class of each sample (N,), or the labels (N, K) as 0 and 1."""
        check_is_fitted(self)
        answers = self._answers(self._outputs(X))
        return answers.astype(int) if self._several else self.classes_[answers]

    def predict_proba(self, X):
        """The probability of each class (N, K), in float64; those of several labels do not sum to 1."""
        check_is_fitted(self)
        outputs = self._outputs(X).astype("float64", copy=False)
        if self._several:
            return outputs
        if self.n_outputs_ > 1:
            return outputs / outputs.sum(axis=1, keepdims=True)
        return np.hstack([1 - outputs, outputs]) if len(self.classes_) == 2 else np.ones_like(outputs)

    def predict_log_proba(self, X):
        """The logarithm of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, BaseMLP):
    """A regressor with the parameters, defaults and attributes of ``sklearn.neural_network.MLPRegressor``.

    With the same `random_state` it starts from the weights of scikit-learn's, takes the samples in its order, and makes
    its steps.

    Parameters
    ----------
    loss, hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, \
max_iter, shuffle, random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping, \
validation_fraction, beta_1, beta_2, epsilon, n_iter_no_change, max_fun
        As in scikit-learn.
    dropout, backend, dtype, layers
        See `MLPClassifier`.

    Attributes
    ----------
    coefs_, intercepts_, n_iter_, loss_, loss_curve_, best_loss_, validation_scores_, best_validation_score_, t_, \
n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As in scikit-learn.
    validation_loss_curve_, network_
        See `MLPClassifier`.
    """

    _parameter_constraints = {  # noqa: RUF012
        **TheirRegressor._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson"})],  # the oldest scikit-learn has no such parameter
        "dropout": TheirRegressor._parameter_constraints["beta_1"],  # [0, 1)
        "layers": [callable, None],
    }

    def __init__(
        self, loss="squared_error", hidden_layer_sizes=(100,), activation="relu", *, solver="adam", alpha=0.0001,
        batch_size="auto", learning_rate="constant", learning_rate_init=0.001, power_t=0.5, max_iter=200, shuffle=True,
        random_state=None, tol=1e-4, verbose=False, warm_start=False, momentum=0.9, nesterovs_momentum=True,
        early_stopping=False, validation_fraction=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-8, n_iter_no_change=10,
        max_fun=15000, dropout=0.0, backend="numpy", dtype="auto", layers=None,
    ):  # fmt: skip
        self.__dict__.update(given(locals()))

    def _read_targets(self, y: Any, fresh: bool) -> np.ndarray:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        rows = y.reshape(len(y), -1)
        if fresh:
            self.n_outputs_ = rows.shape[1]
            self.out_activation_ = "exp" if self.loss == "poisson" else "identity"
        if rows.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {rows.shape[1]} numbers a sample, expected {self.n_outputs_}")
        return rows

    def _check_same_targets(self, y: np.ndarray) -> None:
        pass

    def _class_weights(self, y: Any) -> None:
        return None

    def _score_outputs(self, outputs: np.ndarray, t: np.ndarray, weights: np.ndarray | None) -> float:
        return float(r2_score(t, outputs, sample_weight=weights))

    @available_if(has_epochs)
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch on these samples. Calls go on from each other: n of them are ``fit`` with max_iter=n.

        Parameters
        ----------
        X : array or sparse matrix (N, F)
            Inputs.
        y : array (N,) or (N, K)
            Numbers to approximate.
        sample_weight : array (N,), optional
            Weights.

        Returns
        -------
        MLPRegressor
            The estimator itself.
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X):
        """The numbers for each sample, (N,) or (N, K)."""
        check_is_fitted(self)
        outputs = self._outputs(X)
        return outputs[:, 0] if self.n_outputs_ == 1 else outputs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
