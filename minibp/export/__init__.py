"""Out of minibp and back: ONNX, PyTorch, a report to look at, a page to draw on."""

__all__ = []
