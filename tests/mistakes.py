"""Layers with wrong gradients, networks around them, and the lines of the report about them."""

import numpy as np
from strategies import normals

from minibp import Dense, Network, QuadraticLoss

N, D, K = 7, 5, 3  # samples, features, outputs: all different, and neither 1 nor 2, so that factors differ
X = normals((N, D))
LABELS = np.array([0, 2, 1, 1, 0, 2, 2])


def network(*between, loss=QuadraticLoss):
    """These layers between two of Dense."""
    return Network([Dense(D, D), *between, Dense(D, K)], loss(), dtype="float64")


def wrong(report):
    """Name -> diagnosis of the wrong lines."""
    return {line.name: line.diagnosis for line in report if not line.ok}


class WrongSign(Dense):
    def gradient(self, dy):
        return -super().gradient(dy)


def with_db(db):
    """A kind of Dense whose gradient of b is this function of dy."""

    class WrongBias(Dense):
        def gradient(self, dy):
            dx = super().gradient(dy)
            self.db = db(dy)
            return dx

    return WrongBias


class TransposedWeights(Dense):
    def gradient(self, dy):
        dx = super().gradient(dy)
        self.dW = dy.T @ self.x
        return dx


class NotANumber(Dense):
    def gradient(self, dy):
        dx = super().gradient(dy)
        self.dW = np.full(self.W.shape, np.nan)
        return dx
