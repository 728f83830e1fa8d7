"""A network as the text of a PyTorch program: the nn.Sequential of the same layers, and the same loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from textwrap import indent
from typing import Any

from ..augmentation import ElasticDistortion, GaussianNoise, RandomAffine
from ..base import Layer
from ..containers import Residual, Sequential
from ..dropout import Dropout
from ..layers import ELU, GELU, Dense, Exp, Flatten, LeakyReLU, ReLU, Sigmoid, Softmax, Softplus, Tanh
from ..losses import BinaryCrossEntropy, CrossEntropy, QuadraticLoss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from ..network import Network
from ..normalization import BatchNorm, LayerNorm, Standardize
from ..regression import AbsoluteLoss, HuberLoss, PoissonLoss, QuantileLoss
from .layers import entry, layers_at_inference

# ---- layers


def _chain(name: str, layers: Iterable[Layer]) -> str:
    lines = "".join(f"{entry(LAYERS, layer, 'PyTorch')(layer)},\n" for layer in layers)
    return f"{name}(\n{indent(lines, '    ')})"


LAYERS: dict[type, Callable[[Any], str]] = {
    Dense: lambda layer: f"nn.Linear({layer.n_in}, {layer.n_out})",
    Flatten: lambda layer: "nn.Flatten()",
    Sigmoid: lambda layer: "nn.Sigmoid()",
    Tanh: lambda layer: "nn.Tanh()",
    Softmax: lambda layer: "nn.Softmax(dim=-1)",
    ReLU: lambda layer: "nn.ReLU()",
    LeakyReLU: lambda layer: f"nn.LeakyReLU({layer.slope})",
    ELU: lambda layer: f"nn.ELU({layer.alpha})",
    GELU: lambda layer: 'nn.GELU(approximate="tanh")',
    Exp: lambda layer: "Exp()",
    Softplus: lambda layer: "nn.Softplus()",  # above 20 it is x there, less than 3e-9 off
    Dropout: lambda layer: f"nn.Dropout({layer.rate})",
    # Augmentation is not written; its place is kept, so that the layers have their numbers.
    **dict.fromkeys((GaussianNoise, RandomAffine, ElasticDistortion), lambda layer: "nn.Identity()"),
    LayerNorm: lambda layer: f"nn.LayerNorm({layer.n}, eps={layer.eps})",
    # PyTorch's momentum is the share of the batch. 12 digits: 1 - 0.9 is 0.09999999999999998.
    BatchNorm: lambda layer: f"nn.BatchNorm1d({layer.n}, eps={layer.eps}, momentum={1 - layer.momentum:.12g})",
    Standardize: lambda layer: f"Standardize({', '.join(map(str, layer.in_shape))})",
    Sequential: lambda layer: _chain("nn.Sequential", layer.layers),
    Residual: lambda layer: _chain("Residual", layer.layers),
}

# What PyTorch has no module for.
CLASSES = {
    Exp: '''\
class Exp(nn.Module):
    """y = exp(x)."""

    def forward(self, x):
        return x.exp()
''',
    Standardize: '''\
class Standardize(nn.Module):
    """y = (x - mean) / std, where both are of the training set, and not trained."""

    def __init__(self, *shape):
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    def forward(self, x):
        return (x - self.mean) / self.std
''',
    Residual: '''\
class Residual(nn.Sequential):
    """y = x + f(x), where f are the layers inside."""

    def forward(self, x):
        return x + super().forward(x)
''',
}

# ---- losses: of y, which `model` gives, or would without its last layer if the loss contains that layer



def _cross_entropy(logits: str, loss: Any) -> str:
    smoothing = f", label_smoothing={loss.label_smoothing}" if loss.label_smoothing else ""
    return f"nn.functional.cross_entropy({logits}, t{smoothing})"


CLASS_LOSSES: dict[type, Callable[[Any], str]] = {
    SoftmaxCrossEntropy: lambda loss: _cross_entropy("y", loss),
    CrossEntropy: lambda loss: _cross_entropy("y.clamp_min(1e-37).log()", loss),  # whose softmax is y again
}
# The sum over all values; the loss of a batch is the mean over its samples, not over all values as in PyTorch.
ROW_LOSSES: dict[type, Callable[[Any], str]] = {
    QuadraticLoss: lambda loss: 'nn.functional.mse_loss(y, t, reduction="sum") / 2',
    AbsoluteLoss: lambda loss: 'nn.functional.l1_loss(y, t, reduction="sum")',
    HuberLoss: lambda loss: f'nn.functional.huber_loss(y, t, reduction="sum", delta={loss.delta})',
    QuantileLoss: lambda loss: f"((t - y) * ({loss.quantile} - (t < y).to(y))).sum()",
    PoissonLoss: lambda loss: 'nn.functional.poisson_nll_loss(y, t, reduction="sum")',
    SigmoidCrossEntropy: lambda loss: 'nn.functional.binary_cross_entropy_with_logits(y, t, reduction="sum")',
    BinaryCrossEntropy: lambda loss: 'nn.functional.binary_cross_entropy(y, t, reduction="sum")',
}


def _loss_source(net: Network) -> str:
    loss, last, shape = net.fused_loss, net.output_activation, net.shapes[-1]
    rows = f"rows (N, {'K' if shape is None else shape[0]})"
    prepare = ""
    if type(loss) in CLASS_LOSSES:
        targets, value = f"classes (N,) as int64, or {rows}", CLASS_LOSSES[type(loss)](loss)
    elif type(loss) in ROW_LOSSES:
        targets, value = rows, f"{ROW_LOSSES[type(loss)](loss)} / len(x)"
        prepare = "    t = t.to(y)\n"
        if shape == (1,):
            targets, prepare = f"numbers (N,) or {rows}", "    t = t.to(y).reshape(-1, 1)\n"
    else:
        return f"# minibp trains model with {net.loss}, a loss of your own: write it with PyTorch to train on.\n"
    y = f"model[:-1](x)  # without {type(last).__name__}, which the loss contains" if last else "model(x)"
    about = f'"""Mean loss of a batch, as {net.loss} of minibp. Targets t are {targets}."""'
    return f"def loss(x, t):\n    {about}\n    y = {y}\n{prepare}    return {value}\n"


# ---- the whole


def source(net: Network) -> str:
    """The text of a PyTorch program with `model`, which gives what `predict` gives, and `loss`, if minibp defines it.

    An ArgumentError names a layer of a class of your own.
    """
    layers = layers_at_inference(net)
    model = _chain("nn.Sequential", layers) + (".double()" if net.dtype == "float64" else "")
    sizes = net.layers[0].in_shape
    inputs = "x (N, ...)" if sizes is None else f"x (N, {', '.join(map(str, sizes))})"
    about = f'''"""A network of minibp in PyTorch: model(x) is net.predict(x), for {inputs} of {net.dtype}.

Bytes are to be divided by 255. To load the weights: model.load_state_dict(safetensors.torch.load_file(path)).
Before predictions: model.eval().
"""

'''
    used = {type(module) for layer in layers for module in layer.modules()}
    imports = "import torch\n" * (Standardize in used) + "from torch import nn\n"
    classes = [text for cls, text in CLASSES.items() if cls in used]
    return "\n\n".join([about + imports, *classes, f"model = {model}\n", _loss_source(net)])
