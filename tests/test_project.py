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
MODULES = sorted((ROOT / "minibp").glob("*.py"))

# Each module imports only from those before it.
ORDER = [
    "errors", "checks", "backend", "initializers", "part", "vectors", "layer", "layers", "normalization",
    "dropout", "loss", "losses", "compiled", "chain", "summary", "network", "schedules", "optimizer", "optimizers",
    "diagnosis", "differences", "gradients", "tensorfile", "saving", "idx", "download", "published", "data", "batches",
    "stopping", "progress", "kept", "restored", "fit", "checkpoint", "metrics", "training", "probing", "__init__",
    "doctor", "commands", "__main__",
]  # fmt: skip

PUBLIC = [
    "ELU", "GELU", "SGD", "AdaGrad", "Adam", "AdamW", "BatchNorm", "BinaryCrossEntropy", "Checkpoint",
    "CrossEntropy", "Dense",
    "Dropout", "EarlyStopping", "Epoch", "Flatten", "Layer", "LayerNorm", "LeakyReLU", "Loss", "Network",
    "Optimizer", "QuadraticLoss", "RMSProp", "ReLU", "Sigmoid", "SigmoidCrossEntropy", "Softmax",
    "SoftmaxCrossEntropy", "Softplus", "Tanh", "backend", "check_gradients", "data", "evaluate", "initializers",
    "load", "metrics", "probe", "save", "schedules", "train",
]  # fmt: skip

every_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)


def nodes(path, *kinds):
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, kinds)]


def imports(path):
    """The modules that a file imports anywhere in it, as minibp.layers; of a package, as numpy."""
    found = {alias.name for node in nodes(path, ast.Import) for alias in node.names}
    for node in nodes(path, ast.ImportFrom):
        start = [path.parent.name] if node.level else []
        if node.module:
            found.add(".".join([*start, node.module]))
        else:
            found |= {".".join([*start, alias.name]) for alias in node.names}
    return found


def packages(folder):
    return {name.split(".")[0] for path in (ROOT / folder).glob("*.py") for name in imports(path)}


# --- imports -------------------------------------------------------------------------------------------------------


@every_module
def test_modules_import_only_those_before_them(path):
    own = {name.removeprefix("minibp.") for name in imports(path) if name.startswith("minibp")}
    own = {name if name in ORDER else "__init__" for name in own}  # from . import __version__
    assert own <= set(ORDER[: ORDER.index(path.stem)])


def test_packages_import_only_those_below_them():
    assert not packages("minibp") & {"models", "datasets", "tests", "benchmarks"}
    assert not packages("models") & {"datasets", "tests", "benchmarks"}
    assert not packages("datasets") & {"tests", "benchmarks"}


def test_backend_alone_imports_cupy():
    assert [path.stem for path in MODULES if "cupy" in imports(path)] == ["backend"]


def test_network_knows_no_layer_by_name():
    layers = {name for name, cls in vars(minibp).items() if isinstance(cls, type) and issubclass(cls, minibp.Layer)}
    path = ROOT / "minibp" / "network.py"
    named = {node.id for node in nodes(path, ast.Name)} | {node.name for node in nodes(path, ast.alias)}
    assert named & layers == {"Layer"}


def test_importing_minibp_imports_what_all_need_and_no_more():
    code = "import sys, minibp; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    ours = {"tqdm", "platformdirs", "requests", "safetensors"}
    assert not loaded & (ours | {"matplotlib", "cupy", "sklearn", "scipy", "numba"})


# --- the source ----------------------------------------------------------------------------------------------------


def test_public_names_are_these():
    assert minibp.__all__ == PUBLIC
    assert all(hasattr(minibp, name) for name in minibp.__all__)


@every_module
def test_modules_and_what_is_public_in_them_have_docstrings(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    public = [node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name[0] != "_"]
    assert [getattr(node, "name", path.stem) for node in [tree, *public] if not ast.get_docstring(node)] == []


@every_module
def test_the_library_prints_nothing_but_its_command_line_does(path):
    assert path.stem == "__main__" or not [node.lineno for node in nodes(path, ast.Name) if node.id == "print"]


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
    assert {name for name in names if name.startswith("minibp/")} == {
        f"minibp/{name}" for name in [*(path.name for path in MODULES), "py.typed", "digits.npz"]
    }
    assert f"{info}/licenses/LICENSE" in names


def test_extras_are_these():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert set(setup["options.extras_require"]) == {"test", "docs", "plot", "bench", "fast", "cuda12", "cuda13"}
