"""Exchange with PyTorch: the same names, shapes, outputs, losses and running statistics, and back bit for bit."""

import errno
import importlib
import os
import re
import struct
import sys
import warnings
from pathlib import Path

import numpy as np
import pages
import pytest
from arrays import assert_close, assert_equal
from failing import failing
from hypothesis import given
from hypothesis import strategies as st
from networks import TwoBranches, every_layer
from safetensors.numpy import load_file, save_file
from strategies import seeds

from minibp import (
    GELU,
    AbsoluteLoss,
    BatchNorm,
    BinaryCrossEntropy,
    CrossEntropy,
    Dense,
    Dropout,
    Exp,
    Flatten,
    HuberLoss,
    LayerNorm,
    Network,
    PoissonLoss,
    QuadraticLoss,
    QuantileLoss,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    SigmoidCrossEntropy,
    Softmax,
    SoftmaxCrossEntropy,
    Standardize,
    save,
)
from minibp import compile as compiled
from minibp.errors import ArgumentError, DivergenceError, FileFormatError, NotWritableError, ShapeError
from minibp.export import from_torch, to_torch

GUIDE = Path(__file__).parent.parent / "docs" / "export.md"


def small(seed=0, **options):
    return Network([Dense(2, 3), BatchNorm(3), ReLU(), Dense(3, 2)], SoftmaxCrossEntropy(), seed=seed, **options)


def unlike(net, seed):
    """Give a network random parameters and buffers, all other than at the start."""
    rng = np.random.default_rng(seed)
    net.params[...] = rng.normal(size=net.params.shape)
    net.buffers[...] = rng.uniform(0.5, 2, size=net.buffers.shape)
    return net


@pytest.fixture
def path(tmp_path):
    """A state dict of a small network."""
    path = tmp_path / "net.safetensors"
    to_torch(small(), path)
    return path


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def in_torch(net, path):
    """The program that `to_torch` returns, run: `model` with its weights, and `loss`."""
    from safetensors.torch import load_file as load_tensors

    program = {}
    exec(compile(to_torch(net, path), "program", "exec"), program)
    program["model"].load_state_dict(load_tensors(path), strict=True)
    return program


# --- the file ------------------------------------------------------------------------------------------------------


def test_the_file_has_the_names_shapes_and_types_of_pytorch(tmp_path):
    net = Network([Dense(2, 3), BatchNorm(3), Residual(Dense(3, 3), LayerNorm(3))], QuadraticLoss())
    to_torch(net, tmp_path / "net")
    shapes = {name: (array.shape, str(array.dtype)) for name, array in load_file(tmp_path / "net").items()}
    rows = [f"1.{name}" for name in ("weight", "bias", "running_mean", "running_var")]
    rows += ["0.bias", "2.0.bias", "2.1.weight", "2.1.bias"]
    matrices = {"0.weight": ((3, 2), "float32"), "2.0.weight": ((3, 3), "float32")}
    assert shapes == dict.fromkeys(rows, ((3,), "float32")) | matrices | {"1.num_batches_tracked": ((), "int64")}


def test_weights_are_transposed(path):
    assert_equal(load_file(path)["0.weight"], small().layers[0].W.T)


def test_equal_networks_give_equal_files(path, tmp_path):
    to_torch(small(), tmp_path / "other")
    assert (tmp_path / "other").read_bytes() == path.read_bytes()


@given(seed=seeds, dtype=st.sampled_from(["float32", "float64"]))
def test_what_goes_out_comes_back_bit_for_bit(tmp_path_factory, seed, dtype):
    path = tmp_path_factory.mktemp("torch") / "net"
    net, other = unlike(every_layer(dtype=dtype), seed), every_layer(dtype=dtype, seed=1)
    to_torch(net, path)
    from_torch(path, other)
    assert_equal(other.params, net.params)
    assert_equal(other.buffers, net.buffers)


@pytest.mark.parametrize("cupy", ["standin", pytest.param("cupy", marks=pytest.mark.gpu)])
def test_networks_on_a_device_go_out_and_come_back(tmp_path, monkeypatch, cupy):
    monkeypatch.setitem(sys.modules, "cupy", importlib.import_module(cupy))
    net, other = small(backend="cupy"), small(seed=1, backend="cupy")
    to_torch(net, tmp_path / "net")
    from_torch(tmp_path / "net", other)
    assert_equal(other.params, net.params)


def test_statistics_of_samples_with_several_axes_are_not_transposed(tmp_path):
    layers = [Standardize([[1, 2, 3], [4, 5, 6]], np.ones((2, 3))), Flatten(), Dense(6, 1)]
    net = Network(layers, QuadraticLoss())
    assert "Standardize(2, 3)," in to_torch(net, tmp_path / "net")
    assert_equal(load_file(tmp_path / "net")["0.mean"], net.layers[0].mean)


def test_predictions_of_a_compiled_network_follow(path):
    pytest.importorskip("numba")
    net, x = small(seed=1), np.ones((1, 2))
    compiled(net)
    from_torch(path, net)
    assert_close(net.predict(x), small().predict(x), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_precisions_are_rounded_to_that_of_the_network(path, dtype):
    arrays = load_file(path)
    save_file({name: array.astype(dtype) for name, array in arrays.items()}, path)
    net = small(seed=1)
    from_torch(path, net)
    assert_equal(net.layers[0].W, arrays["0.weight"].astype(dtype).T.astype("float32"))


def test_the_count_of_batches_is_not_needed(path):
    arrays = load_file(path)
    del arrays["1.num_batches_tracked"]
    save_file(arrays, path)
    net = small(seed=1)
    from_torch(path, net)
    assert_equal(net.params, small().params)


# --- what is refused -----------------------------------------------------------------------------------------------


def edit(name, values):
    """A change of a state dict: these values, or none, under this name."""
    return lambda arrays: arrays.pop(name) if values is None else arrays.update({name: np.asarray(values)})


@pytest.mark.parametrize(("change", "error", "message"), [
    (edit("0.bias", None), ShapeError, r"net\.safetensors: 0\.bias is missing; expected is the state dict of an nn\."),
    (edit("fc.bias", np.ones(3)), ShapeError, "fc.bias is unexpected"),
    (edit("0.num_batches_tracked", 1), ShapeError, "0.num_batches_tracked is unexpected"),
    (edit("a\x1b[2J", np.ones(3)), ShapeError, r"a\\x1b\[2J is unexpected"),
    (edit("0.weight", np.ones((2, 3))), ShapeError, r"0\.weight has the shape \(2, 3\), expected \(3, 2\)"),
    (edit("3.weight", np.ones((2, 3), "int8")), ShapeError, r"3\.weight is int8, expected floats"),
    (edit("0.bias", [1.0, np.nan, 1.0]), ArgumentError, r"net\.safetensors: 0\.bias: .* with NaN or infinity"),
    (edit("0.bias", [1.0, 1e300, 1.0]), ArgumentError, r"0\.bias: .* with NaN or infinity"),
    (edit("1.running_var", [1.0, -1.0, 1.0]), ArgumentError, r"1\.running_var: .* negative numbers"),
    (lambda arrays: arrays.clear(), ShapeError, r"0\.weight is missing, 0\.bias is missing, 1\.weight"),
    (lambda arrays: arrays.update({f"a{i}": np.ones(1) for i in range(20)}), ShapeError, "a15 is .*, and 12 more;"),
])  # fmt: skip
def test_another_state_dict_is_refused_and_nothing_is_changed(path, change, error, message):
    arrays = load_file(path)
    change(arrays)
    save_file(arrays, path)
    net = small(seed=1)
    with pytest.raises(error, match=message):
        from_torch(path, net)
    assert_equal(net.params, small(seed=1).params)
    assert_equal(net.buffers, small(seed=1).buffers)


def test_all_faults_are_named_at_once(path):
    arrays = load_file(path)
    save_file({"0.weight": np.ones((1, 1)), **{f"net.{name}": array for name, array in arrays.items()}}, path)
    with pytest.raises(ShapeError, match=r"0\.bias is missing, .*net\.0\.bias is unexpected"):
        from_torch(path, Network([Dense(2, 3)], QuadraticLoss()))


def test_a_file_of_minibp_itself_is_refused(path):
    save(small(), path)
    with pytest.raises(ShapeError, match=r"0\.weight is missing"):
        from_torch(path, small())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(100), b"\xff" * 20])
def test_files_that_are_not_safetensors_are_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="is not a readable safetensors file"):
        from_torch(path, small())


def test_types_that_numpy_lacks_are_refused(path):
    header = b'{"0.weight": {"dtype": "BF16", "shape": [0], "data_offsets": [0, 0]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(FileFormatError, match="numbers of the type 'BF16', which NumPy lacks; save them as float32"):
        from_torch(path, small())


def test_no_file_or_a_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file: .*none"):
        from_torch(tmp_path / "none", small())
    with pytest.raises(FileFormatError, match="it is a folder"):
        from_torch(tmp_path, small())
    with pytest.raises(NotWritableError, match="is a folder, a pipe or a device"):
        to_torch(small(), tmp_path)
    with pytest.raises(ArgumentError, match=r"the folder .*none does not exist; create it first"):
        to_torch(small(), tmp_path / "none" / "net")


def test_arguments_in_the_wrong_order_are_refused(path):
    with pytest.raises(ArgumentError, match=r"call to_torch\(net, path\)"):
        to_torch(path, small())
    with pytest.raises(ArgumentError, match=r"call from_torch\(path, net\)"):
        from_torch(small(), path)


def test_a_layer_of_a_user_is_named_with_what_to_do(path):
    before = path.read_bytes()
    net = Network([Dense(3, 3), Residual(TwoBranches(3))], QuadraticLoss())
    message = r"TwoBranches\(3\) \(module 2 of the network\) has no form in PyTorch: build the network of minibp's own"
    with pytest.raises(ArgumentError, match=message):
        to_torch(net, path)
    with pytest.raises(ArgumentError, match=message):
        from_torch(path, net)
    assert path.read_bytes() == before


def test_a_network_with_nan_in_its_weights_is_not_written(path):
    before, net = path.read_bytes(), small()
    net.layers[0].W[0, 0] = np.nan
    with pytest.raises(DivergenceError, match=r"Dense\(2, 3\): W holds NaN"):
        to_torch(net, path)
    assert path.read_bytes() == before


def test_a_full_disk_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", failing(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match=re.escape(f"No space left on device: '{path}'")):
        to_torch(small(1), path)
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]


# --- the program ---------------------------------------------------------------------------------------------------


def test_the_program_is_a_sequential_of_the_same_layers(path):
    assert to_torch(small(), path) == '''\
"""A network of minibp in PyTorch: model(x) is net.predict(x), for x (N, 2) of float32.

Bytes are to be divided by 255. To load the weights: model.load_state_dict(safetensors.torch.load_file(path)).
Before predictions: model.eval().
"""

from torch import nn


model = nn.Sequential(
    nn.Linear(2, 3),
    nn.BatchNorm1d(3, eps=1e-05, momentum=0.1),
    nn.ReLU(),
    nn.Linear(3, 2),
    nn.Softmax(dim=-1),
)


def loss(x, t):
    """Mean loss of a batch, as SoftmaxCrossEntropy() of minibp. Targets t are classes (N,) as int64, or rows (N, 2)."""
    y = model[:-1](x)  # without Softmax, which the loss contains
    return nn.functional.cross_entropy(y, t)
'''


def test_a_loss_of_a_user_is_left_to_the_user(path):
    class Own(QuadraticLoss):
        pass

    text = to_torch(Network([Dense(2, 1)], Own()), path)
    assert text.endswith("\n# minibp trains model with Own(), a loss of your own: write it with PyTorch to train on.\n")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_layer_predicts_the_same(torch, path, rng, dtype):
    net, x = unlike(every_layer(dtype=dtype), 0), rng.normal(size=(50, 2, 2)).astype(dtype)
    model = in_torch(net, path)["model"].eval()
    y = model(torch.tensor(x))
    assert str(y.dtype) == f"torch.{dtype}"
    assert_close(y.detach().numpy(), net.predict(x), atol=1e-6 if dtype == "float32" else 1e-9)  # Softplus: 2e-9


@pytest.mark.parametrize(("last", "loss", "k", "kind"), [
    ([], QuadraticLoss(), 3, "numbers"),
    ([], QuadraticLoss(), 1, "numbers"),
    ([], AbsoluteLoss(), 3, "numbers"),
    ([], HuberLoss(0.3), 3, "numbers"),
    ([], HuberLoss(0.3), 1, "numbers"),
    ([], QuantileLoss(0.9), 3, "numbers"),
    ([], PoissonLoss(), 3, "rates"),
    ([Exp], QuadraticLoss(), 3, "rates"),
    ([Softmax], CrossEntropy(), 3, "classes"),
    ([Softmax], CrossEntropy(0.1), 3, "probabilities"),
    ([Softmax, Flatten], CrossEntropy(0.1), 3, "classes"),
    ([], SoftmaxCrossEntropy(), 3, "classes"),
    ([], SoftmaxCrossEntropy(0.1), 3, "classes"),
    ([Sigmoid], BinaryCrossEntropy(), 3, "probabilities"),
    ([Sigmoid], BinaryCrossEntropy(), 1, "answers"),
    ([Sigmoid, Flatten], BinaryCrossEntropy(), 3, "probabilities"),
    ([], SigmoidCrossEntropy(), 3, "probabilities"),
    ([], SigmoidCrossEntropy(), 1, "answers"),
], ids=str)  # fmt: skip
def test_every_loss_predicts_and_trains_the_same(torch, path, rng, last, loss, k, kind):
    net = Network([Dense(4, k), *[layer() for layer in last]], type(loss)(**loss.config()))
    x, rows = rng.normal(size=(6, 4)).astype("float32"), rng.uniform(size=(6, k)).astype("float32")
    t = {
        "numbers": rows[:, 0] if k == 1 else rows, "rates": 3 * rows, "probabilities": rows / rows.sum(1)[:, None],
        "classes": rng.integers(k, size=6), "answers": rng.integers(2, size=6),
    }[kind]  # fmt: skip
    program = in_torch(net, path)
    model, value = program["model"], program["loss"](torch.tensor(x), torch.tensor(t))
    assert_close(model(torch.tensor(x)).detach().numpy(), net.predict(x), rtol=1e-6, atol=1e-6)
    assert_close(value.item(), net.forward(x, t), rtol=1e-6)
    value.backward()
    net.backward()
    assert_close(model[0].weight.grad.numpy().T, net.layers[0].dW, rtol=1e-5, atol=1e-6)
    assert_close(model[0].bias.grad.numpy(), net.layers[0].db, rtol=1e-5, atol=1e-6)


def statistics_in_both(torch, path, momentum, dtype):
    """The running statistics of a network after four batches, in minibp and in PyTorch."""
    layers = [Dense(4, 5), BatchNorm(5, momentum), GELU(), Residual(Sequential(Dense(5, 5), BatchNorm(5)))]
    net, rng = Network([*layers, Dense(5, 2)], QuadraticLoss(), dtype=dtype), np.random.default_rng(0)
    model = in_torch(net, path)["model"].train()
    for n in (7, 2, 5, 32):
        x = rng.normal(3, 2, size=(n, 4)).astype(dtype)
        net.forward(x, np.zeros((n, 2)))
        model(torch.tensor(x))
    return net, model


@pytest.mark.parametrize("momentum", [0.9, 0.0, 0.99])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-13)])
def test_running_statistics_of_a_training_are_the_same(torch, path, momentum, dtype, tolerance):
    from safetensors.torch import save_file as save_tensors

    net, model = statistics_in_both(torch, path, momentum, dtype)
    save_tensors(model.state_dict(), path)
    assert load_file(path)["1.num_batches_tracked"] == 4
    before = net.buffers.copy()
    net.buffers[...] = 1
    from_torch(path, net)
    assert_close(net.buffers, before, rtol=tolerance, atol=tolerance)


def test_dropout_drops_the_same_share_in_training(torch, path):
    net = Network([Dropout(0.2), Dense(10000, 1)], QuadraticLoss())
    dropped = in_torch(net, path)["model"].train()[0](torch.ones(1, 10000))
    assert abs((dropped == 0).float().mean().item() - 0.2) < 0.03
    assert dropped.max().item() == pytest.approx(1.25)


# --- the guide -----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that runs the example of the guide with these words, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield lambda words: pages.run(pages.example(GUIDE, words), GUIDE)
    sys.modules.pop("digits_net", None)


def test_the_guide_takes_a_network_to_pytorch_and_back(torch, run, capsys):
    torch.manual_seed(0)
    out, there, back = [run(words) for words in ("import to_torch", "from digits_net", "import from_torch")]
    assert_close(there["model"].state_dict()["1.weight"].numpy().T, back["net"].layers[1].W)
    assert abs(back["net"].params - out["net"].params).max() > 1e-3  # trained on
    assert_close(there["model"](there["x"]).detach().numpy(), back["net"].predict(there["train_set"].x), atol=1e-6)


def test_the_guide_takes_a_network_to_keras(run, monkeypatch, rng):
    pytest.importorskip("torch")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras's own, which depend on the version of NumPy
        pytest.importorskip("keras")
        done = run("import keras")
        unlike(done["net"], 0)
        code = pages.example(GUIDE, "import keras")
        exec(code[code.index("for theirs") :], done)
        x = rng.normal(size=(5, 64)).astype("float32")
        assert_close(done["model"].predict(x, verbose=0), done["net"].predict(x), atol=1e-5)


def records(path):
    """The records of an event file: each has its length, a checksum of that, and a checksum after it."""
    content = path.read_bytes()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        yield content[12 : 12 + length]
        content = content[16 + length :]


def test_the_guide_writes_a_training_for_tensorboard(run, tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    done = run("import SummaryWriter")
    (path,), seen = (tmp_path / "runs" / "digits").iterdir(), {}
    for event in map(Event.FromString, records(path)):
        for value in event.summary.value:
            seen.setdefault((value.tag, value.WhichOneof("value")), {})[event.step] = value.simple_value
    assert seen["accuracy/validation", "simple_value"][5] == pytest.approx(done["epoch"].val_accuracy)
    assert set(seen["weights/1", "histo"]) == {1, 2, 3, 4, 5}
    assert seen["loss/train", "simple_value"][5] == pytest.approx(done["epoch"].loss)
