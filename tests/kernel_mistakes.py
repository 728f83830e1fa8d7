"""Mistakes in the kernels for a GPU, and whether a comparison with the formulas finds them.

`python -m kernel_mistakes NUMBER`, with tests/ and the project on the path, seeds one and compares: the exit status
says whether that finds it. -1 seeds none. It is a process, because threads that wait at different barriers end it.
"""

import copy
import sys
import warnings

import numpy as np
import standin
from both_ways import OPTIMIZERS, compare
from networks import every_layer, samples
from standin import kernels as on_cpu

from minibp import (
    ELU,
    GELU,
    Dense,
    Dropout,
    ElasticDistortion,
    Flatten,
    GaussianNoise,
    HuberLoss,
    LeakyReLU,
    Network,
    PoissonLoss,
    QuadraticLoss,
    QuantileLoss,
    ReLU,
    Softmax,
    SoftmaxCrossEntropy,
    Standardize,
)
from minibp.data import Dataset
from minibp.errors import DivergenceError
from minibp.program import kernels

FOUND = 7  # the exit status if the comparison finds a difference

MISTAKES = [  # the text of the source, and what stands there instead
    # sums and barriers
    ("for (int step = 16; step; step /= 2) x += __shfl", "for (int step = 8; step; step /= 2) x += __shfl"),
    ("parts[threadIdx.y][threadIdx.x] = x;\n    __syncthreads();", "parts[threadIdx.y][threadIdx.x] = x;"),
    ("    __syncthreads();  // the next call", "    // the next call"),
    ("__syncthreads();\n    T sum = 0;", "if (threadIdx.y) __syncthreads();\n    T sum = 0;"),
    ("for (int i = 0; i < 32; i++) sum += parts", "for (int i = 0; i < 16; i++) sum += parts"),
    ("i += gridDim.x * (long long)blockDim.x)", "i += blockDim.x)"),
    ("for (long long j = threadIdx.x % 32; j < (k); j += 32)", "for (int j = threadIdx.x % 32; j < (k); j += 64)"),
    ("for (long long i = threadIdx.y; i < (n); i += 32)", "for (long long i = threadIdx.y; i + 1 < (n); i += 32)"),
    ("#define MY_COLUMN (blockIdx.x * 32ll + threadIdx.x)", "#define MY_COLUMN (threadIdx.x)"),
    # batches
    ("(T)x[sample * row.size + j] * scale", "(T)x[sample * row.size + j]"),
    ("long long sample = run.order[run.first + i];\n        bool", "long long sample = run.order[i];\n        bool"),
    ("run.weights[sample] / (T)run.steps[run.step].total", "run.weights[sample] / (T)run.n"),
    # layers
    ("static __device__ T slope(T, T y, const Row &) { return y > 0 ? 1 : 0; }",
     "static __device__ T slope(T, T y, const Row &) { return y >= 0 ? 1 : 0; }"),
    ("return (1 - y) * y; }", "return 1 - y; }"),
    ("(1 + t + x * (1 - t * t) * du)", "(1 + t + x * (1 - t) * du)"),
    ("if (F::reads_x) row.x[i * row.size + j] = x;", ""),
    ("row.dx[at] = dx;\n        sum += dx;", "row.dx[at] = dx;\n        sum += row.dy[at];"),
    ("T x = row.x[i * row.size + j] + row.b[j];", "T x = row.x[i * row.size + j];"),
    ("sum += y[j] = exp(x[j] - largest);", "sum += y[j] = exp(x[j]);"),
    ("(dy[j] - along) * y[j]", "dy[j] * y[j]"),
    ("(unsigned)(row.step + 1 + run.step)", "(unsigned)(row.step + run.step)"),
    ("row.kept[i] + row.dy[i]", "row.kept[i]"),
    # normalization
    ("- total * weight - row.xhat[at]", "- row.xhat[at]"),
    ("((double)n / (n - 1))", "1"),
    ("after == before ? now : after", "before"),
    ("- mean - xhat[j] * along)", "- xhat[j] * along)"),
    ("along = sum_of_column(along);", "total = sum_of_column(total);"),
    # augmentation
    ("sqrt(log(u) * scale) * sin(v)", "sqrt(log(u) * scale) * cos(v)"),
    ("bits((unsigned)(6 * image + i)", "bits((unsigned)(image + i)"),
    ("(s - lean * c) / width", "(s + lean * c) / width"),
    ("1 <= r && r <= h", "1 <= r && r < h"),
    ("int r = top + k / 2, c = left + k % 2;", "int r = top + k % 2, c = left + k / 2;"),
    ("row.down + k % h * h;", "row.down;"),
    ("below += dy[i]", "below += dx[i]"),
    ("lowbias32((unsigned)row.key_3 + step)", "lowbias32((unsigned)row.key_1 + step)"),
    # losses
    ("- CrossEntropy::smoothed(target(row, run, sample, j), row)) * scale", ") * scale"),
    ("T shifted = x[j] - largest", "T shifted = x[j]"),
    ("log(sum) - sum_of_warp(score)", "log(sum) + sum_of_warp(score)"),
    ("if (row.b) EACH_LANE(j, row.size) x[j] += row.b[j];", ""),
    ("loss * run.weights[sample] : loss;", "loss : loss;"),
    ("r < -delta ? -delta", "r < -delta ? delta"),
    ("x - t - (T)0.5 * y", "x - t - y"),
    # optimizers
    ("* (T)*run.scale + row.w[i]", "+ row.w[i]"),
    ("+ row.w[i] * (T)decay;", ";"),
    ("(m * (T)row.number + g) * rate(run)", "m * rate(run)"),
    ("row.v[i] * (T)row.beta2 + g * g", "row.v[i] * (T)row.beta2 + g"),
    ("row.w[i] * kept - m", "row.w[i] - m"),
    ("(sqrt(v) + (T)step.e) * (T)step.a", "(sqrt(v) + (T)row.eps) * (T)step.a"),
    ("T norm = largest * sqrt(", "T norm = sqrt("),
    ("row.kept[2 * blockIdx.x + 1] = sum;", "row.kept[1] = sum;"),
    ("norm > largest ? largest / norm : 1", "largest / norm"),
    ("pow(row.number, (double)(row.step + 1 + run.step))", "pow(row.number, (double)(run.step + 2))"),
]  # fmt: skip


def comparisons():
    """Trainings that together need every kernel."""
    rng, options = np.random.default_rng(0), {"weight_decay": 0.1, "clip_norm": 0.1, "max_norm": 1.0}
    compare(lambda dtype: every_layer(dtype=dtype), OPTIMIZERS["momentum"], samples(90), 4, 16, "float64")

    def wide(dtype):
        layers = [Dense(37, 65, b=np.ones(65)), ELU(), Dropout(0.2), Dense(65, 33), LeakyReLU(), Dense(33, 33), GELU()]
        layers += [Dense(33, 33), Softmax(), ReLU(), Dense(33, 40)]
        return Network(layers, SoftmaxCrossEntropy(0.1), dtype=dtype)

    images = rng.integers(256, size=(90, 37)).astype("uint8")
    weighted = Dataset(images, rng.integers(40, size=90), weights=rng.uniform(0, 2, 90))
    for optimizer in OPTIMIZERS.values():
        compare(wide, lambda net, optimizer=optimizer: optimizer(net, **options), weighted, 2, 40, "float64")

    def large(dtype):  # numbers whose exponential is infinite
        layers = [Standardize(np.zeros(5), np.full(5, 1e-3)), Softmax()]
        layers += [Dense(5, 4), Standardize(np.zeros(4), np.full(4, 1e-4))]
        return Network(layers, SoftmaxCrossEntropy(), dtype=dtype)

    compare(large, OPTIMIZERS["SGD"], Dataset(rng.normal(size=(60, 5)), rng.integers(4, size=60)), 2, 20, "float64")
    moved = ElasticDistortion(8, 2, 20, 0.2, 20, 0.2)

    def images(dtype):
        layers = [copy.deepcopy(moved), GaussianNoise(0.3), Flatten(), Dense(42, 3)]
        return Network(layers, SoftmaxCrossEntropy(), dtype=dtype)

    pictures = Dataset(rng.integers(256, size=(40, 6, 7)).astype("uint8"), rng.integers(3, size=40))
    compare(images, OPTIMIZERS["SGD"], pictures, 2, 16, "float64", 0.9)
    numbers = Dataset(rng.normal(size=(90, 5)), rng.uniform(0, 3, size=(90, 2)))
    for loss in (QuadraticLoss, HuberLoss, QuantileLoss, PoissonLoss):
        net = lambda dtype, loss=loss: Network([Dense(5, 2)], loss(), dtype=dtype)  # noqa: E731
        compare(net, OPTIMIZERS["SGD"], numbers, 3, 20, "float64")


def main() -> int:
    warnings.simplefilter("ignore")
    standin.RawModule = on_cpu.RawModule
    sys.modules["cupy"] = standin
    Network.__init__.__defaults__ = "cupy", *Network.__init__.__defaults__[1:]
    number, source = int(sys.argv[1]), kernels.source
    if number >= 0:
        old, new = MISTAKES[number]
        if source(np.dtype("float64")).count(old) != 1:
            sys.exit(f"{old!r} does not stand once in the source")
        kernels.source = lambda dtype: source(dtype).replace(old, new)
    try:
        comparisons()
    except (AssertionError, DivergenceError):
        return FOUND
    return 0


if __name__ == "__main__":
    sys.exit(main())
