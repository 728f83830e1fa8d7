"""Which networks can be compiled, and which trainings are."""

from __future__ import annotations

from typing import Any

from ..backend import short_message
from ..base import instance
from ..errors import ArgumentError
from ..network import Network
from ..optimizer import Optimizer
from .rows import check_known
from .table import UnknownError

# What a step saves at least: the calls of Python, and for each parameter the passes over memory (docs/performance.md).
# To load numba and the operations takes a third of a second; to compile them, once on a machine, three to five.
SAVED_A_STEP, SAVED_A_PARAMETER = 30e-6, 1.5e-9  # seconds
SAVED_ON_GPU = 80e-6  # seconds a step: some 20 launches of 4 us and more. An estimate, no GPU has been measured
PAYS = 0.4  # seconds saved that are worth it


def compile(net: Network) -> Network:
    """Predict and evaluate with compiled operations from now on. Needs the extra `fast` (numba).

    The outputs differ from those of the formulas in rounding. It is of use for a network that was loaded: `train`
    decides itself, by its argument `compiled`. Copies, and a network that ``net.to`` has moved, run the formulas again.

    Parameters
    ----------
    net : Network
        The network.

    Returns
    -------
    Network
        The network itself.

    Raises
    ------
    ArgumentError
        If the extra is missing, the network is on a device, or it has a layer or loss without compiled operations, such
        as one of your own.
    """
    instance("net", net, Network, "build one: Network(layers, loss)")
    net.program = choose(net, None, 0, True)
    return net


def choose(net: Network, optimizer: Optimizer | None, steps: int, compiled: bool | None) -> Any:
    """The program that runs so many steps; None if the formulas do. An ArgumentError if it was asked for in vain."""
    on_host = net.backend == "numpy"
    pays = steps * (SAVED_A_STEP + SAVED_A_PARAMETER * net.params.size if on_host else SAVED_ON_GPU) > PAYS
    if compiled is False or (compiled is None and not pays):
        return None
    if reason := why_not(net, optimizer):
        if compiled:
            raise ArgumentError(f"this network cannot run compiled: {reason}. Without, it runs the formulas")
        return None
    if not on_host:
        from .gpu import GpuProgram

        return GpuProgram()
    from .program import Program

    return Program()


def why_not(net: Network, optimizer: Optimizer | None = None) -> str:
    """Why this network, or its training by this optimizer, has no compiled form; empty if it has one."""
    try:
        check_known(net, optimizer)
        if net.backend == "cupy":
            if optimizer is None:
                raise UnknownError("on a GPU, predictions run the formulas")
            from .kernels import load

            with net.device:
                load(net.xp, net.dtype)
            return ""
    except UnknownError as error:
        return str(error)
    try:
        check()
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "numba"
        return "numba is missing: pip install 'minibp[fast]'" if missing else short_message(error)
    return ""


def check() -> None:
    """Raise an error if this Python cannot compile, or knows no BLAS: numba may be missing or not fit this NumPy."""
    from .interpreter import address_of  # here, because numba takes a quarter of a second to import
    from .products import blas

    address_of("relu", "float32")
    blas("float32")
    blas("float64")
