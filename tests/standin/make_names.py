"""Write names.json, what CuPy offers: python tests/standin/make_names.py, where CuPy can be imported (no GPU needed).

For each function its parameters, as "(a, axis=None, out=None)", all defaults being None; "ufunc" for a ufunc, "any"
where the parameters are not known. For each method of the arrays, and of the generator of random numbers, its
parameters, and null for a plain attribute; the special methods of the arrays; and what waits for the device by its own
docstring, since it must know a value to go on.
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


def parameters(function: Any) -> str:
    """A function's parameters."""
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
    """The methods of a compiled class, whose parameters only the first line of the docstring tells."""
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
    """What may wait for the device, as its docstring warns."""
    return [name for name in dir(space) if "may synchronize" in " ".join(str(getattr(space, name).__doc__).split())]


def content() -> dict[str, Any]:
    """What the file holds."""
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
