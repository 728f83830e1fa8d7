"""Train with scikit-learn. Its defaults but for what the other peers do not have: weight decay and early stopping."""

from __future__ import annotations

import sys
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier


def main(file: str, epochs: int, batch: int, rate: float, hidden: list[int]) -> None:
    with np.load(file) as data:
        x, t = data["x"].reshape(len(data["x"]), -1), data["t"]
    if x.dtype == np.uint8:
        x = x.astype("float32") / np.float32(255)
    model = MLPClassifier(hidden, batch_size=batch, learning_rate_init=rate, alpha=0, max_iter=epochs,
                          n_iter_no_change=epochs)  # fmt: skip
    warnings.simplefilter("ignore", ConvergenceWarning)
    model.fit(x, t)
    print(model.loss_)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), [int(each) for each in sys.argv[5:]])
