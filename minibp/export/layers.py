"""What all exports need: the layers that run at inference, and what is written for each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..base import Layer
from ..errors import ArgumentError
from ..network import Network

PROBABLE = ("probabilities", "distribution")  # the kinds of outputs that say how sure an answer is


def layers_at_inference(net: Network) -> list[Layer]:
    """The layers from the inputs to the outputs, also the activation that a loss contains."""
    last = [net.output_activation] if net.output_activation is not None else []
    return [*net.chain, *last]


def entry(table: Mapping[type, Any], layer: Layer, target: str) -> Any:
    """What a table of layer classes holds for a layer. Subclasses are other classes: their formulas may be others.

    An ArgumentError names the layer if there is nothing.
    """
    if type(layer) not in table:
        cure = "build the network of minibp's own layers, or export those before and after it"
        raise ArgumentError(f"{layer} (module {layer.index} of the network) has no form in {target}: {cure}")
    return table[type(layer)]
