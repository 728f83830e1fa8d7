"""Augmentation: what is done to images in training, how often, and that inference knows nothing of it."""

import copy
import math

import numpy as np
import pytest
from arrays import assert_close, assert_equal, host
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from minibp import (
    Adam,
    Checkpoint,
    CrossEntropy,
    Dense,
    ElasticDistortion,
    Flatten,
    GaussianNoise,
    Network,
    QuadraticLoss,
    RandomAffine,
    Sequential,
    Softmax,
    check_gradients,
    load,
    save,
    train,
)
from minibp.augmentation import RMS, gaussian
from minibp.data import Dataset
from minibp.errors import ArgumentError, ShapeError, StateError

pytestmark = pytest.mark.usefixtures("library")

SIGMAS = 5  # how far from its mean a statistic of random numbers may lie
ALL = {
    "RandomAffine": lambda **more: RandomAffine(20, 0.2, 10, 0.1, **more),
    "ElasticDistortion": lambda **more: ElasticDistortion(8, 2, 20, 0.2, 10, 0.1, **more),
    "GaussianNoise": lambda **more: GaussianNoise(0.2, **more),
}
every_layer = pytest.mark.parametrize("make", ALL.values(), ids=ALL)
of_images = pytest.mark.parametrize("make", list(ALL.values())[:2], ids=list(ALL)[:2])


def images(n=3, h=8, w=7):
    return np.random.default_rng(5).uniform(0.1, 1, (n, h, w))


class Watched(ElasticDistortion):
    """Keeps the places in the images that it reads, without the border."""

    def find_places(self):
        super().find_places()
        self.rows, self.columns = host(self.py) - 1, host(self.px) - 1


def with_numbers(layer, **numbers):
    """The layer, with these in the place of random numbers in [-1, 1), and 0 for the others."""
    names = ("rotation", "shear", "scale_x", "scale_y", "translation_x", "translation_y")

    def bits(counter, out, shifted, start=0):
        for i, name in enumerate(names):
            out[:, i] = int((numbers.get(name, 0) + 1) * 2**31)
        return out

    layer.bits = bits
    return layer


# --- what is done to an image ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [RandomAffine(0, 0, seed=1), ElasticDistortion(0, seed=1)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ranges_of_zero_give_the_images_bit_for_bit(layer, dtype):
    x = images().astype(dtype)
    assert_equal(copy.deepcopy(layer).astype(dtype).forward(x), x)


X, SHIFT = images(1, 7, 7)[0], RandomAffine(0, 0, translation=2 / 7)
KNOWN = {
    "a quarter turn": (RandomAffine(90, 0), {"rotation": -1}, np.rot90(X)),
    "shifted to the left": (SHIFT, {"translation_x": -1}, np.pad(X, [(0, 0), (0, 2)])[:, 2:]),
    "shifted upwards": (SHIFT, {"translation_y": -1}, np.pad(X, [(0, 2), (0, 0)])[2:]),
    "half as wide": (RandomAffine(0, 0.5), {"scale_x": -1}, np.pad(X[:, 1::2], [(0, 0), (2, 2)])),
    "half as high": (RandomAffine(0, 0.5), {"scale_y": -1}, np.pad(X[1::2], [(2, 2), (0, 0)])),
    "sheared by 45 degrees": (
        RandomAffine(0, 0, 45), {"shear": -1},
        np.stack([np.pad(row, 3)[i:][:7] for i, row in enumerate(X)]),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("layer", "numbers", "expected"), KNOWN.values(), ids=KNOWN)
def test_known_numbers_give_known_images(layer, numbers, expected):
    y = with_numbers(copy.deepcopy(layer), **numbers).forward(X[None])
    assert_close(y[0], expected, atol=1e-12)


@given(h=st.integers(2, 9), w=st.integers(2, 9), n=st.integers(1, 3), seed=seeds)
def test_each_pixel_is_read_between_the_four_around_its_place(h, w, n, seed):
    x = np.random.default_rng(seed).normal(size=(n, h, w))
    layer = Watched(min(16.0, 1.2 * min(h, w) / RMS / 4), 2, 60, 0.5, 30, 0.3, seed=seed)
    y = host(layer.forward(x))

    def pixel(k, i, j):
        return x[k, i, j] if 0 <= i < h and 0 <= j < w else 0.0

    for k, i, j in np.ndindex(y.shape):
        row, column = layer.rows[k, i, j], layer.columns[k, i, j]
        top, left = math.floor(row), math.floor(column)
        down, right = row - top, column - left
        upper = pixel(k, top, left) * (1 - right) + pixel(k, top, left + 1) * right
        lower = pixel(k, top + 1, left) * (1 - right) + pixel(k, top + 1, left + 1) * right
        assert y[k, i, j] == pytest.approx(upper * (1 - down) + lower * down, abs=1e-12)


@every_layer
def test_at_inference_nothing_changes_and_no_step_is_counted(make):
    layer, x = make(seed=0), images()
    layer.training = False
    assert_equal(layer.forward(x), x)
    assert_equal(layer.backward(x), x)
    assert layer.step == 0


@every_layer
def test_inference_takes_no_memory_and_training_takes_it_later(make):
    layer, x = make(seed=0), images()
    layer.training = False
    layer.forward(x)
    assert not layer._memory.flat
    layer.training = True
    assert_equal(layer.forward(x), make(seed=0).forward(x))
    layer.training = False
    assert_equal(layer.forward(x), x)


@of_images
def test_rows_with_an_image_shape_are_images(make):
    x = images()
    assert_equal(make(seed=3, image_shape=(8, 7)).forward(x.reshape(3, -1)), make(seed=3).forward(x).reshape(3, -1))


@every_layer
def test_results_do_not_depend_on_the_samples_that_follow_in_the_batch(make):
    x = images(7)
    assert_close(make(seed=1).forward(x[:3]), host(make(seed=1).forward(x))[:3], rtol=1e-12)


@every_layer
def test_each_step_draws_others_and_the_same_step_the_same(make):
    x, layer, other = images(), make(seed=1), make(seed=1)
    first, second = host(layer.forward(x)).copy(), host(layer.forward(x)).copy()
    assert abs(first - second).max() > 0.01
    other.step = 1
    assert_equal(other.forward(x), second)


# --- how often -------------------------------------------------------------------------------------------------------


def test_numbers_of_an_affine_map_are_uniform_in_their_ranges():
    layer, n = Watched(0, 4, rotation=30, seed=2), 2000
    layer.forward(np.zeros((n, 5, 5)))
    right, down = (layer.columns[:, 2, 4] - 2, layer.rows[:, 2, 4] - 2)
    angles = np.degrees(np.arctan2(down, right))
    assert abs(angles).max() <= 30 and abs(angles.mean()) < SIGMAS * 30 / math.sqrt(3 * n)
    shares = np.histogram(angles, 10, (-30, 30))[0] / n
    assert abs(shares - 0.1).max() < SIGMAS * math.sqrt(0.1 * 0.9 / n)


def test_scales_and_shifts_of_both_directions_are_independent():
    layer, n = Watched(0, 4, scale=0.5, translation=0.5, seed=2), 2000
    layer.forward(np.zeros((n, 5, 5)))
    numbers = [layer.columns[:, 0, 4] - layer.columns[:, 0, 0], layer.rows[:, 4, 0] - layer.rows[:, 0, 0]]
    middles = [layer.columns[:, 2, 2] * numbers[0], layer.rows[:, 2, 2] * numbers[1]]
    scales = [4 / each for each in numbers]
    assert all(0.5 <= each.min() < 0.51 and 1.49 < each.max() <= 1.5 for each in scales)
    assert abs(np.corrcoef([*scales, *middles]) - np.eye(4)).max() < 3 * SIGMAS / math.sqrt(n)
    assert abs(np.corrcoef(scales)[0, 1]) < SIGMAS / math.sqrt(n)


@pytest.mark.parametrize("sigma", [0.5, 3])
def test_the_gaussian_has_the_sum_one_and_this_deviation(sigma):
    row = gaussian(61, sigma, np, "float64")[30]
    assert row.sum() == pytest.approx(1, abs=0.02 if sigma == 0.5 else 1e-9)
    assert (row * (np.arange(61) - 30) ** 2).sum() == pytest.approx(sigma**2, rel=0.15 if sigma == 0.5 else 1e-9)


def test_displacements_of_a_field_are_as_large_and_as_smooth_as_stated():
    layer, n, sigma = Watched(20, 3, seed=2), 400, 3
    layer.forward(np.zeros((n, 41, 41)))
    moved = np.stack([layer.columns - np.arange(41), layer.rows - np.arange(41)[:, None]])[:, :, 16:25, 16:25]
    size = RMS * 20 / sigma
    assert moved[..., 4, 4].mean() == pytest.approx(0, abs=SIGMAS * size / math.sqrt(2 * n))
    assert moved[..., 4, 4].std() == pytest.approx(size, rel=SIGMAS / math.sqrt(4 * n))
    for distance in (1, 4):  # a Gaussian smoothed by itself
        together = (moved[..., 0, 0] * moved[..., 0, distance]).mean() / size**2
        assert together == pytest.approx(math.exp(-(distance**2) / (4 * sigma**2)), abs=SIGMAS * 1.5 / math.sqrt(2 * n))
    assert abs(np.corrcoef(moved[0, :, 4, 4], moved[1, :, 4, 4])[0, 1]) < SIGMAS / math.sqrt(n)


def test_noise_is_normal():
    n = 2**18
    noise = np.sort(host(GaussianNoise(0.5, seed=3).forward(np.ones((1, n)))).ravel() - 1) / 0.5
    assert abs(noise.mean()) < SIGMAS / math.sqrt(n)
    assert abs((noise**2).mean() - 1) < SIGMAS * math.sqrt(2 / n)
    for place, share in ((-3, 0.0013499), (-2, 0.0227501), (-1, 0.1586553), (1, 0.8413447), (2, 0.9772499)):
        assert abs((noise < place).mean() - share) < SIGMAS * math.sqrt(share * (1 - share) / n)


def test_noise_of_neighbours_is_independent():
    noise = host(GaussianNoise(1, seed=3).forward(np.zeros((64, 1024))))
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < SIGMAS / math.sqrt(noise.size)


# --- in a network ----------------------------------------------------------------------------------------------------


def network(make, **options):
    return Network([make(), Flatten(), Dense(56, 3), Softmax()], CrossEntropy(), **options)


@every_layer
def test_a_network_trains_on_changed_images_and_predicts_on_those_given(make):
    net, x, t = network(make), images(20).astype("float32"), np.arange(20) % 3
    plain = Network(copy.deepcopy(net.layers[1:]), CrossEntropy())
    assert_equal(net.predict(x), plain.predict(x))
    assert float(net.forward(x, t)) != float(plain.forward(x, t))
    assert net.layers[0].step == 1


@every_layer
def test_gradients_are_checked_without_augmentation_and_the_report_says_so(make):
    net, x, t = network(make), images(4), np.array([0, 2, 1, 1])
    report = check_gradients(net, x, t)
    assert report.ok and report.turned_off == [f"layer 0: {net.layers[0]}"]
    assert str(report).endswith(f"\naugmentation is turned off here: layer 0: {net.layers[0]}")
    assert net.layers[0].training
    alone = check_gradients(make(), x)
    assert alone.ok and alone.turned_off == [str(make())]


def trained(make, path, compiled, stop=None):
    net, dataset = network(make), Dataset(images(20).astype("float32"), np.arange(20) % 3)
    for epoch in train(net, Adam(net), dataset, 4, 8, checkpoint=Checkpoint(path), compiled=compiled):
        if epoch.number == stop:
            break
    return net


def assert_resumes(make, folder, compiled):
    whole = trained(make, folder / "whole", compiled)
    trained(make, folder / "stopped", compiled, stop=2)
    resumed = trained(make, folder / "stopped", compiled)
    assert_equal(resumed.params, whole.params)
    assert resumed.layers[0].step == whole.layers[0].step == 12


@every_layer
def test_a_resumed_training_ends_with_the_same_bits(make, tmp_path):
    assert_resumes(make, tmp_path, compiled=False)


@pytest.mark.host
@every_layer
def test_a_resumed_compiled_training_ends_with_the_same_bits(make, tmp_path):
    pytest.importorskip("numba")
    assert_resumes(make, tmp_path, compiled=True)


@pytest.mark.parametrize("make", [*ALL.values(), lambda: RandomAffine(image_shape=(8, 7))])
def test_a_saved_network_has_its_augmentation(make, tmp_path):
    net = network(make)
    save(net, tmp_path / "net.safetensors")
    assert repr(load(tmp_path / "net.safetensors")) == repr(net)


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomAffine(rotation=91), r"rotation must lie in \[0, 90\], received 91, which would turn .*quarter"),
        (lambda: RandomAffine(rotation=-5), "rotation must be a finite number of at least 0"),
        (lambda: RandomAffine(scale=1), r"scale must lie in \[0, 0.5\], received 1, which would leave too little"),
        (lambda: RandomAffine(shear=60), r"shear must lie in \[0, 45\], received 60, which would move most"),
        (lambda: RandomAffine(translation=3), r"translation must lie in \[0, 0.5\], received 3, which would move"),
        (lambda: RandomAffine(rotation=math.nan), "rotation must be a finite number"),
        (lambda: RandomAffine(image_shape=784), r"image_shape must be \(height, width\), as \(28, 28\), received 784"),
        (lambda: RandomAffine(image_shape=(0, 9)), "image_shape must be an integer of at least 1"),
        (lambda: ElasticDistortion(34, 2), "alpha 34 with sigma 2 folds images .*an alpha of at most 16"),
        (lambda: ElasticDistortion(sigma=0.1), "sigma must be a finite number of at least 0.5"),
        (lambda: GaussianNoise(-1), "std must be a finite number of at least 0"),
    ],
)
def test_ranges_that_leave_nothing_of_an_image_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_a_field_that_is_made_to_fold_later_is_refused():
    layer = ElasticDistortion(seed=0)
    layer.sigma = 1
    with pytest.raises(ArgumentError, match="folds images over themselves"):
        layer.forward(images(1, 28, 28))


@of_images
def test_rows_without_an_image_shape_are_refused(make):
    message = r"is fed 56 values, but takes images \(H, W\); for others say .*\(..., image_shape=\(28, 28\)\)"
    with pytest.raises(ShapeError, match=message):
        make().forward(np.zeros((2, 56)))
    with pytest.raises(ShapeError, match=message):
        Network([Dense(4, 56), make(), Dense(56, 3)], QuadraticLoss())
    with pytest.raises(ShapeError, match="is fed 56 values, but takes 64 values"):
        make(image_shape=(8, 8)).forward(np.zeros((2, 56)))


def test_images_that_are_too_small_for_a_field_are_refused():
    with pytest.raises(ShapeError, match=r"by about 1.4 to each side, too far for images of 4 x 9; use a smaller"):
        ElasticDistortion().forward(np.zeros((2, 4, 9)))


@of_images
def test_a_layer_that_trains_before_images_are_moved_is_refused(make):
    layers = [Dense(56, 56), make(image_shape=(8, 7)), Dense(56, 3)]
    with pytest.raises(ArgumentError, match="passes no gradient back: put it before the first layer that trains"):
        Network(layers, QuadraticLoss())
    layer = Sequential(make(image_shape=(8, 7)), Dense(56, 3))
    layer.forward(np.zeros((2, 56)))
    with pytest.raises(StateError, match="passes no gradient back"):
        layer.backward(np.zeros((2, 3)))
    frozen = Dense(56, 56)
    frozen.trainable = False
    Network([frozen, make(image_shape=(8, 7)), Dense(56, 3)], QuadraticLoss())


@pytest.mark.parametrize("layer, text", [
    (RandomAffine(shear=5), "RandomAffine(rotation=15.0, scale=0.15, shear=5.0)"),
    (ElasticDistortion(8, 2, image_shape=(4, 6)), "ElasticDistortion(alpha=8.0, sigma=2.0, image_shape=[4, 6])"),
])  # fmt: skip
def test_distortions_show_what_they_do_by_name(layer, text):
    assert repr(layer) == text
