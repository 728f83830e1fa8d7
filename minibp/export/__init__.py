"""Out of minibp and back: ONNX, PyTorch, a report to look at, a page to draw on."""

from .history import read_history
from .onnx_reader import from_onnx
from .onnx_writer import to_onnx
from .page import to_page
from .report import write_report
from .texts import LANGUAGES
from .torch import from_torch, to_torch

__all__ = [
    "LANGUAGES",
    "from_onnx",
    "from_torch",
    "read_history",
    "to_onnx",
    "to_page",
    "to_torch",
    "write_report",
]
