"""minibp: backpropagation networks from layers that read like their formulas, on NumPy or CuPy."""

from . import backend, data, initializers, metrics, schedules
from .augmentation import ElasticDistortion, GaussianNoise, RandomAffine
from .averaging import WeightAverage
from .base import Layer, Loss
from .containers import Residual, Sequential
from .debug import check_gradients, probe
from .dropout import Dropout
from .evaluation import evaluate
from .files import Checkpoint, load, save
from .layers import ELU, GELU, Dense, Exp, Flatten, LeakyReLU, ReLU, Sigmoid, Softmax, Softplus, Tanh
from .losses import BinaryCrossEntropy, CrossEntropy, QuadraticLoss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from .network import Network
from .normalization import BatchNorm, LayerNorm, Standardize
from .optimizer import Optimizer
from .optimizers import SGD, AdaGrad, Adam, AdamW, RMSProp
from .program import compile
from .progress import Epoch
from .regression import AbsoluteLoss, HuberLoss, PoissonLoss, QuantileLoss
from .stopping import EarlyStopping
from .training import train

__version__ = "0.1.0"

__all__ = [
    "ELU",
    "GELU",
    "SGD",
    "AbsoluteLoss",
    "AdaGrad",
    "Adam",
    "AdamW",
    "BatchNorm",
    "BinaryCrossEntropy",
    "Checkpoint",
    "CrossEntropy",
    "Dense",
    "Dropout",
    "EarlyStopping",
    "ElasticDistortion",
    "Epoch",
    "Exp",
    "Flatten",
    "GaussianNoise",
    "HuberLoss",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Loss",
    "Network",
    "Optimizer",
    "PoissonLoss",
    "QuadraticLoss",
    "QuantileLoss",
    "RMSProp",
    "RandomAffine",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "SigmoidCrossEntropy",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Softplus",
    "Standardize",
    "Tanh",
    "WeightAverage",
    "backend",
    "check_gradients",
    "compile",
    "data",
    "evaluate",
    "initializers",
    "load",
    "metrics",
    "probe",
    "save",
    "schedules",
    "train",
]
