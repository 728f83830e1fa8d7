"""Data sets: your own arrays, tables and pictures, the digits that come with minibp, MNIST and the like; batches."""

from .arrays import EXPECTED, read_idx_folder, read_npz
from .batches import Batches
from .cells import parse
from .dataset import Dataset, Splits, class_weights, split
from .idx import read_idx
from .origin import Origin, fingerprint
from .pictures import ENDINGS, Pictures, brightness_of_border, list_classes, list_pictures, read_pictures
from .reading import read_table
from .sets import digits, fashion_mnist, kmnist, mnist
from .tables import Category, Columns, Number

__all__ = [
    "ENDINGS",
    "EXPECTED",
    "Batches",
    "Category",
    "Columns",
    "Dataset",
    "Number",
    "Origin",
    "Pictures",
    "Splits",
    "brightness_of_border",
    "class_weights",
    "digits",
    "fashion_mnist",
    "fingerprint",
    "kmnist",
    "list_classes",
    "list_pictures",
    "mnist",
    "parse",
    "read_idx",
    "read_idx_folder",
    "read_npz",
    "read_pictures",
    "read_table",
    "split",
]
