"""Errors: the tree is as drawn in docs/design.md, and docstrings name the errors that are raised."""

import builtins
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from raising import raised

import minibp
from minibp import (
    SGD,
    Dense,
    EarlyStopping,
    Layer,
    Loss,
    Network,
    SoftmaxCrossEntropy,
    data,
    errors,
    initializers,
    metrics,
)
from minibp.errors import ArgumentError, DivergenceError, MinibpError, ShapeError, StateError, UnknownNameError

ROOT = Path(__file__).parent.parent

# --- the tree ------------------------------------------------------------------------------------------------------


def drawn():
    """The tree in docs/design.md: the parent of each error, and the built-in error beside it."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```\n(MinibpError\n.*?)```", text, re.DOTALL)
    tree, above = {}, []
    for line in block.splitlines():
        branches, name, builtin = re.match(r"([│├└─ ]*)(\w+)(?: \((\w+)\))?", line).groups()
        above[len(branches) // 4 :] = [name]
        tree[name] = above[-2] if len(above) > 1 else "Exception", builtin
    return tree


def test_the_tree_of_errors_is_as_drawn():
    tree = {}
    for name, cls in vars(errors).items():
        if isinstance(cls, type) and issubclass(cls, Exception) and not issubclass(cls, Warning):
            parent, *others = [base.__name__ for base in cls.__bases__]
            tree[name] = parent, *(others or [None])
    assert drawn() == tree


# --- the docstrings ------------------------------------------------------------------------------------------------

# The public functions and methods that take a user's data: a caller may want to handle their errors.
TAKE_DATA = [
    minibp.check_gradients, minibp.evaluate, minibp.load, minibp.probe, minibp.save, minibp.train,
    data.Dataset.__init__, data.fashion_mnist, data.kmnist, data.mnist, data.read_idx, data.split,
    metrics.accuracy, metrics.confusion_matrix, metrics.top_k_accuracy,
    metrics.mean_absolute_error, metrics.mean_squared_error, metrics.r2_score,
    Layer.forward, Layer.backward, Loss.forward, Loss.backward, Loss.losses, Network.__init__, Network.forward,
    Network.backward, Network.predict, Network.to,
]  # fmt: skip
INHERITED = {Layer: Dense, Loss: SoftmaxCrossEntropy}  # a class that inherits the methods of the base
OF_PYTHON = {NotImplementedError, AttributeError}  # a missing method, a missing name
NEVER = {  # errors that are raised inside, but never reach the caller
    "fashion_mnist": {"ShapeError", "InputError", "TargetError", "OSError", "ArgumentError"},  # of published files
    "kmnist": {"ShapeError", "InputError", "TargetError", "OSError", "ArgumentError"},
    "mnist": {"ShapeError", "InputError", "TargetError", "OSError", "ArgumentError"},
    "check_gradients": {"TypeError"},  # becomes an ArgumentError
    "load": {"ArgumentError", "ShapeError", "StateError", "ValueError"},  # become FileFormatErrors
    "save": {"ShapeError", "StateError"},  # become ArgumentErrors
    "train": {"StateError"},  # each backward follows a forward
}


def owner(function):
    """The class of a method, found by its qualified name; None for a function."""
    name = function.__qualname__.rpartition(".")[0]
    return getattr(minibp, name, None) or getattr(data, name, None) if name else None


def section(doc):
    """The names in the Raises section of a docstring, which may have none."""
    found = re.search(r"^Raises\n------\n(.*?)(?=\n[^\n ]+\n---|\Z)", doc or "", re.DOTALL | re.MULTILINE)
    return re.findall(r"\w+", " ".join(re.findall(r"^\S.*", found[1], re.MULTILINE))) if found else []


def exception(name):
    """The error of this name, or None."""
    found = getattr(errors, name, getattr(builtins, name, None))
    return found if isinstance(found, type) and issubclass(found, Exception) else None


@pytest.mark.parametrize("function", TAKE_DATA, ids=lambda function: function.__qualname__)
def test_docstrings_name_the_errors_that_are_raised(function):
    cls = owner(function)
    doc = inspect.getdoc(cls if function.__name__ == "__init__" else function)
    documented = {exception(name) for name in section(doc)}
    assert None not in documented, "an error that does not exist"
    missing = [
        kind.__name__
        for kind in raised(function, INHERITED.get(cls, cls)) - OF_PYTHON
        if kind.__name__ not in NEVER.get(function.__name__, ())
        if not documented.intersection(base for base in kind.__mro__ if base is kind or issubclass(base, MinibpError))
    ]
    assert missing == []


def test_errors_raised_deep_down_are_found():
    assert raised(Network.__init__, Network) >= {ShapeError, StateError, ArgumentError, UnknownNameError}
    assert raised(minibp.train) >= {ArgumentError, DivergenceError}
    assert raised(minibp.AdamW.__init__, minibp.AdamW) == {ArgumentError}
    assert raised(initializers.HeNormal.__call__, initializers.HeNormal) >= {ArgumentError}


def test_raises_sections_are_read():
    doc = "What.\n\nRaises\n------\nShapeError, InputError\n    If.\nOSError\n    When.\n\nNotes\n-----\nNo."
    assert section(doc) == ["ShapeError", "InputError", "OSError"]
    assert section("Raises nothing.") == []


# --- arguments of another class ------------------------------------------------------------------------------------

SAMPLES = data.Dataset(np.ones((4, 2)), np.array([0, 1, 0, 1]))


def small():
    return Network([Dense(2, 2)], SoftmaxCrossEntropy())


@pytest.mark.parametrize(("call", "message"), [
    (lambda: Network(3, SoftmaxCrossEntropy()), "layers must be a list of layers, received 3"),
    (lambda: SGD(0.1, small()), "net must be a Network, received float; the network comes first: SGD"),
    (lambda: EarlyStopping(5), r"net must be a Network, received int; the network comes first: EarlyStopping\(net"),
    (lambda: EarlyStopping(small()).should_stop("low"), "EarlyStopping received 'low', expected a number$"),
    (lambda: minibp.save("a.safetensors", small()), r"net must be a Network, received str; call save\(net, path\)"),
    (lambda: minibp.evaluate(SAMPLES, small()), r"net must be a Network, received Dataset; call evaluate\(net"),
    (lambda: minibp.evaluate(small(), tuple(SAMPLES)), "dataset must be a Dataset, received tuple; create one"),
    (lambda: minibp.train(SGD(small(), 0.1), small(), SAMPLES, 1), "net must be a Network, received SGD"),
    (lambda: minibp.train(small(), 0.1, SAMPLES, 1), "optimizer must be an Optimizer, received float; create one"),
    (lambda: minibp.probe(small(), SAMPLES, SAMPLES), "optimizer must be an Optimizer, received Dataset"),
    (lambda: minibp.check_gradients(SAMPLES.x, small()), "net must be a Network, a layer or a loss, received ndarray"),
    (lambda: minibp.Checkpoint("a.ckpt", stopping=5), "stopping must be an EarlyStopping, received int; create one"),
])  # fmt: skip
def test_arguments_of_the_wrong_class_are_refused(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
