"""The errors: the tree, as drawn in docs/design.md; the docstrings, which name what is raised."""

import builtins
import importlib
import inspect
import re
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest
from raising import functions, raised

import minibp
from minibp import (
    SGD,
    Dense,
    EarlyStopping,
    Network,
    SoftmaxCrossEntropy,
    backend,
    data,
    errors,
    initializers,
    metrics,
    schedules,
)
from minibp.errors import ArgumentError, DivergenceError, MinibpError, ShapeError, StateError, UnknownNameError

ROOT = Path(__file__).parent.parent
MODULES = sorted(path.stem for path in (ROOT / "minibp").glob("[!_]*.py"))

# --- the tree ------------------------------------------------------------------------------------------------------


def drawn():
    """The tree in docs/design.md: the parent of each error, and the built-in one beside it."""
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


def is_of(thing, module):
    return isinstance(thing, (type, FunctionType)) and thing.__module__ == module.__name__ and thing.__name__[0] != "_"


PUBLIC = [getattr(minibp, name) for name in minibp.__all__]
for module in (backend, data, initializers, metrics, schedules):
    names = getattr(module, "__all__", [name for name, thing in vars(module).items() if is_of(thing, module)])
    PUBLIC += [getattr(module, name) for name in names]

OF_PYTHON = {NotImplementedError, AttributeError}  # a method that is to be written, a name that is not there
FILES = {"ShapeError", "InputError", "TargetError"}  # of arrays that the caller has no part in: they do fit
PUBLISHED = {"OSError", "ArgumentError"}  # the first becomes a DownloadError; the names of the files are good ones
NEVER = {  # what is raised on the way, but not to the caller
    # What becomes a FileFormatError; and of a small network that tries the numbers of an optimizer.
    "checkpoint.Checkpoint.begin": {"FileNotFoundError", "ValueError", "ShapeError", "BackendError", "StateError"},
    "commands.predictions": {"ArgumentError"},
    "commands.testing": FILES,
    "data.digits": FILES,
    "data.mnist": FILES | PUBLISHED,
    "data.fashion_mnist": FILES | PUBLISHED,
    "data.kmnist": FILES | PUBLISHED,
    "kept.restore": {"BackendError", "StateError", "ShapeError"},
    "published.load": PUBLISHED,
    "download.fetch": {"OSError"},  # becomes a DownloadError
    "tensorfile.read": {"ValueError"},  # becomes a FileFormatError
    "differences.check_part": {"TypeError"},  # becomes an ArgumentError
    "gradients.check_gradients": {"TypeError"},
    "saving.load": {"ArgumentError", "ShapeError", "StateError", "ValueError"},  # become FileFormatErrors
    "training.train": {"StateError"},  # each backward follows a forward
}


def load(name):
    return pytest.importorskip("minibp.compiled") if name == "compiled" else importlib.import_module(f"minibp.{name}")


def own(module):
    """The public functions of a module, and the methods of its classes: name, function, class, docstrings."""
    for name, thing in vars(module).items():
        if not is_of(thing, module):
            continue
        if isinstance(thing, FunctionType):
            yield name, thing, None, [inspect.getdoc(thing)]
            continue
        for method, each in functions(thing).items():
            if method[0] == "_" and not method.startswith("__"):
                continue
            docs = [inspect.getdoc(getattr(thing, method))]
            if method.startswith("__") or isinstance(vars(thing)[method], property):
                docs.append(inspect.getdoc(thing))  # what no name is called for is told there
            for function in each:
                yield f"{name}.{method}", function, thing, docs


def section(doc):
    """The names in a docstring's section Raises; none where there is no such section."""
    found = re.search(r"^Raises\n------\n(.*?)(?=\n[^\n ]+\n---|\Z)", doc or "", re.DOTALL | re.MULTILINE)
    return re.findall(r"\w+", " ".join(re.findall(r"^\S.*", found[1], re.MULTILINE))) if found else []


def exception(name):
    """The error of this name; None where there is none."""
    found = getattr(errors, name, getattr(builtins, name, None))
    return found if isinstance(found, type) and issubclass(found, Exception) else None


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_name_what_is_raised(name):
    """In a section Raises; in a sentence, where the function is none that users call, or the docstring is short."""
    module, missing = load(name), []
    for label, function, cls, docs in own(module):
        told = [each for doc in docs for each in section(doc)]
        if not told and not ((cls or function) in PUBLIC and (cls is None or label.endswith(".__init__"))):
            told = re.findall(r"\w+", " ".join(map(str, [*docs, module.__doc__])))
        kinds = {kind for each in told if (kind := exception(each))}
        missing += [
            f"{label}: {kind.__name__}"
            for kind in raised(function, cls) - OF_PYTHON
            if kind.__name__ not in NEVER.get(f"{name}.{label}", ())
            if not kinds.intersection(base for base in kind.__mro__ if base is kind or issubclass(base, MinibpError))
        ]
    assert missing == []


@pytest.mark.parametrize("name", MODULES)
def test_the_errors_that_docstrings_name_are_there(name):
    module = load(name)
    told = {each for *_, docs in own(module) for doc in docs for each in section(doc)}
    assert [each for each in told if exception(each) is None] == []


def test_errors_raised_deep_down_are_found():
    assert raised(Network.__init__, Network) >= {ShapeError, StateError, ArgumentError, UnknownNameError}
    assert raised(minibp.train) >= {ArgumentError, DivergenceError}
    assert raised(minibp.AdamW.__init__, minibp.AdamW) == {ArgumentError}
    assert raised(initializers.HeNormal.__call__, initializers.HeNormal) >= {ArgumentError}


def test_sections_are_read():
    doc = "What.\n\nRaises\n------\nShapeError, InputError\n    If.\nOSError\n    When.\n\nNotes\n-----\nNo."
    assert section(doc) == ["ShapeError", "InputError", "OSError"]
    assert section("Raises nothing.") == []


# --- what is of another class --------------------------------------------------------------------------------------

SAMPLES = data.Dataset(np.ones((4, 2)), np.array([0, 1, 0, 1]))


def small():
    return Network([Dense(2, 2)], SoftmaxCrossEntropy())


@pytest.mark.parametrize(("call", "message"), [
    (lambda: Network(3, SoftmaxCrossEntropy()), "layers must be a list of layers, got 3"),
    (lambda: SGD(0.1, small()), "net must be a Network, got float; give the network that is to be trained first"),
    (lambda: EarlyStopping(5), r"net must be a Network, got int; give the network first: EarlyStopping\(net"),
    (lambda: EarlyStopping(small()).should_stop("low"), "early stopping got 'low', expected a number"),
    (lambda: minibp.save("a.safetensors", small()), r"net must be a Network, got str; call save\(net, path\)"),
    (lambda: minibp.evaluate(SAMPLES, small()), r"net must be a Network, got Dataset; call evaluate\(net, dataset\)"),
    (lambda: minibp.evaluate(small(), tuple(SAMPLES)), "dataset must be a Dataset, got tuple; make one"),
    (lambda: minibp.train(SGD(small(), 0.1), small(), SAMPLES, 1), "net must be a Network, got SGD"),
    (lambda: minibp.train(small(), 0.1, SAMPLES, 1), "optimizer must be an Optimizer, got float; make one"),
    (lambda: minibp.probe(small(), SAMPLES, SAMPLES), "optimizer must be an Optimizer, got Dataset"),
    (lambda: minibp.check_gradients(SAMPLES.x, small()), "net must be a Network, a layer or a loss, got ndarray"),
    (lambda: minibp.Checkpoint("a.ckpt", stopping=5), "stopping must be an EarlyStopping, got int; make one"),
])  # fmt: skip
def test_what_is_of_another_class_is_refused(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
