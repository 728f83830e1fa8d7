"""Train with PyTorch: data in one tensor, a fused optimizer, and one thread, which is faster for so small layers."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def main(file: str, epochs: int, batch: int, rate: float, hidden: list[int]) -> None:
    torch.set_num_threads(1)
    with np.load(file) as data:
        x = torch.from_numpy(data["x"]).flatten(1)
        t = torch.from_numpy(data["t"]).long()
    if x.dtype == torch.uint8:
        x = x.float() / 255
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise([x.shape[1], *hidden, int(t.max()) + 1]):
        layer = nn.Linear(n_in, n_out)
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    for _ in range(epochs):
        order, total = torch.randperm(len(x)), torch.zeros(())
        for some, labels in zip(x[order].split(batch), t[order].split(batch), strict=True):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(some), labels)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(some)
    print(float(total) / len(x))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), [int(each) for each in sys.argv[5:]])
