"""ONNX files for tests: valid ones, also such as torch.onnx writes, and mutations of them."""

import copy

import numpy as np
import onnx
import onnx.parser
import onnx.reference
from networks import every_layer

from minibp import Dense, Dropout, Network, PoissonLoss, ReLU, SoftmaxCrossEntropy
from minibp.errors import DivergenceError, FileFormatError
from minibp.export import from_onnx, to_onnx

# What torch.onnx 2.13 writes for Sequential(Flatten(), Linear(4, 3), BatchNorm1d(3), Softplus(), Residual(Linear(3, 2),
# GELU("tanh"), Linear(2, 3, bias=False)), LayerNorm(3), Softmax(1)), with dynamo=False and with dynamo=True. There the
# weights come from PARAMETERS. The second one has no BatchNorm: it is part of the Linear before.
PARAMETERS = {
    "A": (3, 4), "a": (3,), "g": (3,), "m": (3,), "v": (3,), "B": (2, 3), "b": (2,), "C": (2, 3), "D": (3, 2)
}  # fmt: skip
BY_TORCH = {
    "torch": """
<ir_version: 8, opset_import: ["": 17], producer_name: "pytorch">
main_graph (float[batch, 2, 2] x) => (float[batch, 3] y) {
    g2 = Identity (g)
    x0 = Flatten <axis = 1> (x)
    x1 = Gemm <alpha = 1.0, beta = 1.0, transB = 1> (x0, A, a)
    x2 = BatchNormalization <epsilon = 1e-5, momentum = 0.9, training_mode = 0> (x1, g, a, m, v)
    x3 = Softplus (x2)
    x4 = Gemm <alpha = 1.0, beta = 1.0, transB = 1> (x3, B, b)
    s1 = Mul (x4, x4)
    s2 = Mul (x4, s1)
    c1 = Constant <value = float {0.044715}> ()
    s3 = Mul (c1, s2)
    s4 = Add (x4, s3)
    c2 = Constant <value = float {0.7978846}> ()
    s5 = Mul (c2, s4)
    s6 = Tanh (s5)
    c3 = Constant <value = float {1.0}> ()
    s7 = Add (c3, s6)
    s8 = Mul (x4, s7)
    c4 = Constant <value = float {0.5}> ()
    x5 = Mul (c4, s8)
    x6 = MatMul (x5, C)
    x7 = Add (x3, x6)
    x8 = LayerNormalization <axis = -1, epsilon = 1e-5> (x7, g2, a)
    y = Softmax <axis = 1> (x8)
}""",
    "torch with dynamo": """
<ir_version: 10, opset_import: ["": 20], producer_name: "pytorch">
main_graph (float[batch, 2, 2] input) => (float[batch, 3] y)
<int64[2] to = {-1, 4}, float twenty = {20.0}, float three = {3.0}> {
    x0 = Reshape <allowzero = 1> (input, to)
    x1 = Gemm <transA = 0, transB = 1> (x0, A, a)
    t = Softplus (x1)
    large = Greater (x1, twenty)
    x3 = Where (large, x1, t)
    x4 = Gemm <beta = 1.0, transB = 1> (x3, B, b)
    x5 = Gelu <approximate = "tanh"> (x4)
    x6 = Gemm <transB = 1> (x5, D)
    x7 = Add (x3, x6)
    x8 = LayerNormalization <axis = -1, epsilon = 1e-5, stash_type = 1> (x7, g, a)
    y = Softmax <axis = 1> (x8)
}""",
}


def parsed(text):
    """A model from its text, with weights for those of PARAMETERS that it uses."""
    model, rng = onnx.parser.parse_model(text), np.random.default_rng(0)
    used = {name for node in model.graph.node for name in node.input}
    for name, shape in PARAMETERS.items():
        if name in used:
            values = rng.uniform(0.2, 1, shape).astype("f4")
            model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return model


def valid_files(folder):
    """The bytes of a few valid files, by name."""
    digits = Network([Dense(4, 3), Dropout(0.5), ReLU(), Dense(3, 3)], SoftmaxCrossEntropy())
    digits.class_names, digits.column_names = ["a", "b", "c"], ["p", "q", "r", "s"]
    counts = Network([Dense(4, 1)], PoissonLoss(), dtype="float64")
    files = {name: parsed(text).SerializeToString() for name, text in BY_TORCH.items()}
    for name, net, options in (
        ("float32", every_layer(), {"sample_shape": (2, 2)}),
        ("float64", every_layer(dtype="float64"), {}),
        ("uint8", digits, {"scale_uint8": True, "sample_shape": (2, 2)}),
        ("counts", counts, {}),
    ):
        to_onnx(net, folder / "net.onnx", **options)
        files[name] = (folder / "net.onnx").read_bytes()
    return files


# ---- mutations

INTEGERS = [0, 1, -1, 2, 3, 4, 7, 8, 11, 13, 255, 2**31 - 1, -(2**31), 2**40, 2**62, 2**63 - 1, -(2**63)]
FLOATS = [0.0, 1.0, -1.0, 0.5, 2.0, 20.0, 1e-5, 1e30, -1e30, 1e-45, float("nan"), float("inf")]
STRINGS = [
    "", "x", "y", "probabilities", "layers.0.W", "../../etc/passwd", "/etc/passwd", "net.onnx", ".", "0", "-1",
    "9" * 30, "Erf", "Conv", "LogSoftmax", "Dropout", "Identity", "Add", "Mul", "Sub", "Div", "Cast", "Reshape",
    "Constant", "MatMul", "Exp", "location", "offset", "length", "minibp", "loss", "class_names", "axis", "alpha",
    "training_mode", "tanh", "[" * 500, '["a", "a", "b"]', '["HuberLoss", {"delta": -1}]', '["Dense", {}]', "\0",
]  # fmt: skip


def repeated(field):
    """Whether a field of a message is a list; the newest protobuf has a word for it."""
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED


def places(message, found):
    """Every field of a protobuf message and those inside, as (message, field)."""
    for field, value in message.ListFields():
        found.append((message, field))
        if field.type == field.TYPE_MESSAGE:
            for each in value if repeated(field) else [value]:
                places(each, found)
    return found


def other_value(rng, field, donors):
    """A value for a field: a strange one, or that of the same field elsewhere."""
    if donors and rng.random() < 0.5:
        value = getattr(*rng.choice(donors))
        return rng.choice(list(value)) if repeated(field) and len(value) else value
    kinds = {field.CPPTYPE_FLOAT: FLOATS, field.CPPTYPE_DOUBLE: FLOATS, field.CPPTYPE_STRING: STRINGS}
    value = rng.choice(kinds.get(field.cpp_type, INTEGERS))
    return value.encode() if field.type == field.TYPE_BYTES else value


def changed(rng, model):
    """Change one field of a model: removed, doubled, moved, or with another value."""
    spots = places(model, [])
    message, field = rng.choice(spots)
    donors = [(each, f.name) for each, f in spots if f.full_name == field.full_name]
    value = getattr(message, field.name)
    try:
        if rng.random() < 0.2:
            message.ClearField(field.name)
        elif field.type == field.TYPE_MESSAGE:
            if not repeated(field):
                value.CopyFrom(getattr(*rng.choice(donors)))
            elif rng.random() < 0.3:
                del value[rng.randrange(len(value))]
            elif rng.random() < 0.5:
                value.insert(rng.randrange(len(value)), copy.deepcopy(rng.choice(getattr(*rng.choice(donors)))))
            else:
                a, b = rng.randrange(len(value)), rng.randrange(len(value))
                kept = copy.deepcopy(value[a])
                value[a].CopyFrom(value[b])
                value[b].CopyFrom(kept)
        elif repeated(field):
            what = rng.random()
            if what < 0.2:
                del value[rng.randrange(len(value))]
            elif what < 0.4:
                value.append(other_value(rng, field, donors))
            else:
                value[rng.randrange(len(value))] = other_value(rng, field, donors)
        else:
            setattr(message, field.name, other_value(rng, field, donors))
    except (ValueError, TypeError, IndexError):  # not every field takes every number
        return


def mutated(rng, content):
    """The bytes of a file, changed: single bytes, or fields of the model."""
    if rng.random() < 0.3:
        spoilt = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            spoilt[rng.randrange(len(spoilt))] = rng.choice([0, 1, 255, 128, rng.randrange(256)])
        return bytes(spoilt[: rng.choice([len(spoilt), len(spoilt), rng.randrange(len(spoilt))])])
    model = onnx.ModelProto.FromString(content)
    for _ in range(rng.choice([1, 1, 2, 3])):
        changed(rng, model)
    return model.SerializeToString()


def read_and_compare(path):
    """Read a file. "refused", or how its network was compared with onnx's own evaluation of the graph.

    An AssertionError if they differ.
    """
    try:
        net = from_onnx(path)
    except FileFormatError as error:
        assert str(error)
        return "refused"
    model = onnx.load_model(path)
    stored = {each.name for each in model.graph.initializer}
    takes = next(each for each in model.graph.input if each.name not in stored)
    sizes = [each.dim_value for each in takes.type.tensor_type.shape.dim][1:]
    shape = tuple(sizes) if sizes and min(sizes) > 0 else net.layers[0].in_shape or (4,)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, *shape)).astype("f8" if takes.type.tensor_type.elem_type == 11 else "f4")
    if takes.type.tensor_type.elem_type == 2:
        x = rng.integers(0, 256, (3, *shape), "u1")
    with np.errstate(all="ignore"):
        try:
            p = net.predict(x)
        except DivergenceError:
            return "too large"
        except Exception as error:
            raise AssertionError(f"{net} does not predict: {error}") from error
        try:
            (y,) = onnx.reference.ReferenceEvaluator(model).run(None, {takes.name: x})
        except Exception:  # the file breaks a rule that does not matter to minibp
            return "not evaluated"
    if not np.isfinite(y).all() or max(abs(net.params).max(initial=0), abs(net.buffers).max(initial=0)) > 1e3:
        return "too large"
    assert p.shape == y.shape, (net, p.shape, y.shape)
    np.testing.assert_allclose(p, y, rtol=2e-3, atol=2e-4, err_msg=str(net))
    return "equal"
