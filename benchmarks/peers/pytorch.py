"""PyTorch: eager, with a fused optimizer, or compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..nets import Task
from . import Peer


class PyTorch(Peer):
    """nn.Sequential and torch.optim. The data are one tensor on the device, because a DataLoader would be slower.

    `compiled` compiles everything from the rows of a batch to their loss. On a GPU it also captures CUDA graphs.
    """

    def __init__(self, task: Task, device: str = "cpu", fused: bool = False, compiled: bool = False):
        super().__init__(task, device)
        layers: list[nn.Module] = []
        for W, _ in task.start:
            layers += [nn.Linear(*W.shape), nn.Sigmoid() if self.net.activation == "sigmoid" else nn.ReLU()]
        self.model = nn.Sequential(*layers[:-1]).to(device)
        options: dict[str, Any] = {"lr": self.net.rate, "fused": True if fused else None}
        if self.net.optimizer == "adam":
            self.optimizer: torch.optim.Optimizer = torch.optim.Adam(self.model.parameters(), **options)
        else:
            self.optimizer = torch.optim.SGD(self.model.parameters(), momentum=self.net.momentum, **options)
        self.x, self.t = torch.from_numpy(task.x).to(device), torch.from_numpy(task.t).to(device)
        self.first = [torch.from_numpy(np.ascontiguousarray(a.T)).to(device) for layer in task.start for a in layer]
        self.loss, self.logits = self.loss_of, self.logits_of
        if compiled:
            mode = "reduce-overhead" if device == "cuda" else "default"
            self.loss, self.logits = (torch.compile(each, mode=mode) for each in (self.loss_of, self.logits_of))
        self.restart()

    def restart(self) -> None:
        with torch.no_grad():
            for parameter, first in zip(self.model.parameters(), self.first, strict=True):
                parameter.copy_(first)
                for value in self.optimizer.state[parameter].values():
                    if value is not None:
                        value.zero_()

    def logits_of(self, x: torch.Tensor) -> torch.Tensor:
        """The outputs for these inputs."""
        return self.model(x if self.net.floats else x.float() * (1 / 255))

    def loss_of(self, x: torch.Tensor, t: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """The loss of the batch with these rows."""
        return F.cross_entropy(self.logits_of(x[rows]), t[rows])

    def step(self, rows: torch.Tensor) -> torch.Tensor:
        """Make one step and return the loss."""
        self.optimizer.zero_grad()
        loss = self.loss(self.x, self.t, rows)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def losses(self, order: np.ndarray) -> list[float]:
        rows = torch.from_numpy(order).to(self.device)
        return [self.step(batch).item() for batch in rows.split(self.net.batch)]

    def run(self, passes: int) -> None:
        for _ in range(passes):
            total = torch.zeros((), device=self.device)
            for rows in torch.randperm(len(self.x), device=self.device).split(self.net.batch):
                total += self.step(rows)
            total.item()
        if self.device == "cuda":
            torch.cuda.synchronize()

    def predict(self, x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return torch.softmax(self.logits(torch.from_numpy(x).to(self.device)), 1).cpu().numpy()
