"""Values, arrays and files made from bytes.

Random bytes never have a checksum that fits, so most files are made from a good one: parts of it are exchanged, and it
is written again.
"""

import json
import pickle
import warnings
from contextlib import suppress

import numpy as np
import safetensors.numpy

from minibp.errors import ArgumentError
from minibp.files import tensorfile

NUMBERS = [
    0, 1, -1, 2, 3, 5, 255, 2**31, -(2**31), 2**32, 2**53, 2**60, 2**63 - 1, 2**63, -(2**63), 2**64, 2**127, 2**128,
    10**400, 0.5, 0.1, 1.0, -0.5, 1.5, 1e-8, 1e38, 1e39, 1e308, -1e308, 5e-324, -0.0, float("nan"), float("inf"),
    -float("inf"),
]  # fmt: skip
WORDS = [
    "", "0", "3", "nan", "Dense", "BatchNorm", "Dropout", "LeakyReLU", "Softmax", "CrossEntropy", "Constant", "Step",
    "Exponential", "Cosine", "Warmup", "ReduceOnPlateau", "Schedule", "math", "PCG64", "MT19937", "float32", "float64",
    "checkpoint", "numpy", "n_in", "W", "seed", "__class__", "\0", "\ud800", "é", "F32", "F64", "BF16", "I8",
    "BOOL", "F8_E5M2", "C64", "cupy", "<f4", "<i8", "|O", "|S9", "Sequential", "Residual", "layer", "layers", "loss",
    "class", "then", "schedule", "steps", "state", "inc", "training", "trainable", "rate", "momentum", "layers.0.W",
    "layers.2.random", "network.layers.2.seen", "optimizer.schedule.lr", "network", "optimizer", "progress.losses",
]  # fmt: skip
NPY_TYPES = [
    "|u1", "<f4", "<f8", ">f4", "<f2", "<i8", "|b1", "|O", "|V8", "|S4", "<U4", "<c8", "<M8[s]", "<f3", "f4,f4", "x",
    "", [("a", "<f4")], [("a", "<f4", (2,))], [("a", "|O")], ("<f4", (2,)), {"names": ["a"], "formats": ["<f4"]},
]  # fmt: skip
NAMES = ["x", "progress.losses", "early stopping.best_params", "optimizer.schedule.lr", "network.layers.2.random.x"]
DTYPES = ["f4", "f8", "f2", "i1", "u1", "i4", "i8", "u8", "?", "c8"]


class Taken:
    """Choices and values made from bytes, one byte for each choice, and zeros when they are used up."""

    def __init__(self, data: bytes):
        self.rest = iter(data)
        self.left = len(data)

    def below(self, n: int) -> int:
        self.left -= 1
        return next(self.rest, 0) % n

    def one(self, of):
        return of[self.below(len(of))]

    def bytes(self) -> bytes:
        return bytes(self.rest)

    def value(self, depth: int = 0):
        """Anything that JSON can hold."""
        kind = self.below(16)
        if kind < 7:
            return self.one(NUMBERS)
        if kind < 10:
            return self.one(WORDS)
        if kind < 12 or depth > 3:
            return [None, True, False][kind % 3]
        if kind == 12:
            return self.below(256)
        if kind == 13:
            return {self.one(WORDS): self.value(depth + 1) for _ in range(self.below(4))}
        if kind == 14:
            return [self.value(depth + 1) for _ in range(self.below(6))]
        deep = self.one([None, 1, "Dense"])
        for _ in range(self.one([1, 5, 30, 60, 200])):
            deep = [deep]
        return deep

    def changed(self, tree):
        """The tree with one place in it exchanged, removed or doubled."""
        spots = _spots(tree, [])
        if not spots:
            return tree
        holder, key = spots[(self.below(256) * 256 + self.below(256)) % len(spots)]
        what = self.below(8)
        if what == 0:
            del holder[key]
        elif what == 1 and isinstance(holder, list):
            holder.insert(key, _copy(holder[self.below(len(holder))]))
        elif what == 1:
            holder[self.one(WORDS)] = self.value()
        elif what == 2:
            other, name = spots[self.below(256) % len(spots)]
            with suppress(LookupError):  # removed before
                holder[key] = _copy(other[name])
        else:
            holder[key] = self.value()
        return tree

    def array(self, array: np.ndarray) -> np.ndarray:
        """The array, changed."""
        what = self.below(8)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if what == 0:
                return array.astype(self.one(DTYPES))
            if what == 1:
                return np.zeros((0, self.one([1, 2**20, 2**40, 2**59])), array.dtype)
            if what == 2:
                return array.reshape(array.shape[::-1] if self.below(2) else -1)
            if what == 3:
                return array[: self.below(3)] if array.ndim else array
            if what == 4:
                return np.zeros([self.below(4) for _ in range(self.below(5))], array.dtype)
            array, value = array.copy(), self.one([x for x in NUMBERS if x != 10**400])
            with suppress(ValueError, OverflowError, IndexError):  # not every type takes every number
                array.reshape(-1)[self.below(256) % max(array.size, 1)] = float(value)
            return array

    def arrays(self, arrays: dict) -> dict:
        """The arrays, one of them removed, renamed, added or changed."""
        name = self.one([*arrays, "x"])
        if name == "x":
            return arrays | {self.one(NAMES): np.zeros(self.below(9), "f4")}
        array = arrays.pop(name)
        what = self.below(8)
        if what == 0:
            return arrays
        if what == 1:
            return arrays | {self.one([*arrays, "x", "layers.0.b", "", "__metadata__ "]): array}
        return arrays | {name: self.array(array)}

    def file(self, kind: str, good: list[bytes]) -> bytes:
        """A file: any bytes, or a good file, mostly changed and with a checksum that fits."""
        described, arrays = pickle.loads(self.one(good))  # a copy
        mode = self.below(16)
        if mode == 0:
            return self.bytes()
        if mode == 1:  # the checksum does not fit
            content = self.spoilt(tensorfile.to_bytes(kind, described, arrays), 1 + self.below(4))
            return content[: len(content) - self.below(3)]
        if mode == 2:
            return self.headed(kind, described, arrays)
        if mode == 3:
            return tensorfile.to_bytes(kind, described, arrays)
        try:
            for _ in range(1 + self.below(3)):
                if self.below(3):
                    described = self.changed(described)
                else:
                    arrays = self.arrays(arrays)
            return tensorfile.to_bytes(kind, described, arrays)
        except (ArgumentError, RecursionError):  # too deep to be written
            return self.bytes()

    def headed(self, kind: str, described: dict, arrays: dict) -> bytes:
        """A file with a changed header, and a checksum of its contents if they can be read."""
        header, values = parts(tensorfile.to_bytes(kind, described, arrays))
        about = header.pop("__metadata__")
        for _ in range(1 + self.below(2)):
            header = self.changed(header)
        with suppress(Exception):  # without a checksum if nothing can be read
            found = safetensors.numpy.load(joined(header, values))
            contents = json.loads(about[tensorfile.KEY])["contents"]
            checksum = tensorfile.checksum(contents, found)
            about = {tensorfile.KEY: json.dumps({"contents": contents, "sha256": checksum})}
        return joined({"__metadata__": about, **header}, values)


    def images(self) -> bytes:
        """A file of images: any bytes, an IDX file with changed bytes, or mostly a .npy file."""
        mode = self.below(8)
        if mode == 0:
            return self.bytes()
        if mode == 1:
            return self.spoilt(b"\0\0\x08\2\0\0\0\3\0\0\0\2abcdef", self.below(3))
        return self.npy()

    def npy(self) -> bytes:
        """A .npy file: a good one, its header mostly changed."""
        described = {"descr": self.one(["|u1", "<f4", self.one(NPY_TYPES)]), "fortran_order": False, "shape": (3, 2)}
        if self.below(2):  # `changed` knows lists
            described = self.changed(described | {"shape": [3, 2]})
            if isinstance(described.get("shape"), list) and self.below(4):
                described["shape"] = tuple(described["shape"])
        text = self.spoilt(ascii(described).encode() + b"\n", self.one([0, 0, 0, 1, 3]))
        version, length = self.one([1, 1, 1, 1, 2, 3, 0, 255]), len(text) + self.one([0, 0, 0, 0, 0, 0, 1, -1, 1000])
        start = b"\x93NUMPY" + bytes([version, 0]) + length.to_bytes(2 if version == 1 else 4, "little")
        return start + text + bytes(range(48))[: self.one([48, 24, 6, 5, 0])]

    def spoilt(self, content: bytes, times: int) -> bytes:
        """The bytes, some of them changed."""
        spoilt = bytearray(content)
        for _ in range(times):
            spoilt[(self.below(256) * 256 + self.below(256)) % len(spoilt)] = self.below(256)
        return bytes(spoilt)


def _copy(tree):
    return pickle.loads(pickle.dumps(tree))


def _spots(tree, found: list) -> list:
    """Every place in a tree, as the container and the key."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        found.append((tree, key))
        if isinstance(value, (dict, list)):
            _spots(value, found)
    return found


def parts(content: bytes) -> tuple[dict, bytes]:
    """The header of a safetensors file, and the values after it."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header: dict, values: bytes) -> bytes:
    """A safetensors file of these."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + values
