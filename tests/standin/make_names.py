"""Write names.json, what CuPy offers: python tests/standin/make_names.py, where CuPy can be imported (no GPU needed).

For each function the names of its parameters, "ufunc" for a ufunc, "any" where the parameters are not known; for each
method of the arrays its parameters, and null for a plain attribute.
"""

from __future__ import annotations

import inspect
import json
import re
import warnings
from pathlib import Path
from typing import Any


def names(module: Any) -> dict[str, Any]:
    """What a module offers, and how it is called."""
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


def parameters(function: Any) -> list[str] | str:
    """The names of a function's parameters."""
    if type(function).__name__ == "_GUFunc":
        return "gufunc"
    try:
        found = inspect.signature(function).parameters.values()
    except ValueError:
        return "any"
    return "any" if any(p.kind is p.VAR_KEYWORD for p in found) else [p.name for p in found]


def methods(cls: Any) -> dict[str, list[str] | None]:
    """The methods of a compiled class, whose parameters only the first line of the docstring tells."""
    found: dict[str, list[str] | None] = {}
    for name in dir(cls):
        value = getattr(cls, name)
        if name.startswith("_"):
            continue
        line = (getattr(value, "__doc__", None) or "").split("\n")[0]
        signature = re.search(rf"{name}\((.*)\)", line)
        if signature is None:
            found[name] = None
        else:
            found[name] = [re.split(r"[=\s]", part.strip().split("=")[0])[-1] for part in signature[1].split(",")]
            found[name] = [part.lstrip("*") for part in found[name] or [] if part.lstrip("*") not in ("", "self")]
    return found


def main() -> None:
    """Write the file."""
    warnings.simplefilter("ignore")
    import cupy

    content = {"version": cupy.__version__, "cupy": names(cupy), "ndarray": methods(cupy.ndarray)}
    path = Path(__file__).with_name("names.json")
    path.write_text(json.dumps(content, indent=0, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
