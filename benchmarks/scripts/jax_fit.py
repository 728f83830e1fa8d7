"""Train with JAX: an epoch is one compiled function, a scan over the batches and a step on the rest."""

from __future__ import annotations

import sys
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

State = tuple[Any, Any, Any, Any]  # parameters, two moments, steps


def loss_of(params: Any, x: Any, t: Any) -> Any:
    """The mean loss of a batch."""
    for W, b in params[:-1]:
        x = jax.nn.relu(x @ W + b)
    W, b = params[-1]
    return -(jax.nn.one_hot(t, len(b)) * jax.nn.log_softmax(x @ W + b)).sum(1).mean()


def step(rate: float, state: State, x: Any, t: Any) -> tuple[State, Any]:
    """One step of Adam."""
    params, m, v, steps = state
    loss, grads = jax.value_and_grad(loss_of)(params, x, t)
    steps, tree = steps + 1, jax.tree.map
    m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
    v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
    one, two = 1 - 0.9**steps, 1 - 0.999**steps
    params = tree(lambda w, m, v: w - rate * (m / one) / (jnp.sqrt(v / two) + 1e-8), params, m, v)
    return (params, m, v, steps), loss


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def epoch(rate: float, batch: int, state: State, x: Any, t: Any, order: Any) -> tuple[State, Any]:
    """Train for an epoch in this order, and return the mean loss."""
    x, t = x[order], t[order]
    whole = len(x) // batch * batch
    batches = x[:whole].reshape(-1, batch, x.shape[1]), t[:whole].reshape(-1, batch)
    state, losses = jax.lax.scan(lambda state, some: step(rate, state, *some), state, batches)
    total = losses.sum() * batch
    if whole < len(x):
        state, last = step(rate, state, x[whole:], t[whole:])
        total += last * (len(x) - whole)
    return state, total / len(x)


def main(file: str, epochs: int, batch: int, rate: float, hidden: list[int]) -> None:
    with np.load(file) as data:
        x, t = data["x"].reshape(len(data["x"]), -1), data["t"].astype("int32")
    if x.dtype == np.uint8:
        x = x.astype("float32") / np.float32(255)
    rng = np.random.default_rng()
    params = []
    for n_in, n_out in pairwise([x.shape[1], *hidden, int(t.max()) + 1]):
        limit = np.sqrt(6 / (n_in + n_out))
        params.append((rng.uniform(-limit, limit, (n_in, n_out)).astype("float32"), np.zeros(n_out, "float32")))
    m, v = (jax.tree.map(np.zeros_like, params) for _ in range(2))
    state: State = jax.device_put((params, m, v, np.int32(0)))
    x, t = jax.device_put((x, t))
    for _ in range(epochs):
        state, loss = epoch(rate, batch, state, x, t, rng.permutation(len(t)))
    print(float(loss))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), [int(each) for each in sys.argv[5:]])
