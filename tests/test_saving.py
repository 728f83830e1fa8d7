"""Models on disk: what is saved is what is loaded, and what is not a saved model is refused."""

import copy
import json
import os
import re
import stat
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from arrays import assert_equal
from changes import put, rewrite
from failing import failing
from hypothesis import given
from hypothesis import strategies as st
from networks import TwoBranches, every_layer
from safetensors.numpy import load_file, save_file

import minibp
from minibp import (
    SGD,
    AbsoluteLoss,
    BatchNorm,
    BinaryCrossEntropy,
    Checkpoint,
    CrossEntropy,
    Dense,
    HuberLoss,
    Layer,
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
    initializers,
    load,
    save,
    train,
)
from minibp.data import Dataset
from minibp.errors import ArgumentError, FileFormatError, NotWritableError, UnknownNameError
from minibp.files import tensorfile

on_every_library = pytest.mark.usefixtures("library")  # the files, which other tests are about, are equal


def trained(net):
    rng = np.random.default_rng(0)
    for _ in train(net, SGD(net), Dataset(rng.normal(size=(10, 2, 2)), rng.integers(3, size=10)), epochs=2):
        pass
    return net


def small():
    return Network([Dense(2, 3), BatchNorm(3)], QuadraticLoss())


@pytest.fixture
def path(tmp_path):
    """A small network, saved."""
    path = tmp_path / "net.safetensors"
    save(small(), path)
    return path


# --- what is loaded ------------------------------------------------------------------------------------------------


def test_the_network_of_every_layer_has_every_layer():
    public = [getattr(minibp, name) for name in minibp.__all__]
    layers = {each for each in public if isinstance(each, type) and issubclass(each, Layer) and each is not Layer}
    assert {type(module) for module in every_layer().modules() if isinstance(module, Layer)} == layers


@on_every_library
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_comes_back_bit_for_bit(tmp_path, dtype, rng):
    net = trained(every_layer(dtype=dtype))
    save(net, tmp_path / "net.safetensors")
    loaded = load(tmp_path / "net.safetensors", backend=net.backend)
    assert repr(loaded) == repr(net) and loaded.dtype == dtype
    assert_equal(loaded.params, net.params)
    assert_equal(loaded.buffers, net.buffers)
    x = rng.normal(size=(5, 2, 2))
    assert_equal(loaded.predict(x), net.predict(x))


@on_every_library
def test_a_users_layer_of_layers_comes_back(path, rng):
    net, x = trained(Network([Dense(4, 3), Residual(TwoBranches(3))], SoftmaxCrossEntropy())), rng.normal(size=(5, 4))
    save(net, path)
    assert "layers.1.0.right.inner.1.running_var" in load_file(path)
    assert_equal(load(path, backend=net.backend, own=[TwoBranches]).predict(x), net.predict(x))
    with pytest.raises(UnknownNameError, match="'TwoBranches'"):
        load(path)


@pytest.mark.parametrize(("last", "loss"), [
    ([], lambda: QuadraticLoss()),
    ([], lambda: AbsoluteLoss()),
    ([], lambda: HuberLoss(0.3)),
    ([], lambda: QuantileLoss(0.9)),
    ([], lambda: PoissonLoss()),
    ([Softmax], lambda: CrossEntropy()),
    ([Softmax], lambda: CrossEntropy(0.1)),
    ([], lambda: SoftmaxCrossEntropy()),
    ([], lambda: SoftmaxCrossEntropy(0.1)),
    ([Sigmoid], lambda: BinaryCrossEntropy()),
    ([], lambda: SigmoidCrossEntropy()),
], ids=lambda each: str(each()) if callable(each) else "")  # fmt: skip
def test_the_loss_comes_back(tmp_path, last, loss):
    net = Network([Dense(2, 2), *[layer() for layer in last]], loss())
    save(net, tmp_path / "net")
    loaded = load(tmp_path / "net")
    assert type(loaded.loss) is type(net.loss) and loaded.loss.config() == net.loss.config()
    assert loaded.fused_loss.config() == net.fused_loss.config()


@on_every_library
def test_equal_networks_give_equal_files(tmp_path):
    net = trained(every_layer())
    for name, each in (("a", net), ("b", copy.deepcopy(net))):
        save(each, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@on_every_library
def test_other_programs_find_the_arrays_by_plain_names(tmp_path):
    net = small()
    save(net, tmp_path / "net")
    arrays = load_file(tmp_path / "net")
    expected = {f"layers.{i}.{name}": array for i, layer in enumerate(net.layers)
                for name, array in {**layer.params, **layer.buffers}.items()}  # fmt: skip
    assert {"layers.0.W", "layers.1.running_mean"} < set(expected)
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        assert_equal(array, expected[name])


class Scale(Layer):
    """A user's layer, y = a x, whose parameter is a number."""

    def __init__(self, start):
        super().__init__()
        self.start = start
        self.add_parameter("a", (), initializers.Constant(start))

    def config(self):
        return {"start": self.start}

    def formula(self, x):
        return x * self.a

    def gradient(self, dy):
        self.da = (dy * self.x).sum()
        return dy * self.a


@on_every_library
def test_users_layers_are_loaded_if_their_classes_are_given(tmp_path):
    net = Network([Dense(2, 3), Scale(2)], QuadraticLoss())
    net.layers[1].a = 5
    save(net, tmp_path / "net")
    with pytest.raises(UnknownNameError, match=r"give your own as load\(path, own=.*'Scale': choose one of"):
        load(tmp_path / "net")
    loaded = load(tmp_path / "net", own=[Scale])
    assert loaded.layers[1].a == 5


# --- what is refused -----------------------------------------------------------------------------------------------


def put_negative_variance(net):
    net.layers[1].running_var = [1, -1, 1]


def put_other_size(net):
    net.layers[0].__dict__["n_out"] = 7  # past the refusal, as a subclass may


@pytest.mark.parametrize(("layer", "change", "message"), [
    (Dense(2, 3), put_negative_variance, "running_var must not hold negative numbers, received -1"),
    (Dense(2, 3), put_other_size, r"layer 1: BatchNorm\(3, .*\) is fed 7 values"),
])  # fmt: skip
def test_what_load_would_refuse_is_not_saved(layer, change, message, tmp_path):
    net = Network([layer, BatchNorm(3)], QuadraticLoss())
    change(net)
    with pytest.raises(ArgumentError, match=f"load would refuse this network, so nothing was written: .*{message}"):
        save(net, tmp_path / "net")
    assert not (tmp_path / "net").exists()


def test_a_missing_file_is_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        load(tmp_path / "net.safetensors")


def test_a_path_may_be_bytes(tmp_path):
    save(small(), os.fsencode(tmp_path / "net"))
    assert os.listdir(tmp_path) == ["net"]
    assert len(load(os.fsencode(tmp_path / "net")).layers) == 2


def test_a_layer_whose_name_is_not_a_string_is_unknown(path):
    for spec in ([["Dense"], {}], ["Sequential", {"layers": [{"layer": [["Dense"], {}]}]}]):
        rewrite(path, "network", put("layers", [spec]))
        with pytest.raises(UnknownNameError, match="unknown layer or loss"):
            load(path)


def test_an_unknown_backend_is_not_a_file_format_error(path):
    with pytest.raises(UnknownNameError, match="unknown backend 'torch'"):
        load(path, backend="torch")


@pytest.mark.parametrize("content", [b"", b"text", b"<html></html>" * 10, bytes(100)])
def test_other_files_are_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"net\.safetensors is not a readable safetensors file"):
        load(path)


@pytest.mark.parametrize("dtype", ["F32", "BF16"])  # one that NumPy has, and one that it lacks
def test_safetensors_files_of_other_programs_are_refused(path, dtype):
    header = json.dumps({"W": {"dtype": dtype, "shape": [0], "data_offsets": [0, 0]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(FileFormatError, match="was not written by minibp"):
        load(path)


@pytest.mark.parametrize(("change", "message"), [
    (lambda described, arrays: described.update(version=2), "format version 2, this minibp reads 1; upgrade minibp"),
    (lambda described, arrays: described.pop("layers"), r"description of the network is damaged \(KeyError"),
    (lambda described, arrays: described.update(layers=5), r"description of the network is damaged \(TypeError"),
    (lambda described, arrays: described.update(kind="checkpoint"), "holds 'checkpoint', expected 'network'"),
    (lambda described, arrays: described.update(dtype="int8"), "dtype must be"),
    (lambda described, arrays: described.update(loss=["Softmax", {}]), r"Softmax\(\) is not a loss"),
    (lambda described, arrays: described["layers"][0][1].update(n_in=10**15), r"shape \(1000000000000000, 3\)"),
    (lambda described, arrays: described["layers"][0][1].update(n_out="3"), "n_out must be an integer"),
    (lambda described, arrays: described["layers"][0][1].update(seed=1), "Dense has the argument seed, which no file"),
    (lambda described, arrays: described["layers"][0][1].update(W=[[1.0]]), "Dense has the argument W, which no file"),
    (lambda described, arrays: described["layers"].append(["LeakyReLU", {"slope": 10**400}]), "do not fit together"),
    (lambda described, arrays: described["layers"].clear(), "do not fit together"),
    (put("layers", [["Residual", {"layers": []}]]), "do not fit together"),
    (put("layers", [["Residual", {"layers": 3}]]), "do not fit together"),
    (put("layers", [["Residual", {"layers": [{"layer": ["Dense", {"n_in": 2, "n_out": 2, "W": 1}]}]}]]), "argument W"),
    (put("layers", [["Dense", {"": [2, 3, [[1.0] * 3] * 2]}]]), "unexpected keyword argument ''"),
    (put("layers", [["Dense", {"n_in": {"layer": ["ReLU", {}]}, "n_out": 3}]]), "n_in must be an integer"),
    (lambda described, arrays: arrays.update({"layers.0.b": np.zeros(3)}), r"b is float64, expected float32"),
    (lambda described, arrays: arrays.pop("layers.0.b"), r"missing or unexpected: layers\.0\.b"),
    (lambda described, arrays: arrays.update(extra=np.ones(1)), "missing or unexpected: extra"),
    (lambda described, arrays: arrays.update({"layers.0.b": np.ones(1, "float32")}), r"b must .* shape \(3,\)"),
])  # fmt: skip
def test_files_that_contradict_themselves_are_refused(path, change, message):
    rewrite(path, "network", change)
    with pytest.raises(FileFormatError, match=message):
        load(path)


@given(data=st.data())
def test_a_file_that_is_cut_off_or_damaged_anywhere_is_refused_or_read(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "net"
    save(small(), path)
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    path.write_bytes(content[:position])
    with pytest.raises(FileFormatError):
        load(path)
    content[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with suppress(FileFormatError):  # and no other error; a change that does not matter, as of a space, is read
        assert_equal(load(path).params, small().params)


def test_a_network_with_nan_in_its_weights_is_not_saved(path):
    before, net = path.read_bytes(), small()
    net.layers[0].W[0, 0] = np.nan
    with pytest.raises(ArgumentError, match=r"layers\.0\.W: NaN or infinite"):
        save(net, path)
    assert path.read_bytes() == before


class Weighted(QuadraticLoss):
    """A loss with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.add_parameter("s", (1,), np.ones(1))


def test_parameters_of_a_loss_are_saved(path):
    net = Network([Dense(2, 3)], Weighted())
    net.loss.s[:] = 0.25
    save(net, path)
    assert load(path, own=[Weighted]).loss.s == 0.25
    assert "loss.s" in load_file(path)


def own_layer(**attributes):
    """A user's class of layers with these attributes."""
    return type("Own", (Layer,), {"formula": lambda self, x: x, "gradient": lambda self, dy: dy, **attributes})


def with_slope(self, slope=0.1):
    Layer.__init__(self)
    self.slope = slope


def with_units(self, n):
    Layer.__init__(self)
    self.add_parameter("u", (n,), np.zeros(n))


def with_n(self, n):
    Layer.__init__(self)
    self.n = n + 1


def with_f(self, f):
    Layer.__init__(self)
    self.f = f


def with_inner(self):
    Layer.__init__(self)
    self.inner = LeakyReLU(0.01)


def with_inner_of(slope):
    """A user's layer whose `__init__` creates another, with this slope since."""
    layer = own_layer(__init__=with_inner)()
    layer.inner.slope = slope
    return layer


def with_more(name, value):
    """A user's layer that has got another layer or a parameter since it was created."""
    layer = own_layer()()
    if isinstance(value, Layer):
        setattr(layer, name, value)
    else:
        layer.add_parameter(name, (2,), value)
    return layer


class Wide(LeakyReLU):
    def __init__(self, slope=0.01, gain=1.0):
        super().__init__(slope)
        self.gain = gain


@pytest.mark.parametrize(("layer", "message"), [
    (type("Sigmoid", (Sigmoid,), {})(), "there is a class Sigmoid, but another one of this name, too: rename it"),
    (own_layer(__init__=with_slope)(0.5), r"Own: after load its slope would be 0\.1, not 0\.5; let config"),
    (Wide(0.01, gain=3.0), r"Wide: after load its gain would be 1\.0, not 3\.0"),
    (own_layer(__init__=with_units, config=lambda self: {"n": 4})(3),
     r"Own: after load its parameters would be .*\(4,\).*not .*\(3,\)"),
    (own_layer(__init__=with_units, config=lambda self: {"n": "x"})(3), "cannot be created from its config"),
    (own_layer(__init__=with_n, config=lambda self: {"n": self.n})(3),
     r"Own: after load its config\(\) would be .*5.*, not .*4"),
    (own_layer(__init__=with_f, config=lambda self: {"f": self.f})(np.tanh),
     "Own cannot be created from .*<ufunc 'tanh'> is a ufunc"),
    (Sequential(Wide(0.01, gain=3.0)), r"layers\.1\.0: Wide: after load its gain would be 1\.0, not 3\.0"),
    (with_inner_of(0.5), r"layers\.1\.inner: LeakyReLU: after load its config\(\) would be .*0\.01.*, not .*0\.5"),
    (with_more("V", np.zeros(2)), r"layers\.1: Own: after load its parameters would be .*, not .*'V': \(2,\)"),
    (with_more("inner", LeakyReLU()), r"after load there would be other layers: layers\.1\.inner differ"),
])  # fmt: skip
def test_a_layer_that_load_would_change_is_not_saved(path, layer, message):
    before = path.read_bytes()
    with pytest.raises(ArgumentError, match=message):
        save(Network([Dense(3, 3), layer, Dense(3, 3)], QuadraticLoss()), path)
    assert path.read_bytes() == before


def test_a_tuple_in_config_comes_back_as_a_list(path):
    own = own_layer(__init__=with_f, config=lambda self: {"f": tuple(self.f)})
    save(Network([own((1, 3)), Dense(3, 3)], QuadraticLoss()), path)
    assert load(path, own=[own]).layers[0].f == [1, 3]


def test_numbers_of_numpy_come_back_as_the_same_numbers(path):
    own = own_layer(__init__=with_units, config=lambda self: {"n": np.int64(3)})
    save(Network([own(3), LeakyReLU(np.float32(0.25)), Dense(np.int64(3), 3)], QuadraticLoss()), path)
    loaded = load(path, own=[own])
    assert loaded.layers[0].u.shape == (3,) and loaded.layers[1].slope == 0.25


def test_two_classes_of_the_same_name_are_refused(path):
    one, other = own_layer(), own_layer()
    with pytest.raises(ArgumentError, match="there is a class Own, but another one of this name"):
        save(Network([one(), other(), Dense(3, 3)], QuadraticLoss()), path)
    for own in ([one, other], [type("Sigmoid", (Sigmoid,), {})]):
        with pytest.raises(ArgumentError, match="but another one of this name"):
            load(path, own=own)


def test_more_layers_than_a_file_may_have_are_refused(path):
    rewrite(path, "network", put("layers", [["ReLU", {}]] * 10_001))
    with pytest.raises(FileFormatError, match="describes over 10,000 layers"):
        load(path)
    with pytest.raises(ArgumentError, match="up to 10,000 layers, this one has 10,000"):
        save(Network([ReLU() for _ in range(9_999)] + [Dense(2, 2)], QuadraticLoss()), path)


def test_layers_that_are_nested_too_deep_for_a_file_are_not_saved(path):
    layer = Dense(2, 2)
    for _ in range(15):
        layer = Sequential(layer)
    with pytest.raises(ArgumentError, match="its description is nested over 64 deep, as of layers inside layers"):
        save(Network([layer], QuadraticLoss()), path)


def test_a_description_that_is_too_long_is_neither_read_nor_written(path, monkeypatch):
    monkeypatch.setattr(tensorfile, "LONGEST", 100)
    with pytest.raises(FileFormatError, match=r"its header would take \d+ bytes, and minibp's up to 100"):
        load(path)
    with pytest.raises(ArgumentError, match="a file may have 100"):
        save(small(), path)


def exchanged(content):
    """The bytes of a file with the names of two arrays of one shape exchanged."""
    return content.replace(b'"layers.1.beta"', b'"!"').replace(b'"layers.1.gamma"', b'"layers.1.beta"').replace(
        b'"!"', b'"layers.1.gamma"'
    )  # fmt: skip


def test_names_are_part_of_the_checksum(path):
    path.write_bytes(exchanged(path.read_bytes()))
    with pytest.raises(FileFormatError, match="damaged"):
        load(path)


def test_a_link_stays_and_leads_to_the_new_file(path, tmp_path):
    (tmp_path / "folder").mkdir()
    link = tmp_path / "folder" / "link"
    link.symlink_to(path)
    save(Network([Dense(1, 1)], QuadraticLoss()), link)
    assert link.is_symlink() and len(load(path).layers) == 1
    assert os.listdir(tmp_path / "folder") == ["link"]


def test_a_pipe_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotWritableError, match="is a folder, a pipe or a device; expected the name of a file"):
        save(small(), tmp_path / "pipe")
    assert os.listdir(tmp_path) == ["pipe"]


def test_contents_reach_the_disk_before_the_name(path, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace

    def synced(file):
        about = os.fstat(file)
        kind = "folder" if stat.S_ISDIR(about.st_mode) else f"{about.st_size} bytes"
        calls.append(f"fsync {kind}")
        fsync(file)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", lambda *names: calls.append("replace") or replace(*names))
    save(small(), path)
    assert calls == [f"fsync {path.stat().st_size} bytes", "replace", "fsync folder"]


@pytest.mark.parametrize("own", [3, ["Dense"], [Dense(2, 2)], Network])
def test_own_must_be_classes_of_layers_and_losses(path, own):
    with pytest.raises(ArgumentError, match=r"own must be classes of layers and losses, .* write own=\[MyLayer\]"):
        load(path, own=own)


def test_strings_from_a_file_cannot_control_a_terminal(path):
    rewrite(path, "network", lambda described, arrays: arrays.update({"\x1b[2J": np.ones(1, "float32")}))
    with pytest.raises(FileFormatError, match=r"missing or unexpected: \\x1b\[2J"):
        load(path)


@pytest.mark.parametrize("name", ["\x1b[2J", "\u202e"])
def test_what_safetensors_says_of_a_file_cannot_control_a_terminal(path, name):
    header = json.dumps({"__metadata__": {"minibp": "{}"}, "W": {"dtype": name}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(FileFormatError, match="not a readable safetensors file: ") as caught:
        load(path)  # only newer versions of safetensors quote the name
    assert str(caught.value).isprintable()


def test_a_negative_variance_is_refused(path):
    def negative(described, arrays):
        arrays["layers.1.running_var"][0] = -1

    save(Network([Dense(2, 3), BatchNorm(3)], SoftmaxCrossEntropy()), path)
    rewrite(path, "network", negative)
    with pytest.raises(FileFormatError, match="running_var must not hold negative numbers, received -1"):
        load(path)


@pytest.mark.parametrize("name", ["Module", "Layer", "Loss", "Normalization"])
def test_base_classes_are_not_loaded_as_layers(path, name):
    rewrite(path, "network", lambda described, arrays: described["layers"].append([name, {}]))
    with pytest.raises(UnknownNameError, match=f"'{name}'"):
        load(path)


def test_a_folder_is_not_a_saved_network(tmp_path):
    with pytest.raises(FileFormatError, match="is a folder, a pipe or a device"):
        load(tmp_path)


def test_a_file_whose_description_is_damaged_is_refused(path):
    for text in ("[" * 100_000, "5", "{}", '{"contents": 5, "sha256": ""}'):
        save_file(load_file(path), path, {"minibp": text})
        with pytest.raises(FileFormatError, match="its description is damaged"):
            load(path)


# --- on the disk ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_an_error_of_the_disk_names_the_file(path, monkeypatch, fails):
    monkeypatch.setattr(os, fails, failing(OSError(28, "No space left on device", "x.part", None, "y")))
    with pytest.raises(OSError, match=re.escape(f"No space left on device: '{path}'") + "$"):
        save(small(), path)


@pytest.mark.parametrize("name", ["", "out/"])
def test_a_path_without_a_name_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for write in (lambda: save(small(), name), lambda: Checkpoint(name)):
        with pytest.raises(ArgumentError, match=f"the path '{name}' ends without a name; expected the name of a file"):
            write()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_file_that_cannot_be_written_leaves_the_old_one(path, monkeypatch, fails):
    before = path.read_bytes()
    monkeypatch.setattr(os, fails, failing(OSError("the disk is full")))
    with pytest.raises(OSError, match="disk is full"):
        save(trained(every_layer()), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_saved_file_has_the_permissions_of_any_new_file(path):
    other = path.with_name("other")
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode


def test_a_file_keeps_its_permissions_when_it_is_replaced(path):
    path.chmod(0o600)
    save(small(), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_read_only_file_is_not_replaced(path):
    before = path.read_bytes()
    path.chmod(0o444)
    with pytest.raises(NotWritableError, match=r"is read-only; make it writable \(chmod u\+w\), or choose another"):
        save(trained(every_layer()), path)
    assert path.read_bytes() == before and stat.S_IMODE(path.stat().st_mode) == 0o444


def test_a_file_that_is_overwritten_in_place_while_it_is_loaded_does_no_harm(path, monkeypatch):
    @contextmanager
    def opened(*arguments):
        with open(*arguments) as file:
            yield file
        path.write_bytes(b"")  # a process that had mapped the file into memory would die

    monkeypatch.setattr(tensorfile, "open", opened, raising=False)
    assert_equal(load(path).params, small().params)


def test_pytorch_reads_the_weights(tmp_path):
    pytest.importorskip("torch")
    from safetensors.torch import load_file as load_tensors

    net = small()
    save(net, tmp_path / "net")
    tensors = load_tensors(tmp_path / "net")
    assert_equal(tensors["layers.0.W"].numpy(), net.layers[0].W)
