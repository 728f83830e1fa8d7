"""Find the errors that a function raises, by reading its source."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import textwrap
from functools import cache
from importlib.util import resolve_name
from types import FunctionType, ModuleType
from typing import Any


def is_ours(thing: Any) -> bool:
    return getattr(thing, "__module__", "").partition(".")[0] == "minibp"


def plain(thing: Any) -> Any:
    """The function that is inside a static method, a class method or a wrapper."""
    return inspect.unwrap(thing.__func__ if isinstance(thing, (staticmethod, classmethod)) else thing)


def functions(cls: type) -> dict[str, list[FunctionType]]:
    """The functions that a class itself defines, by name: its methods, and those of its properties."""
    found = {}
    for name, value in vars(cls).items():
        each = [value.fget, value.fset] if isinstance(value, property) else [plain(value)]
        found[name] = [f for f in each if isinstance(f, FunctionType) and is_ours(f)]
    return found


@cache
def nodes(function: FunctionType) -> list[ast.AST]:
    try:
        source = inspect.getsource(function)
    except OSError:  # of a dataclass, which writes its own methods
        return []
    return list(ast.walk(ast.parse(textwrap.dedent(source))))


class Scope:
    """The meanings of the names in a function of minibp."""

    def __init__(self, function: FunctionType, cls: type | None):
        self.function, self.cls = function, cls
        self.known = dict(function.__globals__)
        self.types = {"self": cls}  # of the arguments
        for node in nodes(function):
            if isinstance(node, ast.ImportFrom) and node.level:
                self.take(node)
        for node in nodes(function):
            if isinstance(node, ast.arg) and isinstance(node.annotation, ast.Name):
                kind = self.known.get(node.annotation.id)
                if isinstance(kind, type) and is_ours(kind):
                    self.types[node.arg] = kind

    def take(self, node: ast.ImportFrom) -> None:
        """Add the names of an import inside the function."""
        package = resolve_name("." * node.level + (node.module or ""), self.function.__globals__["__package__"])
        try:
            module = importlib.import_module(package)
        except ImportError:  # of the compiled operations, without numba
            return
        for alias in node.names:
            if hasattr(module, alias.name):
                self.known[alias.name] = getattr(module, alias.name)
            else:
                self.known[alias.name] = importlib.import_module(f"{package}.{alias.name}")

    def __call__(self, node: ast.AST) -> tuple[Any, type | None]:
        """The object that `name`, `module.name`, `argument.method` or `super().method` means, and its class if any."""
        if isinstance(node, ast.Name):
            return self.known.get(node.id, getattr(builtins, node.id, None)), None
        if not isinstance(node, ast.Attribute):
            return None, None
        of = node.value
        if isinstance(of, ast.Call) and isinstance(of.func, ast.Name) and of.func.id == "super" and self.cls:
            owner = next(
                cls for cls in self.cls.__mro__ if self.function in functions(cls).get(self.function.__name__, [])
            )
            after = self.cls.__mro__[self.cls.__mro__.index(owner) + 1 :]
            return next((vars(cls)[node.attr] for cls in after if node.attr in vars(cls)), None), self.cls
        if isinstance(of, ast.Name):
            cls, module = self.types.get(of.id), self.known.get(of.id)
            if cls:
                return inspect.getattr_static(cls, node.attr, None), cls
            if isinstance(module, ModuleType) and module.__name__.startswith("minibp"):
                return getattr(module, node.attr, None), None
        return None, None


def raised(function: FunctionType, cls: type | None = None, seen: set | None = None) -> set[type[Exception]]:
    """The errors that a function of minibp, as a method of this class, names after `raise`, and those of the functions
    that it calls by name, through `self`, or through an argument that has a type.

    These are most of its errors, but not all. Those that it catches, and those that cannot occur with its arguments,
    are among them.
    """
    seen = set() if seen is None else seen
    if (function, cls) in seen:
        return set()
    seen.add((function, cls))
    scope, found = Scope(function, cls), set()
    for node in nodes(function):
        if isinstance(node, ast.Raise) and node.exc is not None:
            kind, _ = scope(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
            if isinstance(kind, FunctionType):  # a function that creates the error
                kind = kind.__annotations__["return"]
                kind = kind if isinstance(kind, type) else scope.known[kind]
            if isinstance(kind, type) and issubclass(kind, Exception):
                found.add(kind)
        elif isinstance(node, ast.Call):
            called, of = scope(node.func)
            if isinstance(called, type) and is_ours(called) and not issubclass(called, Exception):
                called, of = called.__init__, called
            called = plain(called)
            if isinstance(called, FunctionType) and is_ours(called):
                found |= raised(called, of, seen)
    return found
