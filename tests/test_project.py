"""The project: who imports whom, what is public, what is installed."""

import ast
import configparser
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import minibp

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "minibp"
MODULES = sorted(PACKAGE.rglob("*.py"))

# The modules and packages of minibp: each imports only from those before it.
ORDER = [
    "errors", "backend", "base", "initializers", "layers", "normalization", "dropout", "augmentation", "containers",
    "losses", "regression", "network", "averaging", "schedules", "optimizer", "optimizers", "data", "stopping",
    "progress", "program", "threads", "files", "metrics", "hints", "parallel", "evaluation", "training", "sklearn",
    "debug", "__init__", "export", "cli", "__main__",
]  # fmt: skip
# The same for the modules of each package, whose __init__ comes last.
INSIDE = {
    "backend": ["libraries", "arrays", "blas"],
    "base": ["arguments", "validation", "hashing", "disk", "state", "best", "workspaces", "parameters", "module",
             "twins", "vectors", "layer", "loss", "shapes", "boundary", "summary"],
    "data": ["idx", "download", "published", "dataset", "batches", "sets", "cells", "tables", "pictures", "arrays",
             "reading", "origin"],
    "files": ["tensorfile", "saving", "facts", "checkpoint"],
    "parallel": ["agreement", "sums", "ranks", "start"],
    "debug": ["diagnosis", "finite_differences", "watching", "alone", "gradients", "probing"],
    "program": ["table", "rows", "runs", "kernels", "launches", "gpu", "views", "elementary", "products", "layers",
                "normalization", "augmentation", "batches", "losses", "optimizers", "interpreter", "program", "choice"],
    "sklearn": ["sparse", "updates", "building", "descent", "lbfgs", "base", "estimators"],
    "export": ["layers", "resources", "torch_source", "torch", "texts", "calibration", "findings", "history", "figures",
               "sections", "report", "page", "onnx_writer", "onnx_graph", "onnx_layers", "onnx_reader"],
    "cli": ["output", "program", "plot", "log", "several", "session", "doctor", "commands", "parts", "sources", "asked",
            "recipe", "training", "exporting", "command_line"],
}  # fmt: skip
# The same for the scripts, which import minibp.
SCRIPTS = {
    "models": ["model", "zoo", "distorted", "__init__", "neuron"],
    "datasets": ["plot", "common", "moons", "compare", "probe", "script", "make_digits", "__init__", "digits",
                 "fashion_mnist", "kmnist", "mnist"],
}  # fmt: skip

PUBLIC = [
    "ELU", "GELU", "SGD", "AbsoluteLoss", "AdaGrad", "Adam", "AdamW", "BatchNorm", "BinaryCrossEntropy", "Checkpoint",
    "CrossEntropy", "Dense", "Dropout", "EarlyStopping", "ElasticDistortion", "Epoch", "Exp", "Flatten",
    "GaussianNoise", "HuberLoss", "Layer", "LayerNorm", "LeakyReLU", "Loss", "Network", "Optimizer", "PoissonLoss",
    "QuadraticLoss", "QuantileLoss", "RMSProp", "RandomAffine", "ReLU", "Residual", "Sequential", "Sigmoid",
    "SigmoidCrossEntropy", "Softmax", "SoftmaxCrossEntropy", "Softplus", "Standardize", "Tanh", "WeightAverage",
    "backend", "check_gradients", "compile", "data", "evaluate", "initializers", "load", "metrics", "probe", "save",
    "schedules", "train",
]  # fmt: skip

def dotted(path):
    """minibp/base/layer.py as base.layer."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


every_module = pytest.mark.parametrize("path", MODULES, ids=dotted)


def nodes(path, *kinds):
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, kinds)]


def imports(path):
    """The modules that a file imports, anywhere in it, as minibp.layers or numpy."""
    found = {alias.name for node in nodes(path, ast.Import) for alias in node.names}
    folders = path.relative_to(ROOT).parent.parts
    for node in nodes(path, ast.ImportFrom):
        start = folders[: len(folders) - node.level + 1] if node.level else ()
        for alias in node.names:
            inside = ROOT.joinpath(*start, *(node.module or "").split("."), alias.name)
            is_module = inside.with_suffix(".py").exists() or inside.is_dir()
            found.add(".".join([*start, *([node.module] if node.module else []), *([alias.name] if is_module else [])]))
    return found


def packages(folder):
    return {name.split(".")[0] for path in (ROOT / folder).rglob("*.py") for name in imports(path)}


def before(name, order):
    """The names before this one in an order of imports."""
    assert name in order, f"{name} has no place in the order of imports: give it one"
    return set(order[: order.index(name)])


# --- imports -------------------------------------------------------------------------------------------------------


@every_module
def test_files_and_packages_import_only_those_before_them(path):
    top, *rest = dotted(path).split(".")
    for name in imports(path):
        if name.split(".")[0] != "minibp":
            continue
        theirs = name.split(".")[1:] or ["__init__"]
        if rest and theirs[0] == top:
            (module,) = theirs[1:] or ["__init__"]
            assert module in before(rest[0], [*INSIDE[top], "__init__"])
        else:
            assert theirs[0] in before(top, ORDER)


@pytest.mark.parametrize("folder", SCRIPTS)
def test_scripts_have_no_circular_imports(folder):
    for path in (ROOT / folder).glob("*.py"):
        ours = {name.partition(".")[2] or "__init__" for name in imports(path) if name.split(".")[0] == folder}
        assert ours <= before(path.stem, SCRIPTS[folder])


@pytest.mark.parametrize("package", INSIDE)
def test_packages_have_a_docstring_and_export_the_names_they_import(package):
    path = PACKAGE / package / "__init__.py"
    assert len(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).splitlines()) == 1
    (exported,) = [node.value for node in nodes(path, ast.Assign) if node.targets[0].id == "__all__"]
    imported = {alias.name for node in nodes(path, ast.ImportFrom) for alias in node.names}
    assert set(ast.literal_eval(exported)) == imported


def test_packages_import_only_those_below_them():
    assert not packages("minibp") & {"models", "datasets", "tests", "benchmarks"}
    assert not packages("models") & {"datasets", "tests", "benchmarks"}
    assert not packages("datasets") & {"tests", "benchmarks"}


def test_backend_alone_imports_cupy():
    assert [dotted(path) for path in MODULES if "cupy" in imports(path)] == ["backend.libraries"]


def test_parallel_alone_imports_mpi4py():
    assert {dotted(path).split(".")[0] for path in MODULES if "mpi4py" in imports(path)} == {"parallel"}


def test_network_knows_no_layer_by_name():
    layers = {name for name, cls in vars(minibp).items() if isinstance(cls, type) and issubclass(cls, minibp.Layer)}
    path = ROOT / "minibp" / "network.py"
    named = {node.id for node in nodes(path, ast.Name)} | {node.name for node in nodes(path, ast.alias)}
    assert named & layers == {"Layer"}


def test_importing_minibp_does_not_import_packages_that_few_need():
    code = "import sys, minibp; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    ours = {"tqdm", "platformdirs", "requests", "safetensors"}
    extras = {"matplotlib", "jinja2", "cupy", "sklearn", "scipy", "numba", "pandas", "PIL", "mpi4py"}
    assert not loaded & (ours | extras)


# --- the source ----------------------------------------------------------------------------------------------------


def test_public_names_are_these():
    assert minibp.__all__ == PUBLIC
    assert all(hasattr(minibp, name) for name in minibp.__all__)


@every_module
def test_modules_and_their_public_names_have_docstrings(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    public = [node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name[0] != "_"]
    assert [getattr(node, "name", path.stem) for node in [tree, *public] if not ast.get_docstring(node)] == []


@every_module
def test_the_library_prints_nothing_but_its_command_line_does(path):
    allowed = ("cli.command_line", "cli.program", "cli.session", "cli.training")
    assert dotted(path) in allowed or not [node.lineno for node in nodes(path, ast.Name) if node.id == "print"]


@every_module
def test_files_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


# --- what is installed ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the sources."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("minibp", "models", "datasets", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    build = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "-w", "dist"]
    subprocess.run(build, cwd=copy, capture_output=True, text=True, check=True)
    (path,) = (copy / "dist").iterdir()
    return path


def test_the_wheel_is_named_after_the_version(wheel):
    assert wheel.name == f"minibp-{minibp.__version__}-py3-none-any.whl"
    assert re.fullmatch(r"\d+\.\d+\.\d+", minibp.__version__)


def test_the_wheel_holds_minibp_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    info = f"minibp-{minibp.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"minibp", info}
    modules = [path.relative_to(ROOT).as_posix() for path in MODULES]
    assert {name for name in names if name.startswith("minibp/")} == {
        *modules, "minibp/py.typed", "minibp/data/digits.npz",
        *(path.relative_to(ROOT).as_posix() for path in (PACKAGE / "export" / "web").iterdir()),
        *(path.relative_to(ROOT).as_posix() for path in (PACKAGE / "program" / "cuda").iterdir()),
    }  # fmt: skip
    assert f"{info}/licenses/LICENSE" in names
    assert f"{info}/entry_points.txt" in names


def test_the_changelog_begins_with_this_version_or_the_next():
    first = re.search(r"(?m)^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))[1]
    assert first in (minibp.__version__, "Unreleased")


def test_extras_are_these():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = "test docs plot bench fast sklearn mpi onnx report browser data cuda12 cuda13"
    assert set(setup["options.extras_require"]) == set(extras.split())
