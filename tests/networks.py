"""Networks and data that several test files use: 4 inputs, 3 classes."""

import copy

import numpy as np

from minibp import (
    ELU,
    GELU,
    Adam,
    BatchNorm,
    CrossEntropy,
    Dense,
    Dropout,
    ElasticDistortion,
    Exp,
    Flatten,
    GaussianNoise,
    Layer,
    LayerNorm,
    LeakyReLU,
    Network,
    RandomAffine,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    Softmax,
    Softplus,
    Standardize,
    Tanh,
    train,
)
from minibp.data import Dataset


def samples(n=40, seed=0, k=3):
    """Random inputs and labels."""
    rng = np.random.default_rng(seed)
    return Dataset(rng.normal(size=(n, 4)), rng.integers(k, size=n))


class TwoBranches(Layer):
    """A user's layer of layers, y = f(x) + g(x)."""

    def __init__(self, n):
        super().__init__()
        self.n, self.left = n, Dense(n, n)
        self.right = {"inner": Sequential(Dense(n, n), BatchNorm(n), Dropout(0.2))}

    def config(self):
        return {"n": self.n}

    def formula(self, x):
        return self.left.forward(x) + self.right["inner"].forward(x)

    def gradient(self, dy):
        return self.left.backward(dy) + self.right["inner"].backward(dy)


def every_layer(**options):
    """A network of every kind of layer, with options other than the defaults."""
    layers = [Dense(4, 8), BatchNorm(8, 0.8), LeakyReLU(0.2), Dropout(0.5), Dense(8, 8), LayerNorm(8), ELU(0.5)]
    layers += [Residual(Dense(8, 5), GELU(), Sequential(Dense(5, 8), BatchNorm(8))), Softplus(), Dense(8, 8), ReLU()]
    layers += [Dense(8, 8), Sequential(Exp(), GaussianNoise(0.2), Tanh()), Dropout(0.2), Flatten()]
    moved = [RandomAffine(20, 0.1, image_shape=(2, 2)), ElasticDistortion(1, 0.7, 5, image_shape=(2, 2))]
    first = [Sequential(Flatten(), *moved), Standardize([0, 1, 0, -1], [1, 2, 1, 0.5])]
    return Network([*first, *layers, Dense(8, 8), Sigmoid(), Dense(8, 3), Softmax()], CrossEntropy(), **options)


def every_layer_of_images(side):
    """The same for images of side x side, trained, so that no running mean and no scale is the first one."""
    layers = [RandomAffine(), ElasticDistortion(8, 2), Flatten(), Dense(side**2, 4)]
    layers += copy.deepcopy(every_layer().layers[1:])
    net, rng = Network(layers, CrossEntropy()), np.random.default_rng(0)
    x = rng.integers(256, size=(64, side, side), dtype="uint8")
    for _ in train(net, Adam(net), Dataset(x, rng.integers(3, size=64)), epochs=2):
        pass
    return net
