"""Looking into a network: are its gradients right, what is wrong where they are not, and why does it learn slowly?"""

from .gradients import GradientError, GradientReport, check_gradients
from .probing import LayerProbe, ProbeReport, probe

__all__ = ["GradientError", "GradientReport", "LayerProbe", "ProbeReport", "check_gradients", "probe"]
