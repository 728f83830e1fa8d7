"""Network: chains layers, closes them with a loss, and owns all parameters."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import numpy as np

from .backend import resolve, to_host
from .chain import chain, refuse_strangers, sequence
from .checks import at_least_one, real, seeds
from .errors import DivergenceError, InputError, ShapeError, StateError, TargetError
from .layer import Layer
from .loss import Loss
from .part import Array, Part, Shape
from .summary import summary
from .vectors import all_finite, carve, vector

PREDICT = 512  # samples predicted at a time: the workspaces of one piece stay in the cache


class Network:
    """Layers chained into one function, closed by a loss.

    Parameters
    ----------
    layers : sequence of Layer
        From the input to the output. Weights that they were given, or learnt alone, are kept; others are drawn.
    loss : Loss
        What training makes small. Where the last layer and the loss have a merged form (Softmax and CrossEntropy,
        Sigmoid and BinaryCrossEntropy), that is what runs: the same function, stable for any logits.
    backend : {"numpy", "cupy", "auto"}, default "numpy"
        The array library.
    dtype : {"float32", "float64"}, default "float32"
        What it computes in. float32 is twice as fast and good for training; float64 is for checking gradients.
    seed : int, default 0
        Draws the weights, the masks of dropout, and the order of samples in `train`.

    Attributes
    ----------
    params, grads : arrays (P,)
        All parameters and their gradients, weights before biases; the layers' W, dW, ... are views of them.
    state : array (S,)
        What is kept but not trained, such as running statistics.
    weights : list of arrays (I, O)
        The views of the weight matrices (parameters of two and more dimensions), in the order of the layers.
    weight_count : int
        How many of `params`, from the front, are weights.
    rng : numpy.random.Generator
        The network's own generator, which goes on from call to call.

    Raises
    ------
    ShapeError
        If a layer does not fit the one before; the message names both.
    StateError
        If a layer is used twice, or belongs to another network.
    ArgumentError, BackendError
        If an argument is not as described, a weight is too large for the dtype, or CuPy is asked for and does not work.
    """

    def __init__(
        self, layers: Sequence[Layer], loss: Loss, backend: str = "numpy", dtype: Any = "float32", seed: int | None = 0
    ):
        self.layers, self.loss = sequence(layers), loss
        refuse_strangers(self.layers, loss)
        self.shapes = chain(self.layers, loss)
        xp, dtype = resolve(backend), real(dtype)
        self.rng = seeds(seed)
        for layer in self.layers:
            layer.initialize(self.rng)
        self._close()
        self._carve(xp, dtype)

    params = vector("params", "All trained parameters (P,), weights before biases.")
    grads = vector("grads", "Their gradients (P,), as the last `backward` left them.")
    state = vector("state", "What is kept but not trained (S,), such as running statistics.")
    loops: Any = None  # compiled.py, once it is used

    # ---- building

    def _close(self) -> None:
        """Merge the last layer with the loss where they have a merged form."""
        self.trained, self.closing = self.layers, self.loss
        self.finish: Layer | None = None  # what turns the output of `trained` into that of the network
        last = self.layers[-1]
        fuses = vars(type(self.loss)).get("fuses")  # not of a subclass, whose formula may be another
        if fuses and type(last) is fuses[0]:
            self.trained, self.closing, self.finish = self.layers[:-1], fuses[1](), last
        elif self.loss.activation:
            self.finish = self.loss.activation()
        for i, layer in enumerate(self.layers):
            layer.place = i
        self.optimizers: WeakSet[Any] = WeakSet()  # that train it: they follow when it moves
        with_params = [i for i, layer in enumerate(self.trained) if layer.params]
        self.first = with_params[0] if with_params else len(self.trained)
        if with_params:
            self.trained[self.first].needs_dx = False

    def _parts(self) -> list[Part]:
        """All layers, once each: the user's, the loss, and those that `_close` adds."""
        parts = [*self.layers, self.loss, self.closing, self.finish]
        return list({id(part): part for part in parts if part is not None}.values())

    def _carve(self, xp: Any, dtype: np.dtype) -> None:
        """Put all parameters into three vectors, and give the layers views of them."""
        parts = self._parts()
        vectors = carve(parts, xp, dtype)  # first: where it fails, for want of memory, nothing has changed
        self.xp, self.dtype = xp, dtype
        self.__dict__.update(params=vectors.params, grads=vectors.grads, state=vectors.state)  # past the properties
        self.weights, self.weight_count = vectors.weights, sum(W.size for W in vectors.weights)
        for part, views in zip(parts, vectors.views, strict=True):
            part.attach(xp, dtype, views)
            part.__dict__.update(_taken=True, training=True)
        self.loops = None
        self._waiting = False
        self._widths: dict[Shape, int] = {}  # outputs by the shape of a sample: checked once

    def to(self, backend: str, dtype: Any = None) -> Network:
        """Move the network to this array library (and dtype): weights, gradients, state, and what its optimizers keep.

        Returns the network. A forward that waits for its backward is forgotten, a training between two epochs goes on.

        Raises
        ------
        ArgumentError, BackendError
            If an argument is not as described, a weight is too large for the dtype, or CuPy is asked for and does not
            work; then nothing was moved.
        """
        self._carve(resolve(backend), self.dtype if dtype is None else real(dtype))
        for optimizer in self.optimizers:
            optimizer.follow()
        return self

    def compile(self) -> Any:
        """Run compiled loops from now on where there are any; results are the same to the bit.

        An optimizer calls this when a training has gone on for so long that it is worth to load them.

        Returns
        -------
        The module of the loops; None without the extra `fast`, and on a device.
        """
        if self.loops is None and self.xp is np:
            try:
                from . import compiled

                compiled.works()
            except Exception:  # not there, or not fit for this NumPy: `python -m minibp doctor` says
                return None
            compiled.use(self._parts())
            self.loops = compiled
        return self.loops

    def __del__(self) -> None:
        if self.loops:  # they hold their layers, which hold them: without this the memory would wait for Python's gc
            for part in self._parts():
                part.drop_loops()

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
        self._close()
        self._carve(xp, real(self.dtype))

    # ---- the boundary: where arrays of the user's come in

    def enter(self, x: Any, first: int = 0) -> Array:
        """Inputs x as the network computes with them: uint8 scaled by 1/255, on its library, in its dtype.

        Raises
        ------
        InputError
            If x is empty, holds NaN or infinity, or is neither uint8 nor floating.
        ShapeError
            If its samples do not fit the network.
        """
        x = self._as_array(x)
        self.outputs(x.shape)
        x = x.reshape(len(x), *self.sample(x.shape))
        if x.dtype.kind == "u":
            values = self.xp.asarray(x).astype(self.dtype)
            values *= self.xp.asarray(1 / 255, self.dtype)
            return values
        lib = np if isinstance(x, np.ndarray) else self.xp  # checked before it goes up, and not read back
        with np.errstate(over="ignore"):  # what is too large for the dtype becomes infinity, and is refused as that
            values = lib.asarray(x, self.dtype)
        finite = lib.isfinite(values)
        if not finite.all():
            bad = first + int(finite.reshape(len(x), -1).all(axis=1).argmin())
            raise InputError(
                f"x holds NaN or infinity (as {self.dtype}), first in sample {bad}; "
                "clean it first, e.g. by numpy.nan_to_num(x)"
            )
        return self.xp.asarray(values)

    def check_weights(self) -> None:
        """Refuse to go on with weights or running statistics that are NaN or infinite.

        Raises
        ------
        DivergenceError
            If there are any; the message names the layer.
        """
        if all_finite(self.xp, self.params, self.state):
            return
        held = [(f"layer {i}: {layer}", {**layer.params, **layer.state}) for i, layer in enumerate(self.layers)]
        lost = [f"{at}: {name}" for at, ours in held for name, v in ours.items() if not self.xp.isfinite(v).all()]
        cure = "build the network anew, or give it weights that are finite"
        raise DivergenceError(f"{lost[0] if lost else self.loss} holds NaN or infinity; {cure}")

    def _as_array(self, x: Any) -> Array:
        if np.ma.isMaskedArray(x):
            raise InputError("x is a masked array, which a network cannot use: fill it first, with x.filled(value)")
        if not isinstance(x, self.xp.ndarray):
            try:
                x = np.asarray(x)
            except (TypeError, ValueError) as error:  # TypeError: an array of another library
                raise InputError(f"x must be an array of numbers with samples in rows: {error}") from None
        if x.dtype.kind != "f" and x.dtype != np.uint8:
            raise InputError(
                f"x is an array of {x.dtype}, expected floats (taken as they are) or uint8 (scaled by 1/255); "
                "convert it: x.astype('float32')"
            )
        return x

    def sample(self, shape: Shape) -> Shape:
        """Shape of one sample of inputs (N, ...) as the first layer takes it: images as rows, where it takes rows."""
        takes = self.layers[0].in_shape
        return takes if takes == (math.prod(shape[1:]),) else shape[1:]

    def outputs(self, shape: Shape) -> int:
        """K, the number of outputs for inputs of this shape (N, ...).

        Raises
        ------
        InputError, ShapeError
            If there are no samples, or they do not fit the network.
        """
        if len(shape) < 2:
            raise ShapeError(f"x has shape {shape}, expected a batch (N, ...); for one sample give x[None]")
        if shape[0] == 0:
            raise InputError(f"x is empty (shape {shape}): there is nothing to compute")
        sample = self.sample(shape)
        if sample not in self._widths:
            last = chain(self.layers, self.loss, sample)[-1]
            assert last is not None  # known, as the input is
            self._widths[sample] = last[0]
        return self._widths[sample]

    def enter_targets(self, t: Any, n: int, k: int) -> Array:
        """Targets as the loss computes with them: checked on the host, then on the network's array library.

        Raises
        ------
        ShapeError, TargetError
            If the loss is not defined for k outputs, or the targets do not fit n samples, the outputs or the loss.
        """
        t = self.loss.check_targets(to_host(t) if isinstance(t, self.xp.ndarray) else t, n, k)
        if t.ndim == 1:
            return self.xp.asarray(t)
        with np.errstate(over="ignore"):
            rows = t.astype(self.dtype, copy=False)
        if not np.isfinite(rows).all():
            raise TargetError(f"the targets hold numbers that are too large for {self.dtype}; scale them")
        return self.xp.asarray(rows)

    # ---- running

    def forward(self, x: Any, t: Any) -> Any:
        """Mean loss of a batch, in training mode; then `backward` fills `grads`.

        Parameters
        ----------
        x : array (N, ...)
            Inputs; uint8 is scaled by 1/255, floats are taken as they are. Arrays on a device are read back to be
            checked; `train` checks a data set once.
        t : array (N,) of integer labels, or rows (N, K)
            Targets.

        Returns
        -------
        0-d array on the network's array library: ``float(L)`` reads it.

        Raises
        ------
        InputError, ShapeError, TargetError
            If x or t do not fit the network.
        """
        x = self.enter(x)
        t = self.enter_targets(t, len(x), self.outputs(x.shape))
        return self.losses(x, t).mean()

    def losses(self, x: Array, t: Array) -> Array:
        """Loss of each sample (N,), unchecked: for x and t that came in through `enter` and `enter_targets`."""
        for layer in self.trained:
            x = layer.forward(x)
        self._waiting = True
        return self.closing.each(x, t)

    def backward(self) -> None:
        """Overwrite `grads` with the gradient of the mean loss of the last `forward`.

        Raises
        ------
        StateError
            If there was no forward.
        """
        if not self._waiting:
            raise StateError("backward was called before forward; call net.forward(x, t) first")
        if self.first == len(self.trained):
            return  # nothing to train
        dy = self.closing.gradient()
        for i in range(len(self.trained) - 1, self.first - 1, -1):
            dy = self.trained[i].backward(dy)

    def predict(self, x: Any, batch_size: int = PREDICT) -> np.ndarray:
        """Outputs (N, K) for inputs x (N, ...), as in use: a NumPy array on the host, yours to keep.

        They are probabilities where the network ends in Softmax or Sigmoid, or in a loss that has one of them merged
        into it (SoftmaxCrossEntropy, SigmoidCrossEntropy). A forward that waits for its backward is not disturbed.

        Parameters
        ----------
        x : array (N, ...)
            Inputs; uint8 is scaled by 1/255, floats are taken as they are.
        batch_size : int, default 512
            Samples at a time, which bounds the memory that is used.

        Raises
        ------
        ArgumentError
            If batch_size is no integer of at least 1.
        InputError, ShapeError
            If x does not fit the network.
        DivergenceError
            If a weight is NaN or infinite, or an output is: x is too large then.
        """
        batch_size = at_least_one("batch_size", batch_size)
        self.check_weights()
        x = self._as_array(x)
        k = self.outputs(x.shape)
        out = np.empty((len(x), k), self.dtype)
        with self.aside():
            for start in range(0, len(x), batch_size):
                piece = slice(start, start + batch_size)
                y = self.run(self.enter(x[piece], start))
                out[piece] = to_host(self.finish.forward(y) if self.finish else y)
        if not all_finite(np, out):
            bad = int(np.isfinite(out).all(axis=1).argmin())
            cause = f"it is too large for these weights and {self.dtype}; scale inputs to about -1..1"
            raise DivergenceError(f"the outputs of sample {bad} are NaN or infinite: {cause}")
        return out

    def run(self, x: Array) -> Array:
        """What the layers make of x, short of the one that is merged with the loss."""
        for layer in self.trained:
            x = layer.forward(x)
        return x

    @contextmanager
    def aside(self, training: bool = False) -> Iterator[None]:
        """In use, not in training, on other workspaces; afterwards each layer is as it was, a forward still waits."""
        parts = self._parts()
        before = [vars(part).copy() for part in parts]
        for part in parts:
            vars(part).update(training=training, _shape=None)
        try:
            yield
        finally:
            for part, attributes in zip(parts, before, strict=True):
                vars(part).clear()
                vars(part).update(attributes)

    # ---- looking

    def summary(self) -> str:
        """A table of the layers, their output shapes and parameter counts."""
        return summary(self)

    def __repr__(self) -> str:
        return f"Network([{', '.join(map(str, self.layers))}], {self.loss})"
