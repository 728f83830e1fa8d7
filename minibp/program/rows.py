"""The rows of the table that each layer, loss and optimizer has, by class.

To add an operation, write its function (and the one of its gradient) beside the others, and add a line here. Subclasses
are other classes: their formulas may be others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..augmentation import BORDER, ElasticDistortion, GaussianNoise, RandomAffine, gaussian
from ..base import Layer, Shape
from ..containers import Residual, Sequential
from ..dropout import Dropout, RandomLayer, key
from ..layers import ELU, GELU, Dense, Exp, Flatten, LeakyReLU, ReLU, Sigmoid, Softmax, Softplus, Tanh
from ..losses import BinaryCrossEntropy, CrossEntropy, Loss, QuadraticLoss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from ..network import Network
from ..normalization import BatchNorm, LayerNorm, Standardize
from ..optimizer import FLUSH_BELOW, Optimizer
from ..optimizers import SGD, AdaGrad, Adam, AdamW, RMSProp
from ..regression import AbsoluteLoss, HuberLoss, PoissonLoss, QuantileLoss
from .table import Table, UnknownError, Value

# OpenBLAS multiplies by the transpose of a small matrix at half the speed. For a W of so many numbers it is faster to
# transpose it first: 32 x 64 x 64 takes 4.0 microseconds instead of 5.0 (2026-11-29, AMD EPYC, OpenBLAS 0.3.31).
SMALL = 4096

Rows = Callable[[Table, Any, Value, bool], Value]  # of a layer: they take its x, and return its y


def element_by_element(operation: str, number: str = "", keeps: bool = False) -> Rows:
    """A layer that changes each element, with a number of this name. It may keep something for its gradient."""

    def rows(table: Table, layer: Layer, x: Value, backward: bool) -> Value:
        y = table.value(x.shape)
        fields: dict[str, Any] = {"x": x.y, "y": y.y, "dx": x.dy, "dy": y.dy, "size": x.size}
        fields |= {"number": table.get(layer, number)} if number else {}
        fields |= {"kept": table.memory(table.batch_size, x.size)} if keeps else {}
        table.add(operation, backward, **fields)
        return y

    return rows


def dense(table: Table, layer: Dense, x: Value, backward: bool) -> Value:
    """Dense."""
    y = table.value((layer.n_out,))
    places = {"w": table.place(layer.W), "b": table.place(layer.b)}
    places |= {"dw": table.place(layer.dW), "db": table.place(layer.db)}
    sizes = {"size_in": layer.n_in, "size": layer.n_out}
    modes = {"trains": table.get(layer, "trainable"), "needs_dx": table.get(layer, "needs_dx")}
    if backward and layer.W.size <= SMALL:
        places["kept"] = table.memory(layer.n_out, layer.n_in)
    table.add("dense", backward, x=x.y, y=y.y, dx=x.dy, dy=y.dy, **places, **sizes, **modes)
    return y


def flatten(table: Table, layer: Flatten, x: Value, backward: bool) -> Value:
    """Nothing to do: the numbers of a sample lie in the order of the row already."""
    return x._replace(shape=(x.size,))


def softmax(table: Table, layer: Softmax, x: Value, backward: bool) -> Value:
    """Softmax, of each row of a sample."""
    y, columns = table.value(x.shape), x.shape[-1]
    table.add("softmax", backward, x=x.y, y=y.y, dx=x.dy, dy=y.dy, size_in=x.size // columns, size=columns)
    return y


def draws(table: Table, layer: RandomLayer) -> dict[str, Any]:
    """The keys and the counter of a layer that draws random numbers."""
    keys = {f"key_{i + 1}": key(i, table.get(layer, "seed") or 0, layer.index) for i in range(4)}
    return keys | {"counter": table.count(layer)}


def dropout(table: Table, layer: Dropout, x: Value, backward: bool) -> Value:
    """Dropout; at inference nothing."""
    if not (table.training and table.get(layer, "training")):
        return x
    y = table.value(x.shape)
    places = {"x": x.y, "y": y.y, "dx": x.dy, "dy": y.dy, "kept": table.memory(table.batch_size, x.size)}
    numbers = {"number": table.get(layer, "rate"), "size": x.size}
    table.add("dropout", backward, **places, **numbers, **draws(table, layer))
    return y


def gaussian_noise(table: Table, layer: GaussianNoise, x: Value, backward: bool) -> Value:
    """GaussianNoise; at inference nothing. dx is dy, the same memory."""
    if not (table.training and table.get(layer, "training")):
        return x
    y = x._replace(y=table.memory(table.batch_size, *x.shape))
    table.add("gaussian_noise", x=x.y, y=y.y, number=table.get(layer, "std"), size=x.size, **draws(table, layer))
    return y


def random_affine(table: Table, layer: RandomAffine, x: Value, backward: bool) -> Value:
    """RandomAffine and ElasticDistortion; at inference nothing. Nothing before them trains."""
    if not (table.training and table.get(layer, "training")):
        return x
    y, (h, w) = x._replace(y=table.memory(table.batch_size, *x.shape)), layer.image_size(x.shape)
    fields: dict[str, Any] = {"x": x.y, "y": y.y, "kept": table.memory(h + BORDER, w + BORDER), "height": h, "width": w}
    fields |= {name: table.get(layer, name) for name in ("rotation", "scale", "shear", "translation")}
    operation = "random_affine"
    if isinstance(layer, ElasticDistortion):
        layer.check_field()
        operation, sigma = "elastic_distortion", table.get(layer, "sigma")
        down, across = (gaussian(size, sigma, table.xp, table.dtype) for size in (h, w))
        down *= table.get(layer, "alpha") / 32768
        images = 1 if table.xp is np else table.batch_size  # at a time
        fields |= {"field": table.memory(images, 2, h, w), "smooth": table.memory(images, 2, h, w)}
        fields |= {"down": table.place(down), "across": table.place(across)}
    table.add(operation, **fields, **draws(table, layer))
    return y


def normalization(operation: str) -> Rows:
    """BatchNorm, whose statistics are those of columns, and LayerNorm, whose are those of rows."""

    def rows(table: Table, layer: Any, x: Value, backward: bool) -> Value:
        y, n = table.value(x.shape), layer.n
        places = {"w": table.place(layer.gamma), "b": table.place(layer.beta)}
        places |= {"dw": table.place(layer.dgamma), "db": table.place(layer.dbeta)}
        places |= {"xhat": table.memory(table.batch_size, n), "kept": table.memory(3, n)}
        places |= {"std": table.memory(max(table.batch_size, n))}
        if isinstance(layer, BatchNorm):
            places |= {"mean": table.place(layer.running_mean), "var": table.place(layer.running_var)}
            places |= {"number": table.get(layer, "momentum")}
        modes = {"trains": table.get(layer, "trainable"), "needs_dx": table.get(layer, "needs_dx")}
        modes |= {"training": table.training and table.get(layer, "training")}
        numbers = {"size": n, "eps": table.get(layer, "eps")}
        table.add(operation, backward, x=x.y, y=y.y, dx=x.dy, dy=y.dy, **places, **modes, **numbers)
        return y

    return rows


def standardize(table: Table, layer: Standardize, x: Value, backward: bool) -> Value:
    """Standardize."""
    y = table.value(x.shape)
    places = {"mean": table.place(layer.mean), "std": table.place(layer.std)}
    backward = backward and table.get(layer, "needs_dx")
    table.add("standardize", backward, x=x.y, y=y.y, dx=x.dy, dy=y.dy, **places, size=x.size)
    return y


def sequential(table: Table, layer: Sequential, x: Value, backward: bool) -> Value:
    """The rows of the layers inside."""
    return chain(table, layer.layers, x, table.get(layer, "first") if backward else len(layer.layers))


def residual(table: Table, layer: Residual, x: Value, backward: bool) -> Value:
    """The rows of f, and the sums of Residual before and after them."""
    branch = table.value(x.shape)._replace(y=x.y)  # the gradient of x by way of f is added to dy
    gradient: dict[str, Any] = {"operation": "residual_gradient"}
    if backward and table.get(layer, "needs_dx"):
        table.backward.append(gradient)  # runs after those of f
    inner = sequential(table, layer, branch, backward)
    y = table.value(x.shape)._replace(dy=inner.dy)
    table.add("residual", x=x.y, kept=inner.y, y=y.y, size=x.size)
    gradient.update(kept=branch.dy, dy=y.dy, dx=x.dy, size=x.size)
    return y


def chain(table: Table, layers: Sequence[Layer], x: Value, first: int) -> Value:
    """Layers one after the other, of which those from number `first` on run backward."""
    for i, layer in enumerate(layers):
        x = rows_of(LAYERS, layer)(table, layer, x, table.training and i >= first)
    return x


LAYERS: dict[type[Layer], Rows] = {
    Dense: dense,
    Flatten: flatten,
    ReLU: element_by_element("relu"),
    LeakyReLU: element_by_element("leaky_relu", number="slope"),
    ELU: element_by_element("elu", number="alpha"),
    GELU: element_by_element("gelu", keeps=True),
    Sigmoid: element_by_element("sigmoid"),
    Exp: element_by_element("exp"),
    Softplus: element_by_element("softplus"),
    Tanh: element_by_element("tanh"),
    Softmax: softmax,
    Dropout: dropout,
    GaussianNoise: gaussian_noise,
    RandomAffine: random_affine,
    ElasticDistortion: random_affine,
    BatchNorm: normalization("batch_norm"),
    LayerNorm: normalization("layer_norm"),
    Standardize: standardize,
    Sequential: sequential,
    Residual: residual,
}
LOSSES: dict[type[Loss], tuple[str, str]] = {  # the operation, and the attribute that is its number, if it has one
    QuadraticLoss: ("quadratic", ""),
    AbsoluteLoss: ("absolute", ""),
    HuberLoss: ("huber", "delta"),
    QuantileLoss: ("quantile", "quantile"),
    PoissonLoss: ("poisson", ""),
    CrossEntropy: ("cross_entropy", "label_smoothing"),
    SoftmaxCrossEntropy: ("softmax_cross_entropy", "label_smoothing"),
    BinaryCrossEntropy: ("binary_cross_entropy", ""),
    SigmoidCrossEntropy: ("sigmoid_cross_entropy", ""),
}
OPTIMIZERS: dict[type[Optimizer], dict[str, str]] = {  # the operation of the update, and which fields its numbers are
    SGD: {"operation": "sgd", "number": "momentum"},
    AdaGrad: {"operation": "adagrad", "eps": "eps"},
    RMSProp: {"operation": "rmsprop", "number": "rho", "eps": "eps"},
    Adam: {"operation": "adam", "number": "beta1", "beta2": "beta2", "eps": "eps"},
    AdamW: {"operation": "adamw", "number": "beta1", "beta2": "beta2", "eps": "eps"},
}


def rows_of(known: dict[Any, Any], part: Any) -> Any:
    """The entry of the class of a part; an UnknownError if there is none, or a method of this one was replaced."""
    name = type(part).__name__
    if type(part) not in known:
        raise UnknownError(f"{name} has no compiled operation")
    if any(callable(getattr(type(part), attribute, None)) for attribute in vars(part)):
        raise UnknownError(f"a method of this {name} was replaced")
    return known[type(part)]


def check_known(net: Network, optimizer: Optimizer | None) -> None:
    """Raise an UnknownError if some part of a network, or its optimizer, has no rows."""
    if type(net) is not Network:
        raise UnknownError(f"{type(net).__name__} is a class of its own")
    for layer in (*net.chain, net.output_activation):
        for module in layer.modules() if layer is not None else ():
            rows_of(LAYERS, module)
    rows_of(LOSSES, net.fused_loss)
    if optimizer is not None:
        rows_of(OPTIMIZERS, optimizer)


def step_table(
    net: Network,
    optimizer: Optimizer,
    average: Any,
    source: Any,
    shape: Shape,
    labels: bool,
    weighted: bool,
    batch_size: int,
) -> Table:
    """A step of training: forward, backward and the update.

    `source` is the dtype of the inputs, `shape` that of a sample; `labels` says whether the targets are labels,
    `weighted` whether samples have weights. `average` is a WeightAverage, or None.
    """
    table = Table(net.dtype, batch_size, True, net.xp)
    x, weights = gathered(table, net, source, shape), table.memory(batch_size)
    if weighted:
        table.forward.insert(0, {"operation": "weights", "y": weights})
    y = chain(table, net.chain, x, table.get(net, "first_trainable"))
    backward = bool(table.backward)
    if weighted and backward:
        table.backward.append({"operation": "weigh_gradient", "y": weights, "dx": y.dy, "size": y.size})
    close(table, net.fused_loss, y, labels, backward)
    if weighted:
        table.add("weigh_losses", y=weights)
    for row in [*optimizer_rows(table, net, optimizer), *average_rows(table, net, average)]:
        table.backward.insert(0, row)  # the last to run
    return table


def inference_table(net: Network, source: Any, shape: Shape, labels: bool | None, batch_size: int) -> Table:
    """Outputs in inference mode; losses as well, unless `labels` is None."""
    table = Table(net.dtype, batch_size, training=False)
    y = chain(table, net.chain, gathered(table, net, source, shape), 0)
    if labels is not None:
        close(table, net.fused_loss, y, labels, backward=False)
    y = chain(table, [net.output_activation], y, 0) if net.output_activation is not None else y
    table.add("give", x=y.y, size=y.size)
    return table


def gathered(table: Table, net: Network, source: Any, shape: Shape) -> Value:
    """The inputs of a batch."""
    value = Value(table.memory(table.batch_size, *shape), 0, shape)
    operation = "gather_bytes" if source == np.uint8 else f"gather_{source}"
    table.add(operation, y=value.y, size=value.size, number=1 / 255)
    return value


def close(table: Table, loss: Loss, x: Value, labels: bool, backward: bool) -> None:
    """The targets and the loss."""
    t, y = table.value(x.shape), table.value(x.shape)
    table.add("one_hot" if labels else "target_rows", y=t.y, size=x.size)
    places = {"x": x.y, "t": t.y, "y": y.y, "dx": x.dy, "kept": table.memory(table.batch_size, x.size)}
    operation, number = rows_of(LOSSES, loss)
    numbers = {"eps": float(np.finfo(table.dtype).tiny)} | ({"number": table.get(loss, number)} if number else {})
    table.add(operation, backward, **places, size=x.size, **numbers)


def optimizer_rows(table: Table, net: Network, optimizer: Optimizer) -> list[dict[str, Any]]:
    """What `Optimizer.step` does: clipping, decay, flushing, the update, and the largest norms."""
    optimizer.check_numbers()
    known = rows_of(OPTIMIZERS, optimizer)
    update = {field: table.get(optimizer, name) for field, name in known.items() if field != "operation"}
    update["operation"] = known["operation"]
    if isinstance(optimizer, SGD) and optimizer.moments:
        update["operation"] = "sgd_nesterov" if table.get(optimizer, "nesterov") else "sgd_momentum"
    clip_norm, max_norm = table.get(optimizer, "clip_norm"), table.get(optimizer, "max_norm")
    weight_decay = table.get(optimizer, "weight_decay")
    tiny, size, rows = float(np.finfo(net.dtype).tiny), net.dtype.itemsize, []
    params, grads = table.place(net.params), table.place(net.grads)
    if clip_norm is not None and net.grads.size:
        numbers = {"number": clip_norm, "eps": tiny}
        rows.append({"operation": "clip", "dw": grads, "size": net.grads.size, **numbers})
    for first, last in table.get(net, "trained_ranges"):
        middle = min(max(net.weight_count, first), last)  # weights decay, biases do not
        for start, stop in pairwise(sorted({first, middle if weight_decay else first, last})):
            moments = {name: table.place(m) + start * size for name, m in zip("mv", optimizer.moments, strict=False)}
            for place in moments.values():
                rows.append({"operation": "flush", "m": place, "size": stop - start, "eps": tiny * FLUSH_BELOW})
            places = {"w": params + start * size, "dw": grads + start * size, **moments}
            decay = weight_decay if start < net.weight_count else 0.0
            rows.append({**update, **places, "size": stop - start, "decay": decay})
    if max_norm is not None:
        for W in net.trained_weights:
            inputs, units = W.reshape(-1, W.shape[-1]).shape
            fields = {"w": table.place(W), "size_in": inputs, "size": units, "kept": table.memory(units)}
            rows.append({"operation": "max_norm", "number": max_norm, **fields})
    return rows


def average_rows(table: Table, net: Network, average: Any) -> list[dict[str, Any]]:
    """What `WeightAverage.update` does."""
    if average is None:
        return []
    both = {"operation": "average", "number": table.get(average, "decay"), "counter": table.count(average)}
    vectors = (net.params, average.params), (net.buffers, average.buffers)
    return [both | {"w": table.place(w), "m": table.place(a), "size": w.size} for w, a in vectors if w.size]
