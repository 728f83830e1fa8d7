"""Published networks, one short function each, with the recipe they were trained by and the accuracy to reach.

``models.build("nielsen100")`` makes one by name. Each call makes new layers.
"""

from collections.abc import Callable

from minibp.errors import UnknownNameError

from .model import Model
from .zoo import keras512, lecun300, mlp, nielsen30, nielsen100, simard800, small, softmax_regression

MODELS: dict[str, Callable[..., Model]] = {  # functions of n_in and n_out; some of `hidden` too
    "softmax": softmax_regression,
    "nielsen30": nielsen30,
    "nielsen100": nielsen100,
    "lecun300": lecun300,
    "simard800": simard800,
    "keras512": keras512,
    "mlp": lambda n_in=784, n_out=10, hidden=(512, 512): mlp((n_in, *hidden, n_out)),
    "small": lambda n_in=64, n_out=10, hidden=(128, 128): small((n_in, *hidden, n_out)),
}
SIZED = ("mlp", "small")  # those whose hidden layers can be chosen


def by_name(name: str) -> Callable[..., Model]:
    """The function that makes the model of this name; raises UnknownNameError, which lists those that exist."""
    if name not in MODELS:
        raise UnknownNameError("model", name, list(MODELS))
    return MODELS[name]


def build(name: str, **options: object) -> Model:
    """The model of this name, with the options of its function, such as n_in and n_out."""
    return by_name(name)(**options)


__all__ = [
    "MODELS",
    "SIZED",
    "Model",
    "build",
    "by_name",
    "keras512",
    "lecun300",
    "mlp",
    "nielsen30",
    "nielsen100",
    "simard800",
    "small",
    "softmax_regression",
]
