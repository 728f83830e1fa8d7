"""Check a layer and all layers inside it, each alone, and find the layers whose own gradient is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..base import Layer, short_name
from .diagnosis import UNSET
from .finite_differences import (
    TOLERANCE,
    Gradient,
    check_fixed,
    check_module,
    check_size,
    formula_errors,
    random_dy,
    restored,
)
from .watching import replaced

UNUSED = "no formula calls forward of this layer, so it is not checked: remove it, or use it"


class CheckedLayer:
    """A layer and the layers inside it, each to be checked alone, so that no mistake reaches another.

    Parameters
    ----------
    layer : Layer
        The outermost layer.
    name : str
        Its dotted name, with which those of the layers inside begin: "1", "1.left".
    place : str
        What the report writes before these names: "layer ".

    Attributes
    ----------
    layers, places : dict
        The layers and their names in the report, such as "layer 1.left: Dense(4, 4)", by dotted name.
    gradients : dict
        The gradients of each layer by dotted name, once `check` has run: of its own parameters, of those of the layers
        inside ("left.W"), and of "x". A layer whose `forward` was not called has none.
    """

    def __init__(self, layer: Layer, name: str, place: str = ""):
        self.name = name
        self.layers: dict[str, Any] = {
            key: each for key, each in layer.named_modules(name).items() if isinstance(each, Layer)
        }
        self.places = {
            key: short_name(each) if key == name and not place else f"{place}{key}: {short_name(each)}"
            for key, each in self.layers.items()
        }
        self.inputs: dict[str, np.ndarray] = {}
        self.gradients: dict[str, dict[str, Gradient]] = {}

    # ---- running

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Run the layer, keep the input of each layer inside, and return y in float64, as the next layer needs it.

        An ArgumentError names the layer whose formula fails or returns numbers that cannot be checked.
        """
        layer = self.layers[self.name]
        with restored(layer), self._watched():
            return np.array(layer.forward(x), float)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Keep the input of each layer, and name the layer in errors, whenever its `forward` is called within."""

        def watch(name: str, layer: Layer) -> Callable[[np.ndarray], np.ndarray]:
            place, forward = self.places[name], layer.forward

            def run(x: np.ndarray) -> np.ndarray:
                self.inputs[name] = np.array(x, float)  # before the formula, which may change it
                with formula_errors(place):
                    y = forward(x)
                check_size(place, y)
                return y

            return run

        with replaced("forward", [(layer, watch(name, layer)) for name, layer in self.layers.items()]):
            yield

    def check(self, dy: np.ndarray | None = None) -> None:
        """Check each layer on the input of the last `forward`: the outermost for this dy, the others for a random one.

        Without a dy, that of the outermost is random, too.
        """
        for layer in self.layers.values():
            layer.set_needs_dx(True)
        for name, layer in self.layers.items():
            if name in self.inputs:
                x = self.inputs[name]
                given = dy if name == self.name and dy is not None else random_dy(_output_shape(layer, x))
                self.gradients[name] = check_module(layer, self.places[name], x, dy=given)

    def check_fixed(self) -> None:
        """Check only that the formula is not random: the layer never runs backward."""
        layer, x = self.layers[self.name], self.inputs[self.name]
        self.gradients[self.name] = check_fixed(layer, self.places[self.name], x)

    # ---- judging

    @property
    def whole(self) -> dict[str, Gradient]:
        """The gradients of the layer with all layers inside it: "1.W", "1.left.W", "1.x"."""
        return {f"{self.name}.{key}": each for key, each in self.gradients[self.name].items()}

    def alone(self) -> dict[str, Gradient]:
        """The gradients of each layer alone, by the same names."""
        return {
            f"{name}.{key}": gradient
            for name, gradients in self.gradients.items()
            for key, gradient in gradients.items()
            if key == "x" or key in self.layers[name].params
        }

    def passes_error(self, name: str = "") -> bool:
        """Whether the layer of this name, by default the outermost, passes a wrong dx on."""
        gradients = self.gradients.get(name or self.name, {})
        return "x" in gradients and not gradients["x"].ok

    def at_fault(self) -> list[str]:
        """The layers whose own gradient is wrong, by name; not those that an error reaches from a layer inside."""
        alone = self.alone()

        def is_at_fault(name: str) -> bool:
            if any(self.passes_error(inside) for inside in self.layers if inside.startswith(f"{name}.")):
                return False
            for key, gradient in self.gradients[name].items():
                own = alone.get(f"{name}.{key}")  # None if it is a parameter of a layer that is not used
                if own and not gradient.ok and (own is gradient or own.ok):
                    return True
            return False

        return [name for name in self.gradients if is_at_fault(name)]

    def sources(self, inside: str = "") -> list[str]:
        """The places that a wrong dx comes from, in the whole layer or inside the one of this name."""
        return [self.places[name] for name in self.at_fault() if name.startswith(inside) and self.passes_error(name)]

    def explain(self, key: str, error: float, later: Sequence[str]) -> str:
        """The diagnosis of a gradient of `alone` whose error is this where all layers run together.

        `later` are the places after this layer that a wrong dx comes from.
        """
        gradient, (name, _, _) = self.alone()[key], key.rpartition(".")
        inside = self.sources(f"{name}.")
        if inside and not gradient.ok:
            return f"the error comes from {' and '.join(inside)}"
        if gradient.diagnosis or error <= TOLERANCE:
            return gradient.diagnosis
        together, around = self.whole.get(key, gradient), list[str]()
        if not together.ok:  # the error comes from within: from a wrong dx, or from a layer that holds this one
            found = [each for each in self.at_fault() if self.passes_error(each) or name.startswith(f"{each}.")]
            around = [self.places[each] for each in found]
        if around and (together.computed == UNSET).all():
            return f"it is never set: gradient of {' or '.join(around)} must call backward of this layer"
        if around or later:
            return f"right for its dy; the error comes from {' and '.join([*around, *later])}"
        return "each layer is right alone, but not in the network: does one change or keep another's array?"


def _output_shape(layer: Layer, x: np.ndarray) -> tuple[int, ...]:
    return (len(x), *layer.output_shape(x.shape[1:]))
