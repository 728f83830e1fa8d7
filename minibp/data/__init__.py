"""Data sets: your own arrays, the digits that come with minibp, MNIST, Fashion-MNIST, KMNIST; and their batches."""

from .batches import Batches
from .dataset import Dataset, Splits, class_weights, split
from .idx import read_idx
from .sets import digits, fashion_mnist, kmnist, mnist

__all__ = [
    "Batches",
    "Dataset",
    "Splits",
    "class_weights",
    "digits",
    "fashion_mnist",
    "kmnist",
    "mnist",
    "read_idx",
    "split",
]
