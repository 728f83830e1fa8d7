"""Networks and trainings on disk: safetensors files with a description and a checksum, without pickle."""

from .checkpoint import Checkpoint
from .saving import load, save

__all__ = ["Checkpoint", "load", "save"]
