"""ONNX: other programs compute what `predict` gives, files come back as networks, and bad files are refused."""

import copy
import errno
import importlib
import json
import os
import random
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pages
import pytest
from failing import failing
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import traced
from networks import TwoBranches, every_layer, samples

import minibp
from minibp import (
    ELU,
    GELU,
    SGD,
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
    LeakyReLU,
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
    Softplus,
    Standardize,
    Tanh,
    train,
)
from minibp.dropout import RandomLayer
from minibp.errors import (
    ArgumentError,
    DivergenceError,
    FileFormatError,
    MissingExtraError,
    NotWritableError,
)
from minibp.export import from_onnx, to_onnx

onnx = pytest.importorskip("onnx", "1.17")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx_files import BY_TORCH, mutated, parsed, read_and_compare, valid_files  # noqa: E402

ROOT = Path(__file__).parent.parent
LOSSES = [
    ([], QuadraticLoss(), "y"),
    ([], AbsoluteLoss(), "y"),
    ([], HuberLoss(0.3), "y"),
    ([], QuantileLoss(0.9), "y"),
    ([], PoissonLoss(), "y"),
    ([Sigmoid()], HuberLoss(), "y"),
    ([Softmax()], CrossEntropy(), "probabilities"),
    ([], SoftmaxCrossEntropy(0.1), "probabilities"),
    ([Sigmoid()], BinaryCrossEntropy(), "probabilities"),
    ([], SigmoidCrossEntropy(), "probabilities"),
]
every_loss = pytest.mark.parametrize(("last", "loss", "name"), LOSSES, ids=[str(each[:2]) for each in LOSSES])
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


def run(path, x):
    """What ONNX Runtime computes, by the name of the output."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (takes,), (gives,) = session.get_inputs(), session.get_outputs()
    return gives.name, session.run(None, {takes.name: x})[0]


def trained(net):
    for _ in train(net, SGD(net, 0.01), samples(k=net.output_size((1, 4))), epochs=2):
        pass
    return net


def network(last, loss):
    return Network(copy.deepcopy([Dense(4, 8), Tanh(), Dense(8, 3), *last]), copy.deepcopy(loss))


def write(path, text):
    """Write a model from its text, with weights."""
    path.write_bytes(parsed(text).SerializeToString())
    return path


def graph(body, takes="float[N, 4] x", gives="float[N, 3] y", constants="", opset=17):
    """The text of a model."""
    return f'<ir_version: 8, opset_import: ["": {opset}]> g ({takes}) => ({gives}) <{constants}> {{ {body} }}'


# --- what other programs compute -----------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize("n", [1, 7])
def test_onnx_runtime_computes_what_a_network_of_every_layer_predicts(path, dtype, n, rng):
    net, x = trained(every_layer(dtype=dtype)), rng.normal(size=(n, 4)).astype(dtype)
    to_onnx(net, path)
    name, y = run(path, x)
    assert name == "probabilities" and y.dtype == dtype
    np.testing.assert_allclose(y, net.predict(x), atol=1e-5 if dtype == "float32" else 1e-8, rtol=0)


@every_loss
@pytest.mark.parametrize("n", [1, 7])
def test_onnx_runtime_gives_the_outputs_of_predict_for_every_loss(path, last, loss, name, n, rng):
    net, x = network(last, loss), rng.normal(size=(n, 4)).astype("f4")
    to_onnx(net, path)
    given, y = run(path, x)
    assert given == name
    np.testing.assert_allclose(y, net.predict(x), atol=1e-5, rtol=0)


ANY = st.sampled_from([
    lambda n: Dense(n, n), lambda n: ReLU(), lambda n: Tanh(), lambda n: Sigmoid(), lambda n: Softplus(),
    lambda n: LeakyReLU(0.3), lambda n: ELU(0.7), lambda n: GELU(), lambda n: BatchNorm(n), lambda n: LayerNorm(n),
    lambda n: Flatten(), lambda n: Dropout(0.5), lambda n: Standardize(np.arange(n), np.arange(n) + 1.0),
    lambda n: Sequential(Dense(n, 3), GELU(), Dense(3, n)), lambda n: Residual(GELU(), Residual(Dense(n, n))),
    lambda n: Residual(Softplus(), ELU(2.0), Flatten()), lambda n: Sequential(Softmax(), Exp()),
])  # fmt: skip


@settings(max_examples=60)
@given(made=st.lists(ANY, max_size=6), n=st.integers(1, 4), dtype=st.sampled_from(["float32", "float64"]))
def test_any_order_of_layers_is_read_back_as_it_was_written(tmp_path_factory, made, n, dtype):
    net = Network([Dense(n, n), *(layer(n) for layer in made)], QuadraticLoss(), dtype=dtype)
    path, x = tmp_path_factory.mktemp("any") / "net.onnx", np.random.default_rng(0).normal(size=(5, n)).astype(dtype)
    to_onnx(net, path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    again, expected = from_onnx(path), net.predict(x)
    np.testing.assert_allclose(again.predict(x), expected, rtol=1e-6)
    _, y = run(path, x)
    np.testing.assert_allclose(y, expected, rtol=1e-4 if dtype == "float32" else 1e-7, atol=1e-5)


@both_dtypes
@pytest.mark.parametrize("scale_uint8", [False, True])
def test_files_follow_the_rules_of_onnx(path, dtype, scale_uint8):
    to_onnx(every_layer(dtype=dtype), path, scale_uint8=scale_uint8, sample_shape=(2, 2))
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 8 and [(each.domain, each.version) for each in model.opset_import] == [("", 17)]


def test_images_of_uint8_are_scaled_in_the_file(path, rng):
    net = Network([Standardize.of(rng.normal(size=(9, 4))), Dense(4, 3), Softmax()], CrossEntropy())
    x = rng.integers(0, 256, (7, 2, 2), "u1")
    to_onnx(net, path, scale_uint8=True, sample_shape=(2, 2))
    np.testing.assert_allclose(run(path, x)[1], net.predict(x), atol=1e-5)
    np.testing.assert_allclose(from_onnx(path).predict(x), net.predict(x), atol=1e-6)


def test_a_network_that_begins_with_flatten_takes_rows_or_images_as_asked(path, rng):
    net, x = Network([Sequential(Flatten(), Dense(4, 3))], QuadraticLoss()), rng.normal(size=(2, 4)).astype("f4")
    for shape in ((4,), (2, 2), (1, 2, 2)):
        to_onnx(net, path, sample_shape=shape)
        np.testing.assert_allclose(run(path, x.reshape(2, *shape))[1], net.predict(x), atol=1e-6)


def test_a_shape_that_is_not_known_or_does_not_fit_is_refused(path):
    with pytest.raises(ArgumentError, match=r"the shape of a sample does not follow from the layers; give it"):
        to_onnx(Network([ReLU()], QuadraticLoss()), path)
    for shape, message in (((5,), "is fed 5 values"), (7, "does not fit"), ((2, 3), "does not fit")):
        with pytest.raises(ArgumentError, match=message):
            to_onnx(Network([Dense(4, 3)], QuadraticLoss()), path, sample_shape=shape)
    assert not path.exists()


def test_a_network_that_only_drops_values_is_the_identity(path, rng):
    x = rng.normal(size=(2, 3)).astype("f4")
    to_onnx(Network([Dropout(0.5)], QuadraticLoss()), path, sample_shape=(3,))
    np.testing.assert_array_equal(run(path, x)[1], x)


def test_the_file_does_not_depend_on_the_array_library(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", importlib.import_module("standin"))
    net = every_layer(backend="cupy")
    to_onnx(net, path)
    before = path.read_bytes()
    to_onnx(net.to("numpy"), path)
    assert path.read_bytes() == before


def test_a_network_in_use_stays_as_it_is(path, rng):
    net, x = trained(every_layer()), rng.normal(size=(5, 4))
    before = net.predict(x)
    to_onnx(net, path)
    np.testing.assert_array_equal(net.predict(x), before)
    assert all(layer.training for layer in net.layers)


def test_the_file_says_what_it_holds(path):
    net = Network([Dense(4, 8), ReLU(), Dense(8, 3), Softmax()], CrossEntropy(label_smoothing=0.1))
    net.class_names, net.column_names = ["один", "b", "c"], ["p", "q", "r", "s"]
    to_onnx(net, path)
    model = onnx.load(path)
    said = {each.key: each.value for each in model.metadata_props}
    assert said["minibp"] == minibp.__version__ == model.producer_version and model.producer_name == "minibp"
    assert said["layers"] == "Dense(4, 8), ReLU(), Dense(8, 3), Softmax()" and said["parameters"] == "67"
    assert json.loads(said["loss"]) == ["CrossEntropy", {"label_smoothing": 0.1}]
    assert json.loads(said["class_names"]) == ["один", "b", "c"] and "один" in said["class_names"]
    assert {each.name for each in model.graph.initializer} == {f"layers.{i}.{name}" for i in (0, 2) for name in "Wb"}


# --- what cannot be written ----------------------------------------------------------------------------------------


def test_a_users_layer_is_named(path):
    net = Network([Dense(4, 3), Residual(TwoBranches(3)), Dense(3, 2)], SoftmaxCrossEntropy())
    with pytest.raises(ArgumentError, match=r"TwoBranches\(3\) \(module 2 of the network\) has no form in ONNX: build"):
        to_onnx(net, path)
    assert not path.exists()


def test_a_subclass_of_a_layer_is_a_users_layer(path):
    class Doubled(ReLU):
        def formula(self, x):
            return 2 * super().formula(x)

    with pytest.raises(ArgumentError, match="Doubled"):
        to_onnx(Network([Dense(4, 3), Doubled()], QuadraticLoss()), path)


def test_weights_that_are_not_finite_are_refused(path):
    net = every_layer()
    net.params[3] = np.nan
    with pytest.raises(DivergenceError, match=r"layer 2: Dense\(4, 8\): W holds NaN"):
        to_onnx(net, path)
    assert not path.exists()


def test_a_full_disk_leaves_the_old_file(path, monkeypatch):
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", failing(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match=re.escape(f"No space left on device: '{path}'")):
        to_onnx(every_layer(), path)
    assert path.read_bytes() == b"old" and os.listdir(path.parent) == ["net.onnx"]


def test_a_folder_is_not_written_created_or_read(tmp_path):
    with pytest.raises(NotWritableError, match="is a folder, a pipe or a device"):
        to_onnx(every_layer(), tmp_path)
    with pytest.raises(ArgumentError, match=r"the folder .*none does not exist; create it first"):
        to_onnx(every_layer(), tmp_path / "none" / "net.onnx")
    with pytest.raises(FileFormatError, match="is not an ONNX file: it is a folder, a pipe or a device"):
        from_onnx(tmp_path)


def test_what_is_not_a_network_or_a_loss_is_refused(path):
    with pytest.raises(ArgumentError, match=r"net must be a Network, received ReLU; call to_onnx\(net, path\)"):
        to_onnx(ReLU(), path)
    with pytest.raises(ArgumentError, match="loss must be a Loss, received type; pass one such as"):
        from_onnx(path, SoftmaxCrossEntropy)


def test_a_missing_package_names_the_extra(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    expected = r"""onnx needs onnx>=1\.17, which is not installed: pip install "onnx>=1\.17" \(minibp's extra 'onnx'"""
    for call in (lambda: to_onnx(every_layer(), path), lambda: from_onnx(path)):
        with pytest.raises(MissingExtraError, match=expected):
            call()


# --- what is read --------------------------------------------------------------------------------------------------


@both_dtypes
def test_a_network_comes_back(path, dtype, rng):
    net, x = trained(every_layer(dtype=dtype)), rng.normal(size=(5, 4))
    to_onnx(net, path)
    again = from_onnx(path)
    np.testing.assert_allclose(again.predict(x), net.predict(x), rtol=1e-6)
    assert again.dtype == dtype and again.backend == "numpy"
    kinds, found = ([type(each) for each in one.modules()] for one in (net, again))
    in_file = [kind for kind in kinds if kind is not Sequential and not issubclass(kind, RandomLayer)]
    assert found == in_file


@every_loss
def test_the_loss_comes_back(path, last, loss, name, rng):
    net, x = network(last, loss), rng.normal(size=(5, 4))
    to_onnx(net, path)
    again = from_onnx(path)
    assert str(again) == str(net)
    np.testing.assert_array_equal(again.predict(x), net.predict(x))


def test_names_come_back(path):
    net = network([Softmax()], CrossEntropy())
    net.class_names, net.column_names = ["a", "b", "c"], ["p", "q", "r", "s"]
    to_onnx(net, path)
    again = from_onnx(path)
    assert again.class_names == ["a", "b", "c"] and again.column_names == ["p", "q", "r", "s"]


def test_a_network_from_a_file_trains(path):
    to_onnx(every_layer(), path)
    assert np.isfinite(trained(from_onnx(path)).params).all()


@pytest.mark.parametrize("name", BY_TORCH)
def test_a_file_as_torch_writes_it_is_read(path, name):
    write(path, BY_TORCH[name])
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert read_and_compare(path) == "equal"


@pytest.mark.parametrize(("last", "loss"), [
    ("Softmax <axis = 1> (z)", "CrossEntropy()"),
    ("Sigmoid (z)", "BinaryCrossEntropy()"),
    ("Identity (z)", "QuadraticLoss()"),
    ("Exp (z)", "QuadraticLoss()"),
])  # fmt: skip
def test_the_loss_of_a_foreign_file_follows_from_its_last_layer(path, last, loss):
    net = from_onnx(write(path, graph(f"z = Gemm <transB = 1> (x, A, a) y = {last}")))
    assert str(net.loss) == loss and read_and_compare(path) == "equal"


def test_a_loss_can_be_given(path, rng):
    x = rng.normal(size=(5, 4))
    logits = from_onnx(write(path, graph("y = Gemm <transB = 1> (x, A, a)"))).predict(x)
    net = from_onnx(path, SoftmaxCrossEntropy())
    e = np.exp(logits)
    np.testing.assert_allclose(net.predict(x), e / e.sum(axis=1, keepdims=True), rtol=1e-5)
    write(path, graph("z = Gemm <transB = 1> (x, A, a) y = Softmax (z)"))
    merged = from_onnx(path, SoftmaxCrossEntropy(0.1))  # which contains the softmax of the file
    assert str(merged) == "Network([Dense(4, 3)], SoftmaxCrossEntropy(0.1))"
    np.testing.assert_array_equal(merged.predict(x), from_onnx(path).predict(x))
    with pytest.raises(ArgumentError, match="PoissonLoss"):
        from_onnx(path, PoissonLoss())


def torch_networks():
    """Networks of torch, and samples for them: nearly every layer, and a module with arithmetic of its own."""
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Around(nn.Module):
        def __init__(self, *layers):
            super().__init__()
            self.f = nn.Sequential(*layers)

        def forward(self, x):
            return x + self.f(x)

    class Standardized(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.arange(4.0))
            self.register_buffer("std", torch.arange(4.0) + 1)
            self.f = nn.Linear(4, 2)

        def forward(self, x):
            return self.f((x - self.mean) / self.std)

    torch.manual_seed(0)
    around = Around(nn.Linear(8, 5), nn.GELU(approximate="tanh"), nn.Linear(5, 8), nn.BatchNorm1d(8))
    layers = [nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(8, 8)]
    layers += [nn.LayerNorm(8), nn.ELU(0.5), around, nn.Softplus(), nn.Linear(8, 8, bias=False), nn.ReLU()]
    layers += [nn.Identity(), nn.Tanh(), nn.BatchNorm1d(8), nn.Sigmoid(), nn.Linear(8, 3), nn.Softmax(dim=1)]
    many = nn.Sequential(*layers)
    many(torch.randn(50, 3, 4))  # statistics of BatchNorm
    return [(many.eval(), torch.randn(5, 3, 4)), (Standardized().eval(), torch.randn(5, 4))]


@pytest.mark.parametrize("dynamo", [False, True])
def test_files_of_torch_are_read(path, dynamo):
    torch = pytest.importorskip("torch")
    if dynamo:
        pytest.importorskip("onnxscript")
    free = {0: "batch"}
    axes = {"dynamic_shapes": (free,)} if dynamo else {"dynamic_axes": {"x": free}, "input_names": ["x"]}
    for model, x in torch_networks():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own
            torch.onnx.export(model, (x,), path, dynamo=dynamo, **axes)
        for each in (x, x[:1]):
            np.testing.assert_allclose(from_onnx(path).predict(each.numpy()), model(each).detach().numpy(), atol=1e-5)


# --- what is refused -----------------------------------------------------------------------------------------------


DENSE = "Gemm <transB = 1> (x, A, a)"


@pytest.mark.parametrize(("text", "message"), [
    (graph("z = Erf (x) y = Gemm (z, D, a)"), r"node 'z', Erf: minibp has GELU in its tanh form only"),
    (graph("y = Gelu (x)", opset=20), r"node 'y', Gelu: minibp has GELU in its tanh form only"),
    (graph("y = LogSoftmax (x)"), "node 'y', LogSoftmax: leave it out of the file, and pass loss=SoftmaxCrossEntropy"),
    (graph("y = Sin (x)"), "node 'y', Sin: minibp has no such layer"),
    (graph("y = Mul (x, a)"), "node 'y', Mul: minibp has no such layer"),
    (graph("y = Gemm <alpha = 2.0> (x, D, a)"), "Gemm: minibp has no factors alpha and beta"),
    (graph("y = Gemm <transA = 1> (x, D, a)"), "Gemm: minibp has no factors alpha and beta, and does not transpose"),
    (graph("y = Gemm <more = 1> (x, D, a)"), "Gemm: minibp has no layer with its attribute more"),
    (graph("y = Gemm (x, x, a)"), "Gemm: 'x' is computed, and minibp has fixed weights there"),
    (graph("y = Gemm (x, a)"), r"Gemm: its weights have the shape \(3,\), expected a matrix"),
    (graph("y = Gemm (x)"), r"Gemm: it has the inputs \['x'\], expected 2 to 3"),
    (graph("y = Gemm (x, D)"), r"Gemm: .*Dense\(3, 2\) is fed 4 values"),
    (graph("y = Gemm <transB = 1> (x, A, b)"), r"Gemm: 'b' has the shape \(2,\), expected \(3,\)"),
    (graph("y = Softmax <axis = 0> (x)"), "Softmax: its axis is 0; minibp has the softmax of rows"),
    (graph("y = Flatten <axis = 0> (x)"), "Flatten: minibp makes rows of samples, axis 1"),
    (graph("y = Reshape (x, to)", constants="int64[2] to = {-1, 2}"), r"Reshape: it gives \[-1, 2\]; minibp makes"),
    (graph("s = Shape (x) y = Reshape (x, s)"), "Reshape: it gives a computed shape"),
    (graph("y = LayerNormalization <axis = 0> (x, a, a)"), "its axis is 0; minibp normalizes rows"),
    (graph("y = BatchNormalization <training_mode = 1> (x, a, a, a, a)"), r"it is in training mode; .* model.eval\(\)"),
    (graph("y = LeakyRelu <alpha = 1.5> (x)"), r"node 'y', LeakyRelu: LeakyReLU: slope must lie in \[0, 1\)"),
    (graph("y = Cast <to = 7> (x)"), "Cast: minibp computes with float32 and float64"),
    (graph("y = Add (x, a)"), "Add: it adds a constant, but not to a MatMul"),
    (graph("y = Add (x, x)"), "Add: .*needs at least one layer"),
    (graph("u = Relu (x) w = Tanh (x) y = Add (u, w)"), "Tanh: 'x' is not computed from 'u' by layers that minibp has"),
    (graph("y = Relu (z) z = Relu (y)"), "Relu: it needs 'z', which no node before it computes"),
    (graph("y = Relu (w)"), "Relu: it needs 'w', which no node before it computes"),
    (graph("y = Identity (x)"), "holds 0 layers"),
    (graph("z = Relu (x) z = Relu (x) y = Relu (z)"), "Relu: it computes 'z', which is there already"),
    (graph("y, y = Dropout (x)"), "Dropout: it computes 'y', which is there already"),
    (graph("y = Relu (x)", takes="float[N, 4] x, float[N] z"), "has 2 inputs and 1 outputs"),
    (graph("y = Relu (x)", takes="int64[N, 4] x"), "its input is of ONNX's type 7; minibp takes float32"),
    (graph("y = Relu (x)", takes="uint8[N, 4] x"), "its input is uint8, which minibp scales by 1/255"),
    (graph("y = Relu (x)", opset=8), "has opset 8, this minibp reads 9 to 28"),
    (graph("z = Gemm <transB = 1> (x, A, a) y = Div (z, c)", constants="double c = {2.0}"), "'c' is float64; the"),
    (graph("z = Gemm <transB = 1> (x, A, a) y = Div (z, c)", constants="float c = {0.0}"), r"Div: .*std\[0\] is 0"),
])  # fmt: skip
def test_what_minibp_has_no_layer_for_is_named(path, text, message):
    with pytest.raises(FileFormatError, match=message) as error:
        from_onnx(write(path, text))
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize("content", [b"", b"\x08\x08", b"<!DOCTYPE html>", bytes(100), b"\xff" * 40])
def test_a_file_that_is_not_onnx_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="is not an ONNX file"):
        from_onnx(path)


def test_a_missing_file_is_named(path):
    with pytest.raises(FileNotFoundError, match=f"no such file: {re.escape(str(path))}"):
        from_onnx(path)


@pytest.mark.parametrize(("key", "value"), [
    ("loss", "["), ("loss", '["HuberLoss", {"delta": -1}]'), ("loss", '["HuberLoss", {"x": 1}]'), ("loss", "7"),
    ("loss", '["PoissonLoss", {}]'), ("class_names", '["a"]'), ("column_names", "["), ("class_names", "[" * 100_000),
    ("class_names", json.dumps([str(i) for i in range(200_000)])),
], ids=lambda each: each[:30])  # fmt: skip
def test_a_damaged_description_is_refused(path, key, value):
    to_onnx(network([Softmax()], CrossEntropy()), path)
    model = onnx.load(path)
    said = {each.key: each.value for each in model.metadata_props} | {key: value}
    helper.set_model_props(model, said)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FileFormatError, match=f"{key} cannot be read|PoissonLoss"):
        from_onnx(path)


# --- weights in other files, and sizes -----------------------------------------------------------------------------


def with_external(path, location, offset=0, length=48, dims=(3, 4)):
    """A file whose matrix lies in another one."""
    model = parsed(graph(f"y = {DENSE}"))
    A = next(each for each in model.graph.initializer if each.name == "A")
    A.CopyFrom(TensorProto(name="A", data_type=1, dims=dims, data_location=TensorProto.EXTERNAL))
    for key, value in {"location": location, "offset": offset, "length": length}.items():
        A.external_data.add(key=key, value=str(value))
    path.write_bytes(model.SerializeToString())


def test_weights_in_another_file_are_read(tmp_path):
    (tmp_path / "a").mkdir()
    values = np.arange(12, dtype="<f4")
    (tmp_path / "a" / "weights").write_bytes(b"1234" + values.tobytes())
    with_external(tmp_path / "net.onnx", "a/weights", 4)
    np.testing.assert_array_equal(from_onnx(tmp_path / "net.onnx").layers[0].W, values.reshape(3, 4).T)


@pytest.mark.parametrize("location", ["../secret", "{folder}/../secret", "link", "a/../../secret", "/dev/zero", "\0"])
def test_weights_outside_the_folder_are_not_read(tmp_path, location):
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(bytes(48))
    (folder / "link").symlink_to(tmp_path / "secret")
    with_external(folder / "net.onnx", location.format(folder=folder))
    with pytest.raises(FileFormatError, match=r"the weights 'A' cannot be read: .*(outside the folder|embedded null)"):
        from_onnx(folder / "net.onnx")


@pytest.mark.parametrize(("options", "message"), [
    ({"location": "other"}, "No such file"),
    ({"location": "a"}, "48 bytes at 0 are expected in .*a, which has"),
    ({"location": "weights", "offset": 1}, "48 bytes at 1 are expected in .*weights, which has 48"),
    ({"location": "weights", "offset": -4}, "48 bytes at -4"),
    ({"location": "weights", "length": 44}, "48 bytes at 0"),
    ({"location": "weights", "offset": "x"}, "invalid literal"),
    ({"location": "weights", "dims": (2**31, 2**31), "length": 2**64}, "weights of shape .* are more than the file"),
])  # fmt: skip
def test_weights_that_are_not_there_are_refused(tmp_path, options, message):
    (tmp_path / "weights").write_bytes(bytes(48))
    (tmp_path / "a").mkdir()
    with_external(tmp_path / "net.onnx", **options)
    with pytest.raises(FileFormatError, match=message):
        from_onnx(tmp_path / "net.onnx")


HUGE = 2**40


@pytest.mark.parametrize("change", ["matrix", "mean", "batch norm", "shared", "negative"])
def test_a_file_that_claims_terabytes_allocates_nothing(path, change):
    model = parsed(graph(f"y = {DENSE}"))
    A = next(each for each in model.graph.initializer if each.name == "A")
    if change == "matrix":
        A.dims[:] = [HUGE, 4]
    elif change == "negative":
        A.dims[:] = [-3, -4]
    elif change == "mean":
        model = parsed(graph("y = Sub (x, one)", f"float[N, {HUGE}] x", constants="float one = {1.0}"))
    elif change == "batch norm":
        model = parsed(graph("y = BatchNormalization (x, a, a, a, a)", f"float[N, {HUGE}] x"))
        next(each for each in model.graph.initializer if each.name == "a").dims[:] = [HUGE]
    else:  # one matrix for many layers
        big = numpy_helper.from_array(np.ones((300, 300), "f4"), "big")
        body = " ".join(f"x{i + 1} = MatMul (x{i}, big)" for i in range(100))
        model = parsed(graph(f"x0 = Relu (x) {body} y = Relu (x100)", "float[N, 300] x"))
        model.graph.initializer.append(big)
    path.write_bytes(model.SerializeToString())
    with traced() as memory, pytest.raises(FileFormatError, match=r"more than the file holds|holds no values"):
        from_onnx(path)
    assert memory.peak < 3e7


def test_many_layers_are_read_in_time(path):
    body = " ".join(f"x{i + 1} = Relu (x{i})" for i in range(3000))
    write(path, graph(f"x0 = {DENSE} {body} y = Tanh (x3000)"))
    assert len(from_onnx(path).layers) == 3002
    body = " ".join(f"x{i + 1} = Add (x{i}, x{i})" for i in range(3000))  # doubles 3000 times
    with pytest.raises(FileFormatError, match="needs at least one layer"):
        from_onnx(write(path, graph(f"x0 = {DENSE} {body} y = Tanh (x3000)")))


def test_residuals_that_are_too_deep_are_refused(path):
    body = " ".join(f"u{i} = Relu (u{i - 1})" for i in range(1, 100))
    adds = " ".join(f"v{i} = Add (v{i - 1}, u{100 - i})" for i in range(1, 101))
    with pytest.raises(FileFormatError, match="over 32 residuals are inside each other"):
        from_onnx(write(path, graph(f"u0 = Tanh (x) {body} v0 = Relu (u99) {adds} y = Tanh (v100)")))


def test_damaged_files_are_refused_or_read_right(tmp_path):
    """As tests/fuzz/onnx_files.py, which tries many more."""
    rng, files, path = random.Random(0), valid_files(tmp_path), tmp_path / "net.onnx"
    results = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of onnx's evaluator
        for _ in range(400):
            path.write_bytes(mutated(rng, rng.choice(list(files.values()))))
            results.add(read_and_compare(path))
    assert {"refused", "equal"} <= results


# --- the document --------------------------------------------------------------------------------------------------


def test_the_example_of_the_document_runs_as_written(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "export.md"
    namespace = pages.run(pages.example(page, "import from_onnx"), page)
    np.testing.assert_allclose(namespace["p"], namespace["net"].predict(namespace["x"]), atol=1e-5)
