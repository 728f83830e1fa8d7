"""The compiled program: the training step and the predictions of a network as a table of compiled operations."""

from .choice import check, choose, compile, why_not

__all__ = ["check", "choose", "compile", "why_not"]
