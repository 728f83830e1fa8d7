"""Write names.json, the names that CuPy offers: python tests/standin/make_names.py. Needs CuPy, but no GPU.

Functions have their parameters, as "(a, axis=None, out=None)" with None for all defaults; "ufunc" for a ufunc; "any" if
the parameters are not known. Methods of arrays and of random generators have theirs, and plain attributes null. The
file also lists the special methods of arrays, and the functions that wait for the device by their own docstrings.
"""

from __future__ import annotations

import inspect
import json
import re
import warnings
from pathlib import Path
from typing import Any


def names(module: Any) -> dict[str, Any]:
    """The names in a module, with the parameters of its functions."""
    import cupy

    found: dict[str, Any] = {}
    for name in dir(module):
        value = getattr(module, name)
        if name.startswith("_") or inspect.ismodule(value):
            continue
        if isinstance(value, cupy.ufunc):
            found[name] = "ufunc"
        elif isinstance(value, type):
            found[name] = "type"
        elif callable(value):
            found[name] = parameters(value)
        else:
            found[name] = "constant"
    return found


def parameters(function: Any) -> str:
    """The parameters of a function."""
    if type(function).__name__ == "_GUFunc":
        return "gufunc"
    try:
        found = list(inspect.signature(function).parameters.values())
    except ValueError:
        return "any"
    if any(p.kind is p.VAR_KEYWORD for p in found):
        return "any"
    known = [p.replace(annotation=p.empty, default=p.empty if p.default is p.empty else None) for p in found]
    return str(inspect.Signature(known))


def methods(cls: type) -> dict[str, str | None]:
    """The methods of a compiled class, with the parameters from the first lines of their docstrings."""
    found: dict[str, str | None] = {}
    for name in dir(cls):
        if name.startswith("_"):
            continue
        line = (getattr(cls, name).__doc__ or "").split("\n")[0]
        signature = re.search(rf"{name}\(self(?:, )?(.*?)\)", line)
        if signature is None:
            found[name] = None
        else:  # "Py_ssize_t axis1" without its type, and any default as None
            parts = [re.sub(r"^\w+ ", "", re.sub(r"=.*", "=None", part)) for part in signature[1].split(", ")]
            found[name] = f"({', '.join(parts)})"
    return found


def synchronizing(space: Any) -> list[str]:
    """The functions that may wait for the device, by their docstrings."""
    return [name for name in dir(space) if "may synchronize" in " ".join(str(getattr(space, name).__doc__).split())]


def content() -> dict[str, Any]:
    """The contents of the file."""
    import cupy

    return {
        "version": cupy.__version__,
        "cupy": names(cupy),
        "ndarray": methods(cupy.ndarray),
        "special": [name for name in dir(cupy.ndarray) if name.startswith("__")],
        "Generator": methods(cupy.random.Generator),
        "synchronizing": sorted({*synchronizing(cupy), *synchronizing(cupy.ndarray)}),
    }


def main() -> None:
    """Write the file."""
    warnings.simplefilter("ignore")
    path = Path(__file__).with_name("names.json")
    path.write_text(json.dumps(content(), indent=0, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
