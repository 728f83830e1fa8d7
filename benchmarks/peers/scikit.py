"""MLPClassifier of scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from ..nets import Task
from . import Peer


class ScikitLearn(Peer):
    """MLPClassifier. It needs floats, so this peer holds the images as float32. It gathers batches itself.
    One thread of the BLAS brought no gain in tiny networks (0.99 to 1.02 of the time: a, t, u).

    For two classes it has one logistic output in place of two of softmax. The initial function is the same, but its
    optimizer has half of the last weights to move, so the losses of later steps are not compared.
    """

    def __init__(self, task: Task, device: str = "cpu"):
        if device != "cpu":
            raise RuntimeError("scikit-learn runs on the CPU only")
        super().__init__(task, device)
        warnings.simplefilter("ignore", ConvergenceWarning)  # a pass need not converge
        self.x = self.floats(task.x)
        self.model = MLPClassifier(
            hidden_layer_sizes=self.net.sizes[1:-1],
            activation="logistic" if self.net.activation == "sigmoid" else "relu",
            solver=self.net.optimizer,
            alpha=0,
            batch_size=self.net.batch,
            learning_rate_init=self.net.rate,
            momentum=self.net.momentum,
            nesterovs_momentum=False,
            n_iter_no_change=10**9,
            random_state=0,
        )
        first, classes = slice(self.net.batch), np.arange(self.net.sizes[-1])
        self.model.partial_fit(self.x[first], task.t[first], classes=classes)  # creates its arrays
        self.restart()

    def floats(self, x: np.ndarray) -> np.ndarray:
        """Images as floats of 0 to 1, or the floats themselves."""
        return x if self.net.floats else x.astype("float32") * np.float32(1 / 255)

    def restart(self) -> None:
        self.model.coefs_ = [W.copy() for W, _ in self.task.start]
        self.model.intercepts_ = [b.copy() for _, b in self.task.start]
        if self.net.sizes[-1] == 2:  # softmax of two outputs is the logistic function of their difference
            self.model.coefs_[-1] = np.diff(self.model.coefs_[-1])
            self.model.intercepts_[-1] = np.diff(self.model.intercepts_[-1])
        if hasattr(self.model, "_optimizer"):  # `partial_fit` continues with its moments, `fit` creates new ones
            del self.model._optimizer

    def losses(self, order: np.ndarray) -> list[float]:
        if self.net.sizes[-1] == 2:
            raise NotImplementedError
        losses = []
        for rows in order.reshape(-1, self.net.batch):
            self.model.set_params(warm_start=False).partial_fit(self.x[rows], self.task.t[rows])
            losses.append(float(self.model.loss_))
        return losses

    def run(self, passes: int) -> None:
        self.model.set_params(max_iter=passes, warm_start=True).fit(self.x, self.task.t)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(self.floats(x))
