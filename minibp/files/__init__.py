"""Networks and trainings on disk: safetensors files with a description and a checksum, without pickle."""

from .checkpoint import Checkpoint
from .facts import facts_of, facts_of_data
from .saving import load, save

__all__ = ["Checkpoint", "facts_of", "facts_of_data", "load", "save"]
