"""The forms that python -m minibp export writes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from ..base import printable
from ..errors import ArgumentError
from ..export import to_onnx, to_page, to_torch
from ..files import load


class Format(NamedTuple):
    """A function (net, path, ...) that writes a file, the ending of the file, and the options that it takes.

    What the function returns is printed, if it is a text.
    """

    write: Callable[..., str | None]
    ending: str
    options: tuple[str, ...] = ()


FORMATS = {
    "onnx": Format(to_onnx, ".onnx", ("scale_uint8",)),
    "page": Format(to_page, ".html", ("language", "scale")),
    "torch": Format(to_torch, ".torch.safetensors"),
}


def export(file: str, to: str, out: str | None, **options: Any) -> str:
    """Write a saved network in a format of the table, by default beside its file. Returns what to print.

    That is a line about the file; a Python program, if there is one, follows it, and it is a comment then.

    An ArgumentError if an option that is not None is another format's, or the network itself would be overwritten.
    """
    chosen = FORMATS[to]
    given = {name: option for name, option in options.items() if option is not None}
    for name in given.keys() - set(chosen.options):
        fitting = " or ".join(each for each, form in FORMATS.items() if name in form.options)
        raise ArgumentError(f"--{name.replace('_', '-')} goes with --to {fitting}, not with --to {to}: leave it out")
    path = os.path.splitext(file)[0] + chosen.ending if out is None else out
    if os.path.realpath(path) == os.path.realpath(file):
        raise ArgumentError(f"{path} is the network itself: choose another name for --out")
    text = chosen.write(load(file), path, **given)
    line = f"{printable(path)}  {os.path.getsize(path) / 1000:,.0f} kB"
    return f"# {line}\n{text}".rstrip() if text else line
