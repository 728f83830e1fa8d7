"""Data sets: your own arrays, tables and pictures, the digits that come with minibp, MNIST and the like; batches."""

from .batches import Batches, part_of
from .dataset import Dataset, Splits, class_weights, split
from .idx import read_idx
from .origin import Origin
from .pictures import Pictures, read_pictures
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
    "Pictures",
    "Splits",
    "class_weights",
    "digits",
    "fashion_mnist",
    "kmnist",
    "mnist",
    "part_of",
    "read_idx",
    "read_pictures",
    "read_table",
    "split",
]
