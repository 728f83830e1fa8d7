"""Network: chains layers, closes them with a loss, and owns all parameters."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any
from weakref import WeakSet, ref

import numpy as np

from .backend import current_device, resolve, resolve_or_numpy, to_host
from .base import (
    Array,
    Boundary,
    Layer,
    Loss,
    Module,
    Shape,
    Stateful,
    Twins,
    Weights,
    all_finite,
    check_inputs,
    check_sample_weights,
    flatten,
    float_dtype,
    generator,
    infer_shapes,
    kind_of_rows,
    layer_list,
    mark_needs_dx,
    refuse_unusable,
    relative_weights,
    run_backward,
    summary_html,
    summary_text,
    trained_ranges,
    vector_property,
)
from .errors import ArgumentError, DivergenceError, StateError

BUILD = "build a new one: Network(copy.deepcopy(net.layers), loss)"
MOVE = 'net.to(backend, dtype) moves the network, e.g. net.to("numpy", "float64")'
SET = "assign to net.params, or to the W of a layer"
# What cannot be assigned after a network is built, because it would not be used; and what to do instead.
FIXED = dict.fromkeys(("layers", "loss", "shapes", "chain", "fused_loss", "output_activation"), BUILD)
FIXED |= {"trainable": "freeze layers instead: for layer in net.layers: layer.trainable = False"}
FIXED |= {"training": "predict and evaluate are in inference mode anyway; in `train` set layer.training = False"}
FIXED |= dict.fromkeys(("backend", "xp", "dtype", "device"), MOVE) | dict.fromkeys(("weights", "weight_count"), SET)


class Network(Boundary, Stateful):
    """Layers chained into one function, closed by a loss.

    Parameters
    ----------
    layers : sequence of Layer
        From the input to the output. A layer keeps weights that it was given or has learned alone; others are drawn.
    loss : Loss
        What training minimizes. Where the last layer and the loss have a fused form (Softmax with CrossEntropy,
        Sigmoid with BinaryCrossEntropy), the network runs that: the same function, stable for any logits.
    backend : {"numpy", "cupy", "auto"}, default "numpy"
        The array library. With CuPy the network lies on the GPU that is current, and works there whichever is later.
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
        layers = layer_list(layers)
        refuse_unusable(layers, loss)
        self.__dict__.update(layers=layers, loss=loss, shapes=infer_shapes(layers, loss))
        xp, dtype = resolve(backend), float_dtype(dtype)
        self.rng = generator(seed)
        for layer in self.layers:
            layer.initialize(self.rng)
        self._fuse()
        self._flatten(xp, dtype)

    params = vector_property("params", "All trained parameters (P,), weights before biases.")
    grads = vector_property("grads", "Their gradients (P,), as the last `backward` left them.")
    buffers = vector_property("buffers", "What is kept but not trained (S,), such as running statistics.")
    shapes: list[Shape | None]
    chain: tuple[Layer, ...]  # what forward and backward run, and then `fused_loss`
    fused_loss: Loss
    output_activation: Layer | None  # turns the output of `chain` into that of the network
    weights: list[Array]
    device: Any = current_device(np)  # a context in which the GPU of the network is the current one
    rng: Any = None
    program: Any = None  # what runs predictions in place of the formulas, see `minibp.compile`
    first_trainable = weight_count = 0
    _waiting = False  # whether a `forward` waits for its `backward`

    def __setattr__(self, name: str, value: Any) -> None:
        # Methods write these names into __dict__; a subclass may use them before it calls __init__.
        if name in FIXED and "_modules" in self.__dict__ and value is not self.__dict__.get(name):
            raise StateError(f"{type(self).__name__}: {name} cannot be assigned, it would not be used; {FIXED[name]}")
        super().__setattr__(name, value)

    # ---- building

    def _fuse(self) -> None:
        """Fuse the last layer with the loss where they have a fused form, and number the layers."""
        chain, fused_loss, last = self.layers, self.loss, self.layers[-1]
        output_activation: Layer | None = None
        fuses = vars(type(self.loss)).get("fuses")  # not that of a base class: a subclass may have another formula
        if fuses and type(last) is fuses[0]:
            chain, fused_loss, output_activation = self.layers[:-1], fuses[1](**self.loss.config()), last
        elif self.loss.activation:
            output_activation = self.loss.activation()
        elif fuses and type(last.output_layer) is fuses[0]:
            what = f"{last.output_layer} at the end of a {type(last).__name__} cannot be fused with {self.loss}"
            raise ArgumentError(f"{what}, so large logits would not train; put it after the {type(last).__name__}")
        self.__dict__.update(chain=chain, fused_loss=fused_loss, output_activation=output_activation)
        fused_loss.__dict__["unseen"] = kind_of_rows(self.layers) is None
        inside = [module for layer in self.layers for module in layer.modules()]
        for i, module in enumerate(inside):
            module.index = i
        for module in self.modules():
            module.note_attributes()
        self.optimizers: WeakSet[Any] = WeakSet()  # those of this network, which move along with it
        self.training_lock = Lock()  # held while an epoch runs

    def named_modules(self) -> dict[str, Module]:
        """All layers, also those inside others, and the loss, by dotted names: "layers.0", "layers.1.inner"."""
        named = [part.named_modules(name) for name, part in self.state_parts().items()]
        return {name: module for found in named for name, module in found.items()}

    def modules(self) -> list[Module]:
        """All layers and losses, once each: those given, and those that fusing adds."""
        found = [*self.named_modules().values(), self.fused_loss, self.output_activation]
        return list({id(module): module for module in found if module is not None}.values())

    def _flatten(self, xp: Any, dtype: np.dtype) -> None:
        """Put all parameters into three vectors, and give the layers views of them."""
        modules = self.modules()
        vectors = flatten(modules, xp, dtype)  # first: if memory runs out here, nothing has changed
        arrays = {"params": vectors.params, "grads": vectors.grads, "buffers": vectors.buffers}
        self.__dict__.update(arrays, xp=xp, dtype=dtype, device=current_device(xp))  # past the properties
        for module, views in zip(modules, vectors.views, strict=True):
            module.attach(xp, dtype, views)
            module.__dict__["_network"] = ref(self)
        self._modules, self._twins, self._spans = modules, Twins(modules), vectors.spans
        weights = [W for span in vectors.spans if (W := getattr(span.module, span.name)).ndim >= 2]
        self.__dict__.update(weights=weights, weight_count=sum(W.size for W in weights))
        self.program, self._waiting = None, False
        self._output_sizes: dict[Shape, int] = {}  # by the shape of a sample: checked once
        self.refresh_trainable()

    def refresh_trainable(self) -> None:
        """Find out which parameters are trained. A layer calls this when its `trainable` is assigned."""
        self.first_trainable = mark_needs_dx(self.chain, needed=False)
        self.trained_ranges = trained_ranges(self._spans)
        for span in self._spans:
            if not span.module.trainable:
                self.grads[span.start : span.stop] = 0  # they are no longer computed
        for optimizer in self.optimizers:
            optimizer.pieces = None

    @property
    def trained_weights(self) -> list[Array]:
        """The weight matrices that are not frozen."""
        spans = [span for span in self._spans if span.stop <= self.weight_count and span.module.trainable]
        return [getattr(span.module, span.name) for span in spans]

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

    @property
    def backend(self) -> str:
        """The name of the array library: "numpy" or "cupy"."""
        return "numpy" if self.xp is np else "cupy"

    @property
    def compiled(self) -> bool:
        """Whether predictions run compiled: the last training was, or `minibp.compile` was called since."""
        return self.program is not None

    def __getstate__(self) -> dict[str, Any]:
        kept = {"layers", "loss", "shapes", "dtype", "rng", *self.described}
        return {name: value for name, value in self.__dict__.items() if name in kept} | {"backend_name": self.backend}

    def __copy__(self) -> Network:
        return copy.deepcopy(self)  # layers that two networks shared would be views of the vectors of one

    def __setstate__(self, state: dict[str, Any]) -> None:
        xp = resolve_or_numpy(state.pop("backend_name"))
        self.__dict__.update(state)
        self._fuse()
        self._flatten(xp, float_dtype(self.dtype))

    def check_layers(self) -> None:
        """Refuse, by a StateError, layers that came into others after the network was built: nothing trains them."""
        known = {id(module) for module in self._modules}
        new = [place for place, module in self.named_modules().items() if id(module) not in known]
        if new:
            raise StateError(f"{', '.join(new)}: not there when the network was built; build a new network")

    def check_weights(self) -> None:
        """Refuse, by a DivergenceError that names the layer, weights and buffers that are NaN or infinite."""
        if all_finite(self.xp, self.params, self.buffers):
            return
        arrays = [
            (f"{place.replace('layers.', 'layer ', 1)}: {module}: {name}", values)
            for place, module in self.named_modules().items()
            for name, values in {**module.params, **module.buffers}.items()
        ]
        lost = [name for name, values in arrays if not self.xp.isfinite(values).all()]
        cure = "build the network again, or give it finite weights"
        raise DivergenceError(f"{lost[0] if lost else self.loss} holds NaN or infinity; {cure}")

    def state_parts(self) -> dict[str, Module]:
        return {f"layers.{i}": layer for i, layer in enumerate(self.layers)} | {"loss": self.loss}

    # ---- running

    def forward(self, x: Any, t: Any, weights: Any = None) -> Any:
        """Mean loss of a batch, in training mode; then `backward` computes `grads`.

        Parameters
        ----------
        x : array (N, ...)
            Inputs: uint8 is scaled by 1/255, floats are taken as they are. Arrays on a device are read back to be
            checked; `train` checks a data set once.
        t : array (N,) of integer labels, or rows (N, K)
            Targets.
        weights : array (N,), optional
            How much each sample counts: the loss is Σ w ℓ / Σ w.

        Returns
        -------
        0-d array
            On the network's array library: ``float(L)`` reads it.

        Raises
        ------
        InputError, ShapeError, TargetError
            If x or t do not fit the network.
        ArgumentError
            If weights are not N finite numbers of at least 0, or all are 0.
        """
        with self.device:
            x = self.prepare_inputs(x)
            t = self.prepare_targets(t, len(x), self.output_size(x.shape))
            if weights is None:
                return self.unchecked_losses(x, t).mean()
            values = relative_weights(check_sample_weights("weights", to_host(weights), len(x)))
            of = Weights(self.xp.asarray(values, self.dtype), float(values.sum()))
            return (self.unchecked_losses(x, t, of) * of.values).sum() / of.total

    def unchecked_losses(self, x: Array, t: Array, *weights: Weights) -> Array:
        """Loss of each sample (N,), for x and t that `prepare_inputs` and `prepare_targets` have made.

        Weights, if there are any, are for `backward`; the losses do not contain them.
        """
        x = self.run_chain(x)
        self.__dict__["_waiting"] = True  # saves a call of __setattr__
        return self.fused_loss.unchecked_losses(x, t, *weights)

    def run_chain(self, x: Array) -> Array:
        """The output of `chain` for x that `prepare_inputs` has made."""
        for layer in self.chain:
            x = layer.forward(x)
        return x

    def outputs(self, y: Array) -> Array:
        """The outputs of the network, for the output of `chain`."""
        return self.output_activation.forward(y) if self.output_activation else y

    def backward(self) -> None:
        """Overwrite `grads` with the gradient of the mean loss of the last `forward`.

        Raises
        ------
        StateError
            If there was no `forward` before it, or a `backward` since.
        ShapeError
            If the `gradient` of a class of your own returns no dx.
        """
        if not self._waiting:
            raise StateError("backward was called without a forward before it; call net.forward(x, t) first")
        if self.xp is not np and self.device != current_device(self.xp):
            with self.device:
                return self.backward()
        self.__dict__["_waiting"] = False
        run_backward(self.chain[self.first_trainable :], self.fused_loss.gradient(), self.fused_loss)

    def predict(self, x: Any, batch_size: int | None = None) -> np.ndarray:
        """Outputs (N, K) for inputs x (N, ...), in inference mode: a NumPy array on the host, yours to keep.

        They are probabilities where the network ends in Softmax or Sigmoid, or in a loss that contains one of them
        (SoftmaxCrossEntropy, SigmoidCrossEntropy), and rates for a PoissonLoss. Nothing in the network changes, and any
        thread may call this.

        One output gives a column (N, 1), also where targets were (N,). Take ``[:, 0]`` before you compute with such
        targets: for NumPy, (N, 1) minus (N,) is (N, N). The metrics take both.

        Parameters
        ----------
        x : array (N, ...)
            Inputs: uint8 is scaled by 1/255, floats are taken as they are.
        batch_size : int, optional
            Samples at a time. It bounds the memory. By default 512; on a GPU as many as fill 32 MiB, if they are more.

        Raises
        ------
        ArgumentError
            If batch_size is not an integer of at least 1.
        InputError, ShapeError
            If x does not fit the network.
        DivergenceError
            If an output is NaN or infinite, because a weight is, or x is too large. Weights themselves are not read: an
            infinity that you write into `params` in place may be hidden by an activation, such as Sigmoid.
        """
        x = check_inputs(x, self.xp)
        batch_size = self.piece_size(x.shape, batch_size)
        if self.program is not None and self.program.predicts:
            out = self.program.predict(self, x, batch_size)
        else:
            out = np.empty((len(x), self.output_size(x.shape)), self.dtype)
            with self.inference_mode() as twin:
                for start in range(0, len(x), batch_size):
                    piece = slice(start, start + batch_size)
                    out[piece] = to_host(twin.outputs(twin.run_chain(twin.prepare_inputs(x[piece], start))))
        if not all_finite(np, out):
            self.check_weights()
            bad = int(np.isfinite(out).all(axis=1).argmin())
            cause = f"the sample is too large for these weights and {self.dtype}; scale inputs to about -1..1"
            raise DivergenceError(f"the outputs of sample {bad} are NaN or infinite: {cause}")
        return out

    @contextmanager
    def inference_mode(self) -> Iterator[Network]:
        """A context that gives a twin of the network in inference mode (see `Twins`), of use inside it only."""
        with self.device, self._twins.borrowed() as twins, np.errstate(all="ignore"):  # the outputs are checked
            twin: Network = object.__new__(type(self))
            names = ("loss", "fused_loss", "output_activation")
            parts: dict[str, Any] = {name: twins.get(id(getattr(self, name))) for name in names}
            layers = tuple(twins[id(layer)] for layer in self.layers)
            parts |= {"layers": layers, "chain": layers[: len(self.chain)], "_modules": [*twins.values()]}
            twin.__dict__.update(self.__dict__, **parts)
            yield twin

    def summary(self) -> str:
        """A table of the layers, their output shapes and parameter counts."""
        return summary_text(self)

    def _repr_html_(self) -> str:
        return summary_html(self)

    def __repr__(self) -> str:
        return f"Network([{', '.join(map(str, self.layers))}], {self.loss})"
