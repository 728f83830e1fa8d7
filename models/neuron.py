"""How fast one badly wrong sigmoid neuron learns: python -m models.neuron

The neuron a = σ(w x + b) receives x = 1 and should answer y = 0, but starts at a = 0.82 or at a = 0.98. With the
quadratic loss C = ½ (a - y)², the slope ∂C/∂z = (a - y) a (1 - a) is small when the neuron is most wrong, because the
sigmoid is flat there. With cross-entropy the slope is a - y: the more wrong the neuron is, the faster it learns
(Nielsen, "Neural networks and deep learning", 2015, chapter 3).
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Any, NamedTuple

from minibp import SGD, BinaryCrossEntropy, Dense, Loss, Network, QuadraticLoss, Sigmoid
from minibp.base import at_least_one
from minibp.cli import exit_status, import_plotting, new_picture, nonempty, parse_options, save_picture, told

STARTS = ((0.6, 0.9), (2.0, 2.0))  # w and b
LOSSES: dict[str, type[Loss]] = {"quadratic": QuadraticLoss, "cross-entropy": BinaryCrossEntropy}
X, Y = [[1.0]], [0]


class Run(NamedTuple):
    """One training: the output and the cost before each step and after the last one."""

    loss: str
    lr: float
    outputs: list[float]
    costs: list[float]

    def __str__(self) -> str:
        return (
            f"{self.loss:<13}  lr {self.lr:g}  start {self.outputs[0]:.4f}  "
            f"after {len(self.outputs) - 1} steps {self.outputs[-1]:.4f}"
        )


def learn(loss: str, w: float, b: float, lr: float = 0.15, steps: int = 300) -> Run:
    """Train the neuron from initial values w and b.

    Parameters
    ----------
    loss : {"quadratic", "cross-entropy"}
        The cost.
    w, b : float
        Initial weight and bias.
    lr : float, default 0.15
        Learning rate. With the default, 300 steps give the 0.09 and 0.20 of the text.
    steps : int, default 300
        Training steps. The default is that of the text.
    """
    net = Network([Dense(1, 1, W=[[w]], b=[b]), Sigmoid()], LOSSES[loss](), dtype="float64")
    optimizer = SGD(net, lr=lr)
    outputs, costs = [], []
    for step in range(steps + 1):
        costs.append(float(net.forward(X, Y)))
        outputs.append(float(net.predict(X)[0, 0]))
        if step < steps:
            net.backward()
            optimizer.step()
    return Run(loss, lr, outputs, costs)


def new_figure() -> Any:
    """A matplotlib figure."""
    return import_plotting("matplotlib.figure").Figure(figsize=(11, 3.4), layout="constrained")


def draw(runs: list[Run], figure: Any, path: str) -> None:
    """Plot output and cost over the steps to a file, in the format of its suffix."""
    colours = dict(zip(LOSSES, ("#0072b2", "#d55e00"), strict=True))  # colour-blind safe
    left, *right = figure.subplots(1, 3)
    costs = dict(zip(LOSSES, right, strict=True))  # each on axes of its own: they cannot be compared
    for run in runs:
        style = "-" if run.outputs[0] < 0.9 else "--"
        label = f"{run.loss}, from {run.outputs[0]:.2f}"
        left.plot(run.outputs, style, color=colours[run.loss], label=label)
        costs[run.loss].plot(run.costs, style, color=colours[run.loss])
    left.set(title=f"output of the neuron, learning rate {runs[0].lr:g}", ylabel="a (should be 0)", ylim=(0, 1))
    costs["quadratic"].set(title="quadratic cost", ylabel="C = ½ a²", ylim=(0, None))
    costs["cross-entropy"].set(title="cross-entropy cost", ylabel="C = −ln(1 − a)", ylim=(0, None))
    figure.legend(loc="outside lower center", ncols=len(runs), frameon=False)
    for axes in (left, *right):
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    save_picture(figure, path)


def main(arguments: list[str] | None = None) -> int:
    """Train with both losses from both starts. Returns the exit status."""
    about = "Train one badly wrong neuron with two losses and show how fast it learns."
    p = argparse.ArgumentParser(prog="python -m models.neuron", description=about)
    p.add_argument("--lr", type=float, default=0.15, help="learning rate; default 0.15")
    p.add_argument("--steps", type=int, default=300, help="training steps; default 300")
    p.add_argument("--plot", type=nonempty, metavar="FILE", help="plot output and cost over the steps (png, svg, pdf)")
    options = parse_options(p, arguments)
    return exit_status(lambda: run(options), partial(told, smaller="use fewer --steps"))


def run(options: argparse.Namespace) -> None:
    """Run the script with these options."""
    at_least_one("--steps", options.steps)
    figure = new_figure() if options.plot and new_picture(options.plot) else None  # fail before the runs
    runs = [learn(loss, w, b, options.lr, options.steps) for loss in LOSSES for w, b in STARTS]
    for each in runs:
        print(each)
    if figure:
        draw(runs, figure, options.plot)


if __name__ == "__main__":
    sys.exit(main())
