"""PyTorch: eager, with a fused optimizer, with compiled layers, or compiled from the batch to the weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad_and_value
from torch.nn import functional as F

from ..nets import Task
from . import Peer


class PyTorch(Peer):
    """nn.Sequential and torch.optim. The data are one tensor on the device, because a DataLoader would be slower.

    They are put in the order of a pass at once. With the fused optimizer that took 0.87 to 0.98 of the time of
    gathering each batch (a, b, t, c, d, v), and in u once 0.86 and once 1.13. Tiny networks train with one thread.
    `compiled` compiles everything from a batch to its loss. On a GPU it also captures CUDA graphs.
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

    def loss_of(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The loss of a batch."""
        return F.cross_entropy(self.logits_of(x), t)

    def step(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Make one step and return the loss."""
        self.optimizer.zero_grad()
        loss = self.loss(x, t)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def batches(self, rows: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The data in this order, batch by batch."""
        if self.net.tiny:  # in training only: many predictions at once are not tiny
            torch.set_num_threads(1)
        return zip(self.x[rows].split(self.net.batch), self.t[rows].split(self.net.batch), strict=True)

    def losses(self, order: np.ndarray) -> list[float]:
        return [self.step(x, t).item() for x, t in self.batches(torch.from_numpy(order).to(self.device))]

    def run(self, passes: int) -> None:
        for _ in range(passes):
            total = torch.zeros((), device=self.device)
            for x, t in self.batches(torch.randperm(len(self.x), device=self.device)):
                total += self.step(x, t)
            total.item()
        if self.device == "cuda":
            torch.cuda.synchronize()

    def predict(self, x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return torch.softmax(self.logits(torch.from_numpy(x).to(self.device)), 1).cpu().numpy()


class PyTorchStep(PyTorch):
    """The whole step as one compiled function: loss, gradient and optimizer. The fastest form for tiny networks.

    torch.compile cannot do that with `backward`, so the gradient is that of torch.func, and the optimizer is written
    out in tensors.
    """

    def __init__(self, task: Task, device: str = "cpu"):
        super().__init__(task, device)
        self.weights = {name: weight.detach() for name, weight in self.model.named_parameters()}
        self.compiled = torch.compile(self.whole, fullgraph=True)

    def restart(self) -> None:
        super().restart()
        self.m, self.v = ([torch.zeros_like(weight) for weight in self.model.parameters()] for _ in range(2))
        self.steps = torch.zeros((), device=self.device)

    def step(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.compiled(self.weights, self.m, self.v, self.steps, x, t)

    def loss_with(self, weights: dict[str, torch.Tensor], x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The loss of a batch as a function of the weights."""
        x = x if self.net.floats else x.float() * (1 / 255)
        return F.cross_entropy(functional_call(self.model, weights, x), t)

    def whole(
        self, weights: dict[str, torch.Tensor], ms: Any, vs: Any, steps: torch.Tensor, x: torch.Tensor, t: torch.Tensor
    ) -> torch.Tensor:
        """Change the weights by one step, and return the loss."""
        grads, loss = grad_and_value(self.loss_with)(weights, x, t)
        steps += 1
        one, two = 1 - 0.9**steps, 1 - 0.999**steps
        for (name, w), m, v in zip(weights.items(), ms, vs, strict=True):
            g = grads[name]
            if self.net.optimizer == "adam":
                m.mul_(0.9).add_(g, alpha=0.1)
                v.mul_(0.999).add_(g * g, alpha=0.001)
                w.sub_(self.net.rate * (m / one) / ((v / two).sqrt() + 1e-8))
            elif self.net.momentum:
                w.sub_(m.mul_(self.net.momentum).add_(g), alpha=self.net.rate)
            else:
                w.sub_(g, alpha=self.net.rate)
        return loss
