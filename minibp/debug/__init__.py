"""Tools to look into a network: check_gradients finds wrong gradients, probe shows why a network learns slowly."""

from .gradients import GradientError, GradientReport, check_gradients
from .probing import LayerProbe, ProbeReport, probe

__all__ = ["GradientError", "GradientReport", "LayerProbe", "ProbeReport", "check_gradients", "probe"]
