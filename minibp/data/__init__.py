"""Data sets: your own arrays, the digits that come with minibp, MNIST, Fashion-MNIST, KMNIST; and their batches."""

from .batches import Batches
from .cells import parse
from .dataset import Dataset, Splits, class_weights, split
from .idx import read_idx
from .origin import Origin, fingerprint
from .reading import read_table
from .sets import digits, fashion_mnist, kmnist, mnist
from .tables import Category, Columns, Number

__all__ = [
    "Batches",
    "Category",
    "Columns",
    "Dataset",
    "Number",
    "Origin",
    "Splits",
    "class_weights",
    "digits",
    "fashion_mnist",
    "fingerprint",
    "kmnist",
    "mnist",
    "parse",
    "read_idx",
    "read_table",
    "split",
]
