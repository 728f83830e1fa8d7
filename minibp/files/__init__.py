"""Networks and trainings on disk: safetensors files with a description and a checksum, without pickle."""

from .checkpoint import Checkpoint
from .saving import load, save
from .tensorfile import printable

__all__ = ["Checkpoint", "load", "printable", "save"]
