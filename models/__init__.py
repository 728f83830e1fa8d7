"""Published networks, each a short function, with their training recipes and published accuracies.

``models.build("nielsen100")`` builds one by name. Each call creates new layers.
"""

from collections.abc import Callable

from minibp.errors import UnknownNameError

from .distorted import ciresan1000, meier800, mlp_distorted, mlp_distorted_long, simard800_affine, simard800_elastic
from .model import Model
from .zoo import (
    keras512,
    lecun300,
    mlp,
    nielsen30,
    nielsen100,
    simard800,
    small,
    softmax_regression,
    srivastava_logistic,
    srivastava_max_norm,
    srivastava_relu,
)

MODELS: dict[str, Callable[..., Model]] = {  # functions of n_in and n_out; the SIZED ones also of hidden
    "softmax": softmax_regression,
    "nielsen30": nielsen30,
    "nielsen100": nielsen100,
    "lecun300": lecun300,
    "simard800": simard800,
    "simard800_affine": simard800_affine,
    "simard800_elastic": simard800_elastic,
    "ciresan1000": ciresan1000,
    "meier800": meier800,
    "srivastava_logistic": srivastava_logistic,
    "srivastava_relu": srivastava_relu,
    "srivastava_max_norm": srivastava_max_norm,
    "keras512": keras512,
    "mlp": lambda n_in=784, n_out=10, hidden=(512, 512): mlp((n_in, *hidden, n_out)),
    "mlp_distorted": lambda n_in=784, n_out=10, hidden=(1024, 1024): mlp_distorted((n_in, *hidden, n_out)),
    "mlp_distorted_long": lambda n_in=784, n_out=10, hidden=(1024, 1024): mlp_distorted_long((n_in, *hidden, n_out)),
    "small": lambda n_in=64, n_out=10, hidden=(128, 128): small((n_in, *hidden, n_out)),
}
SIZED = ("mlp", "mlp_distorted", "mlp_distorted_long", "small")  # models whose hidden layers can be chosen


def by_name(name: str) -> Callable[..., Model]:
    """The function that builds the model of this name. An UnknownNameError, which lists the names, if there is none."""
    if name not in MODELS:
        raise UnknownNameError("model", name, list(MODELS))
    return MODELS[name]


def build(name: str, **options: object) -> Model:
    """Build a model by name, with options of its function such as n_in and n_out."""
    return by_name(name)(**options)


__all__ = [
    "MODELS",
    "SIZED",
    "Model",
    "build",
    "by_name",
    "ciresan1000",
    "keras512",
    "lecun300",
    "meier800",
    "mlp",
    "mlp_distorted",
    "mlp_distorted_long",
    "nielsen30",
    "nielsen100",
    "simard800",
    "simard800_affine",
    "simard800_elastic",
    "small",
    "softmax_regression",
    "srivastava_logistic",
    "srivastava_max_norm",
    "srivastava_relu",
]
