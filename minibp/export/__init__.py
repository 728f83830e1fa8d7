"""Out of minibp and back: ONNX, PyTorch, a report to look at, a page to draw on."""

from .torch import from_torch, to_torch

__all__ = ["from_torch", "to_torch"]
