"""Sums over the ranks: of arrays on the host by MPI, of those on GPUs by NCCL, or else by way of the host."""

from __future__ import annotations

import os
import platform
import warnings
from typing import Any

import numpy as np

from ..backend import nccl
from ..base import Array
from ..errors import TrainingWarning
from .agreement import Agreement

INSTALL = "pip install nvidia-nccl-cu12 (CUDA 12) or nvidia-nccl-cu13 (CUDA 13)"


class Sums:
    """How the ranks sum their arrays.

    NCCL sums arrays on GPUs if CuPy finds it and each rank has a GPU of its own. Otherwise they go through page-locked
    memory of the host, which MPI sums.
    """

    def __init__(self, agreement: Agreement):
        self.agreement = agreement
        self.places: list[Any] = []  # where the arrays of each rank are, as of the last `prepare`
        self.xp: Any = np
        self.nccl: Any = None  # the module, if it sums
        self.communicator: Any = None  # and the ranks, as it knows them
        self._locked = np.empty(0, "uint8")  # the memory of the host

    def prepare(self, array: Array, xp: Any) -> None:
        """Choose how arrays like this one are summed. All ranks call this at once, with its GPU as the current one."""
        self.xp, place = xp, None
        module: Any = None
        if xp is not np:
            module = nccl()
            place = platform.node(), array.device.pci_bus_id, module is not None
        places = self.agreement.comm.allgather(place)
        if places == self.places:
            return
        self.places, self.nccl, self.communicator = places, None, None
        if not any(places):
            return
        why = _obstacle(places)
        if not why:
            # The sums of NVSwitch (NVLS) may differ in rounding each time; a training is to end with the same bits.
            os.environ.setdefault("NCCL_NVLS_ENABLE", "0")
            try:
                job = self.agreement.first(module.get_unique_id)
                self.communicator = module.NcclCommunicator(self.agreement.size, job, self.agreement.rank)
                self.nccl = module
            except Exception as error:
                self.agreement.meet(error)  # ends all ranks, unless all have one
                why = f"NCCL fails ({error}; NCCL_DEBUG=WARN tells more)"
        if why and not self.agreement.rank:
            warnings.warn(f"the gradients go through the memory of the host: {why}", TrainingWarning, 7)

    def sum(self, array: Array) -> None:
        """Replace the values of a vector by their sums over the ranks. All ranks get the same bits."""
        comm, in_place = self.agreement.comm, self.agreement.mpi.IN_PLACE
        if isinstance(array, np.ndarray):
            comm.Allreduce(in_place, array)
        elif self.communicator is not None:
            kind = getattr(self.nccl, f"NCCL_{array.dtype.name.upper()}")
            start, stream = array.data.ptr, self.xp.cuda.get_current_stream().ptr
            self.communicator.allReduce(start, start, array.size, kind, self.nccl.NCCL_SUM, stream)
        else:
            host = self._staging(array)
            array.get(out=host)
            comm.Allreduce(in_place, host)
            array.set(host)

    def _staging(self, array: Array) -> np.ndarray:
        """A vector of the host like this one, always in the same memory."""
        if self._locked.nbytes < array.nbytes:
            memory = self.xp.cuda.alloc_pinned_memory(array.nbytes)
            self._locked = np.ndarray(array.nbytes, "uint8", memory)
        return self._locked[: array.nbytes].view(array.dtype)


def _obstacle(places: list[Any]) -> str:
    """Why NCCL cannot sum what lies at these places; "" if it can."""
    gpus: dict[Any, int] = {}
    for rank, place in enumerate(places):
        if place is None:
            return f"rank {rank} computes with NumPy"
        host, gpu, has_nccl = place
        if not has_nccl:
            return f"CuPy finds no NCCL on {host}; {INSTALL}"
        other = gpus.setdefault((host, gpu), rank)
        if other != rank:
            cure = "choose one for each, cupy.cuda.Device(number).use(), before the networks are built"
            return f"ranks {other} and {rank} share the GPU {gpu} of {host}; {cure}"
    return ""
