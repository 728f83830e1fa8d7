"""JAX: a jitted step, or a whole epoch as one lax.scan."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..nets import Net, Task
from . import Peer

State = tuple[Any, Any, Any, Any]  # parameters, two moments, steps


class Jax(Peer):
    """Parameters as a tree, and the optimizer as formulas in jax.numpy, which XLA fuses into one pass."""

    def __init__(self, task: Task, device: str = "cpu"):
        super().__init__(task, device)
        if device == "cuda":  # else matrix products use TF32, unlike those of the other peers
            jax.config.update("jax_default_matmul_precision", "highest")
        jax.config.update("jax_default_device", jax.devices(device)[0])
        self.x, self.t = jnp.asarray(task.x), jnp.asarray(task.t, jnp.int32)
        self.rng = np.random.default_rng(0)
        self.logits = jax.jit(partial(probabilities, self.net))
        self.restart()

    def restart(self) -> None:
        params = [(jnp.array(W), jnp.array(b)) for W, b in self.task.start]
        m, v = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
        self.state: State = (params, m, v, jnp.zeros((), jnp.int32))

    def batches(self, order: np.ndarray) -> np.ndarray:
        """The rows of the data, one batch per row."""
        return order.astype("int32").reshape(-1, self.net.batch)

    def epoch(self, order: np.ndarray) -> Any:
        """Train on these rows in this order, and return the loss of each step, on the device."""
        raise NotImplementedError

    def losses(self, order: np.ndarray) -> list[float]:
        return np.asarray(self.epoch(order)).tolist()

    def run(self, passes: int) -> None:
        for _ in range(passes):
            losses = self.epoch(self.rng.permutation(len(self.x)))
            float(jnp.mean(losses))
        jax.block_until_ready(self.state)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.logits(self.state[0], x))


class JaxJit(Jax):
    """One call of a compiled function per step. The state is donated, so that it is updated in place."""

    def epoch(self, order: np.ndarray) -> Any:
        losses = []
        for rows in self.batches(order):
            self.state, loss = jitted_step(self.net, self.state, self.x, self.t, rows)
            losses.append(loss)
        return jnp.stack(losses)


class JaxScan(Jax):
    """One call of a compiled function per epoch.

    It puts the data in the order of the pass before the scan, if that is faster: tiny networks and floats take 0.82 to
    0.96 of the time of gathering in each step (a, t, u, v), large images up to 1.16 of it (b, c). Several steps an
    iteration (`unroll`), and flags of XLA for one thread, brought no clear gain.
    """

    def epoch(self, order: np.ndarray) -> Any:
        self.state, losses = scan(self.net, self.state, self.x, self.t, self.batches(order))
        return losses


def forward(net: Net, params: Any, x: Any) -> Any:
    """The logits for these inputs."""
    activation = jax.nn.relu if net.activation == "relu" else jax.nn.sigmoid
    a = x if net.floats else x.astype(jnp.float32) * (1 / 255)
    for W, b in params[:-1]:
        a = activation(a @ W + b)
    W, b = params[-1]
    return a @ W + b


def probabilities(net: Net, params: Any, x: Any) -> Any:
    """The outputs of the network for these inputs."""
    return jax.nn.softmax(forward(net, params, x))


def step(net: Net, state: State, x: Any, t: Any) -> tuple[State, Any]:
    """Make one step on this batch."""
    params, m, v, steps = state
    t = jax.nn.one_hot(t, net.sizes[-1])

    def loss_of(params: Any) -> Any:
        return -(t * jax.nn.log_softmax(forward(net, params, x))).sum(1).mean()

    loss, grads = jax.value_and_grad(loss_of)(params)
    steps, tree = steps + 1, jax.tree.map
    if net.optimizer == "adam":
        m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
        v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
        one, two = 1 - 0.9**steps, 1 - 0.999**steps
        params = tree(lambda w, m, v: w - net.rate * (m / one) / (jnp.sqrt(v / two) + 1e-8), params, m, v)
    elif net.momentum:
        m = tree(lambda m, g: net.momentum * m + g, m, grads)
        params = tree(lambda w, m: w - net.rate * m, params, m)
    else:
        params = tree(lambda w, g: w - net.rate * g, params, grads)
    return (params, m, v, steps), loss


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def jitted_step(net: Net, state: State, x: Any, t: Any, rows: Any) -> tuple[State, Any]:
    """Make one step on these rows."""
    return step(net, state, x[rows], t[rows])


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def scan(net: Net, state: State, x: Any, t: Any, order: Any) -> tuple[State, Any]:
    """Train for an epoch: one step for each row of `order`."""
    if net.tiny or net.floats:
        return jax.lax.scan(lambda state, batch: step(net, state, *batch), state, (x[order], t[order]))
    return jax.lax.scan(lambda state, rows: step(net, state, x[rows], t[rows]), state, order)
