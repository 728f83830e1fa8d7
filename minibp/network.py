"""Network: chains layers, closes them with a loss, and owns all parameters."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from weakref import WeakSet

import numpy as np

from .backend import resolve, to_host
from .base import (
    INPUTS,
    Array,
    Layer,
    Loss,
    Module,
    Shape,
    all_finite,
    at_least_one,
    check_array,
    check_finite,
    flatten,
    float_dtype,
    generator,
    infer_shapes,
    layer_list,
    refuse_unusable,
    summary_html,
    summary_text,
    vector_property,
)
from .errors import DivergenceError, InputError, ShapeError, StateError, TargetError

PREDICT = 512  # samples predicted at a time: the workspaces of one piece stay in the cache


class Network:
    """Layers chained into one function, closed by a loss.

    Parameters
    ----------
    layers : sequence of Layer
        From the input to the output. A layer keeps weights that it was given or has learned alone; others are drawn.
    loss : Loss
        What training minimizes. Where the last layer and the loss have a fused form (Softmax with CrossEntropy,
        Sigmoid with BinaryCrossEntropy), the network runs that: the same function, stable for any logits.
    backend : {"numpy", "cupy", "auto"}, default "numpy"
        The array library.
    dtype : {"float32", "float64"}, default "float32"
        The type it computes in. float32 is twice as fast and good for training; float64 is for checking gradients.
    seed : int, default 0
        Draws the weights, the masks of dropout, and the order of samples in `train`.

    Attributes
    ----------
    params, grads : arrays (P,)
        All parameters and their gradients, weights before biases. The W, dW, ... of the layers are views of them.
    buffers : array (S,)
        Values that are kept but not trained, such as running statistics.
    weights : list of arrays (I, O)
        The views of the weight matrices (parameters of two or more dimensions), in the order of the layers.
    weight_count : int
        The number of weights: ``params[:weight_count]`` are weights, the rest are biases.
    rng : numpy.random.Generator
        The generator of the network, which continues from call to call.

    Raises
    ------
    ShapeError
        If a layer does not fit the one before; the message names both.
    StateError
        If a layer is used twice, or belongs to another network.
    ArgumentError, BackendError
        If an argument is not as described, a weight is too large for the dtype, or CuPy was asked for and does not
        work.
    """

    def __init__(
        self, layers: Sequence[Layer], loss: Loss, backend: str = "numpy", dtype: Any = "float32", seed: int | None = 0
    ):
        self.layers, self.loss = layer_list(layers), loss
        refuse_unusable(self.layers, loss)
        self.shapes = infer_shapes(self.layers, loss)
        xp, dtype = resolve(backend), float_dtype(dtype)
        self.rng = generator(seed)
        for layer in self.layers:
            layer.initialize(self.rng)
        self._fuse()
        self._flatten(xp, dtype)

    params = vector_property("params", "All trained parameters (P,), weights before biases.")
    grads = vector_property("grads", "Their gradients (P,), as the last `backward` left them.")
    buffers = vector_property("buffers", "What is kept but not trained (S,), such as running statistics.")
    loops: Any = None  # compiled.py, once it is used

    # ---- building

    def _fuse(self) -> None:
        """Fuse the last layer with the loss where they have a fused form, and number the layers."""
        self.chain, self.fused_loss = self.layers, self.loss  # what forward and backward run
        self.output_activation: Layer | None = None  # turns the output of `chain` into that of the network
        last = self.layers[-1]
        fuses = vars(type(self.loss)).get("fuses")  # not that of a base class: a subclass may have another formula
        if fuses and type(last) is fuses[0]:
            self.chain, self.fused_loss, self.output_activation = self.layers[:-1], fuses[1](), last
        elif self.loss.activation:
            self.output_activation = self.loss.activation()
        for i, layer in enumerate(self.layers):
            layer.index = i
        self.optimizers: WeakSet[Any] = WeakSet()  # those of this network, which move along with it
        with_params = [i for i, layer in enumerate(self.chain) if layer.params]
        self.first_trainable = with_params[0] if with_params else len(self.chain)
        if with_params:
            self.chain[self.first_trainable].needs_dx = False

    def modules(self) -> list[Module]:
        """All layers and losses, once each: those given, and those that fusing adds."""
        found = [*self.layers, self.loss, self.fused_loss, self.output_activation]
        return list({id(module): module for module in found if module is not None}.values())

    def _flatten(self, xp: Any, dtype: np.dtype) -> None:
        """Put all parameters into three vectors, and give the layers views of them."""
        modules = self.modules()
        vectors = flatten(modules, xp, dtype)  # first: if memory runs out here, nothing has changed
        self.xp, self.dtype = xp, dtype
        self.__dict__.update(params=vectors.params, grads=vectors.grads, buffers=vectors.buffers)  # past the properties
        self.weights, self.weight_count = vectors.weights, sum(W.size for W in vectors.weights)
        for module, views in zip(modules, vectors.views, strict=True):
            module.attach(xp, dtype, views)
            module.__dict__.update(_owned=True, training=True)
        self.loops = None
        self._waiting = False
        self._output_sizes: dict[Shape, int] = {}  # by the shape of a sample: checked once

    def to(self, backend: str, dtype: Any = None) -> Network:
        """Move the network to this array library (and dtype), with its gradients, buffers and optimizers.

        A `forward` whose `backward` has not run is forgotten. A training can go on between two epochs.

        Returns
        -------
        Network
            The network itself.

        Raises
        ------
        ArgumentError, BackendError
            If an argument is not as described, a weight is too large for the dtype, or CuPy was asked for and does
            not work. Then nothing is moved.
        """
        self._flatten(resolve(backend), self.dtype if dtype is None else float_dtype(dtype))
        for optimizer in self.optimizers:
            optimizer.sync()
        return self

    def compile(self) -> Any:
        """Run compiled loops from now on, where there are any; the results are the same to the bit.

        An optimizer calls this once a training has gone on for so long that loading them pays.

        Returns
        -------
        module or None
            The module of the loops; None without the extra `fast`, and on a device.
        """
        if self.loops is None and self.xp is np:
            try:
                from . import compiled

                compiled.works()
            except Exception:  # not installed, or does not fit this NumPy: `python -m minibp doctor` says which
                return None
            compiled.use(self.modules())
            self.loops = compiled
        return self.loops

    def __del__(self) -> None:
        if self.loops:  # they hold the layers, which hold them: the memory would wait for Python's garbage collector
            for module in self.modules():
                module.drop_loops()

    @property
    def backend(self) -> str:
        """The name of the array library: "numpy" or "cupy"."""
        return "numpy" if self.xp is np else "cupy"

    def __getstate__(self) -> dict[str, Any]:
        kept = {"layers", "loss", "shapes", "dtype", "rng"}
        return {name: value for name, value in self.__dict__.items() if name in kept} | {"backend_name": self.backend}

    def __copy__(self) -> Network:
        return copy.deepcopy(self)  # layers that two networks shared would be views of the vectors of one

    def __setstate__(self, state: dict[str, Any]) -> None:
        xp = resolve(state.pop("backend_name"))
        self.__dict__.update(state)
        self._fuse()
        self._flatten(xp, float_dtype(self.dtype))

    # ---- the boundary: where a user's arrays come in

    def prepare_inputs(self, x: Any, first: int = 0) -> Array:
        """Inputs x as the network computes with them: uint8 scaled by 1/255, on its library, in its dtype.

        An InputError or a ShapeError if x cannot be used. `first` is the number of the first sample, for errors, where
        x is a part of a larger array.
        """
        x = self._check_inputs(x)
        self.output_size(x.shape)
        x = x.reshape(len(x), *self.sample_shape(x.shape))
        if x.dtype.kind == "u":
            values = self.xp.asarray(x).astype(self.dtype)
            values *= self.xp.asarray(1 / 255, self.dtype)
            return values
        lib = np if isinstance(x, np.ndarray) else self.xp  # host arrays are checked before they go to a device
        with np.errstate(over="ignore"):  # a number too large for the dtype becomes infinity, which is refused
            values = lib.asarray(x, self.dtype)
        cure = "clean it first, e.g. by numpy.nan_to_num(x)"
        check_finite(values, "x", InputError, cure, self.dtype, first, lib)
        return self.xp.asarray(values)

    def _check_inputs(self, x: Any) -> Array:
        expected = "floats (taken as they are) or uint8 (scaled by 1/255); convert other numbers: x.astype('float32')"
        return check_array(x, "x", InputError, INPUTS, expected, self.xp)

    def prepare_targets(self, t: Any, n: int, k: int) -> Array:
        """Targets as the loss computes with them, on the network's library; they are checked on the host.

        A ShapeError or a TargetError if they do not fit n samples, k outputs or the loss.
        """
        t = self.loss.check_targets(to_host(t) if isinstance(t, self.xp.ndarray) else t, n, k)
        if t.ndim == 1:
            return self.xp.asarray(t)
        with np.errstate(over="ignore"):
            rows = t.astype(self.dtype, copy=False)
        if not np.isfinite(rows).all():
            raise TargetError(f"the targets hold numbers that are too large for {self.dtype}; scale them")
        return self.xp.asarray(rows)

    def sample_shape(self, shape: Shape) -> Shape:
        """Shape of one sample of inputs (N, ...) as the first layer takes it: images as rows, where it takes rows."""
        takes = self.layers[0].in_shape
        return takes if takes == (math.prod(shape[1:]),) else shape[1:]

    def output_size(self, shape: Shape) -> int:
        """K, the number of outputs for inputs (N, ...) of this shape; InputError or ShapeError if they do not fit."""
        if len(shape) < 2:
            raise ShapeError(f"x has shape {shape}, expected a batch (N, ...); for one sample give x[None]")
        if shape[0] == 0:
            raise InputError(f"x is empty (shape {shape}): there is nothing to compute")
        sample = self.sample_shape(shape)
        if sample not in self._output_sizes:
            last = infer_shapes(self.layers, self.loss, sample)[-1]
            assert last is not None  # known, because the input's is
            self._output_sizes[sample] = last[0]
        return self._output_sizes[sample]

    def check_weights(self) -> None:
        """Refuse, by a DivergenceError that names the layer, weights and buffers that are NaN or infinite."""
        if all_finite(self.xp, self.params, self.buffers):
            return
        arrays = [
            (f"layer {i}: {layer}: {name}", values)
            for i, layer in enumerate(self.layers)
            for name, values in {**layer.params, **layer.buffers}.items()
        ]
        lost = [name for name, values in arrays if not self.xp.isfinite(values).all()]
        cure = "build the network again, or give it finite weights"
        raise DivergenceError(f"{lost[0] if lost else self.loss} holds NaN or infinity; {cure}")

    # ---- running

    def forward(self, x: Any, t: Any) -> Any:
        """Mean loss of a batch, in training mode; then `backward` computes `grads`.

        Parameters
        ----------
        x : array (N, ...)
            Inputs: uint8 is scaled by 1/255, floats are taken as they are. Arrays on a device are read back to be
            checked; `train` checks a data set once.
        t : array (N,) of integer labels, or rows (N, K)
            Targets.

        Returns
        -------
        0-d array
            On the network's array library: ``float(L)`` reads it.

        Raises
        ------
        InputError, ShapeError, TargetError
            If x or t do not fit the network.
        """
        x = self.prepare_inputs(x)
        t = self.prepare_targets(t, len(x), self.output_size(x.shape))
        return self.unchecked_losses(x, t).mean()

    def unchecked_losses(self, x: Array, t: Array) -> Array:
        """Loss of each sample (N,), for x and t that `prepare_inputs` and `prepare_targets` have made."""
        x = self.run_chain(x)
        self._waiting = True
        return self.fused_loss.unchecked_losses(x, t)

    def run_chain(self, x: Array) -> Array:
        """The output of `chain` for x that `prepare_inputs` has made."""
        for layer in self.chain:
            x = layer.forward(x)
        return x

    def backward(self) -> None:
        """Overwrite `grads` with the gradient of the mean loss of the last `forward`.

        Raises
        ------
        StateError
            If there was no `forward`.
        """
        if not self._waiting:
            raise StateError("backward was called before forward; call net.forward(x, t) first")
        if self.first_trainable == len(self.chain):
            return  # nothing to train
        dy = self.fused_loss.gradient()
        for i in range(len(self.chain) - 1, self.first_trainable - 1, -1):
            dy = self.chain[i].backward(dy)

    def predict(self, x: Any, batch_size: int = PREDICT) -> np.ndarray:
        """Outputs (N, K) for inputs x (N, ...), in inference mode: a NumPy array on the host, yours to keep.

        They are probabilities where the network ends in Softmax or Sigmoid, or in a loss that contains one of them
        (SoftmaxCrossEntropy, SigmoidCrossEntropy). A `forward` whose `backward` has not run is not disturbed.

        Parameters
        ----------
        x : array (N, ...)
            Inputs: uint8 is scaled by 1/255, floats are taken as they are.
        batch_size : int, default 512
            Samples at a time. It bounds the memory.

        Raises
        ------
        ArgumentError
            If batch_size is not an integer of at least 1.
        InputError, ShapeError
            If x does not fit the network.
        DivergenceError
            If a weight or an output is NaN or infinite. If it is an output, x is too large.
        """
        batch_size = at_least_one("batch_size", batch_size)
        self.check_weights()
        x = self._check_inputs(x)
        k = self.output_size(x.shape)
        out = np.empty((len(x), k), self.dtype)
        with self.inference_mode():
            for start in range(0, len(x), batch_size):
                piece = slice(start, start + batch_size)
                y = self.run_chain(self.prepare_inputs(x[piece], start))
                out[piece] = to_host(self.output_activation.forward(y) if self.output_activation else y)
        if not all_finite(np, out):
            bad = int(np.isfinite(out).all(axis=1).argmin())
            cause = f"the sample is too large for these weights and {self.dtype}; scale inputs to about -1..1"
            raise DivergenceError(f"the outputs of sample {bad} are NaN or infinite: {cause}")
        return out

    def inference_mode(self) -> AbstractContextManager[None]:
        """A context in which the layers run as at inference: no dropout, running statistics."""
        return self.preserved(training=False)

    @contextmanager
    def preserved(self, training: bool) -> Iterator[None]:
        """A context in which the layers run in this mode, on other workspaces; afterwards each is as it was."""
        modules = self.modules()
        before = [vars(module).copy() for module in modules]
        for module in modules:
            vars(module).update(training=training, _shape=None)
        try:
            yield
        finally:
            for module, attributes in zip(modules, before, strict=True):
                vars(module).clear()
                vars(module).update(attributes)

    # ---- looking

    def summary(self) -> str:
        """A table of the layers, their output shapes and parameter counts."""
        return summary_text(self)

    def _repr_html_(self) -> str:
        return summary_html(self)

    def __repr__(self) -> str:
        return f"Network([{', '.join(map(str, self.layers))}], {self.loss})"
