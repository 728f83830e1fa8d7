"""minibp: backpropagation networks from layers that read like their formulas, on NumPy or CuPy."""

from . import backend, data, initializers, metrics, schedules
from .checkpoint import Checkpoint
from .dropout import Dropout
from .gradients import check_gradients
from .layer import Layer
from .layers import ELU, GELU, Dense, Flatten, LeakyReLU, ReLU, Sigmoid, Softmax, Softplus, Tanh
from .losses import BinaryCrossEntropy, CrossEntropy, Loss, QuadraticLoss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from .network import Network
from .normalization import BatchNorm, LayerNorm
from .optimizer import Optimizer
from .optimizers import SGD, AdaGrad, Adam, AdamW, RMSProp
from .probing import probe
from .progress import Epoch
from .saving import load, save
from .stopping import EarlyStopping
from .training import evaluate, train

__version__ = "0.1.0"

__all__ = [
    "ELU",
    "GELU",
    "SGD",
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
    "Epoch",
    "Flatten",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Loss",
    "Network",
    "Optimizer",
    "QuadraticLoss",
    "RMSProp",
    "ReLU",
    "Sigmoid",
    "SigmoidCrossEntropy",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Softplus",
    "Tanh",
    "backend",
    "check_gradients",
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
