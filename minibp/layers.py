"""Layers: the formulas, and nothing else.

x is the input of a layer and y its output, one sample a row. dx, dy, dW stand for ∂C/∂x, ∂C/∂y, ∂C/∂W.
`out=` writes a result into existing memory, such as the workspaces `self.y` and `self.dx`.
"""

from __future__ import annotations

import math
from typing import Any

from .base import Array, Checked, Fixed, Layer, Shape, Workspace, at_least_one, fraction, generator, number
from .initializers import GlorotUniform, Zeros


class Dense(Layer):
    """Fully connected layer, y = x W + b.

    Shapes: x (N, I), W (I, O), b (O,), y (N, O).

    Parameters
    ----------
    n_in, n_out : int
        I and O, the numbers of inputs and outputs.
    W, b : initializer or array, optional
        The initial weights and biases: an initializer, or your own values. Default: GlorotUniform() and Zeros().
    seed : int, optional
        Draws the weights of a layer that is used alone. Without it, a network draws them from its seed.
    """

    gives = "numbers"
    n_in: Any = Fixed(at_least_one)
    n_out: Any = Fixed(at_least_one)

    def __init__(self, n_in: int, n_out: int, W: Any = None, b: Any = None, seed: int | None = None):
        super().__init__()
        self.n_in, self.n_out = n_in, n_out
        self.in_shape = (self.n_in,)
        self.add_parameter("W", (self.n_in, self.n_out), GlorotUniform() if W is None else W)
        self.add_parameter("b", (self.n_out,), Zeros() if b is None else b)
        if seed is not None:
            self.initialize(generator(seed))

    def config(self) -> dict[str, Any]:
        return {"n_in": self.n_in, "n_out": self.n_out}

    def output_shape(self, shape: Shape) -> Shape:
        return (self.n_out,)

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        return super().workspaces(shape) | {"ones": Workspace(shape[:1], fill=1)}

    def formula(self, x: Array) -> Array:
        y = self.xp.matmul(x, self.W, out=self.y)
        y += self.b
        return y

    def gradient(self, dy: Array) -> Array:
        """dW = xᵀ dy,  db = Σₙ dy,  dx = dy Wᵀ."""
        xp = self.xp
        if self.trainable:
            xp.matmul(self.x.T, dy, out=self.dW)
            xp.dot(self.ones, dy, out=self.db)  # Σₙ dy, twice as fast as dy.sum(axis=0)
        return xp.matmul(dy, self.W.T, out=self.dx) if self.needs_dx else None


class Flatten(Layer):
    """Each sample as one row, x (N, A, B, ...) -> y (N, A B ...)."""

    gives = "its input"

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        return {}

    def formula(self, x: Array) -> Array:
        return x.reshape(len(x), -1)

    def gradient(self, dy: Array) -> Array:
        return dy.reshape(self.x.shape)


class Sigmoid(Layer):
    """Logistic function σ, y = 1 / (1 + exp(-x)), element by element."""

    gives = "probabilities"

    def formula(self, x: Array) -> Array:
        xp = self.xp
        y = xp.negative(x, out=self.y)
        xp.minimum(y, self.log_max, out=y)  # else exp would overflow
        xp.exp(y, out=y)
        y += self.one
        return xp.divide(self.one, y, out=y)

    def gradient(self, dy: Array) -> Array:
        """dx = dy y (1 - y)."""
        dx = self.xp.subtract(self.one, self.y, out=self.dx)
        dx *= self.y
        dx *= dy
        return dx


class Tanh(Layer):
    """Hyperbolic tangent, y = tanh(x), element by element."""

    gives = "numbers"

    def formula(self, x: Array) -> Array:
        return self.xp.tanh(x, out=self.y)

    def gradient(self, dy: Array) -> Array:
        """dx = dy (1 - y²)."""
        xp = self.xp
        dx = xp.multiply(self.y, self.y, out=self.dx)
        xp.subtract(self.one, dx, out=dx)
        dx *= dy
        return dx


class Softmax(Layer):
    """Class probabilities, yₖ = exp(xₖ) / Σⱼ exp(xⱼ), row by row."""

    gives = "distribution"

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        return super().workspaces(shape) | {"row": Workspace((*shape[:-1], 1), reduced=True)}

    def formula(self, x: Array) -> Array:
        xp = self.xp
        y = xp.subtract(x, x.max(axis=-1, keepdims=True, out=self.row), out=self.y)  # does not change the quotient
        xp.exp(y, out=y)  # the largest exponent is 0: cannot overflow
        y /= y.sum(axis=-1, keepdims=True, out=self.row)
        return y

    def gradient(self, dy: Array) -> Array:
        """dx = y (dy - Σⱼ dyⱼ yⱼ): dy times the Jacobian ∂yⱼ/∂xₖ = yⱼ ([j = k] - yₖ)."""
        xp = self.xp
        dx = xp.multiply(dy, self.y, out=self.dx)
        xp.subtract(dy, dx.sum(axis=-1, keepdims=True, out=self.row), out=dx)
        dx *= self.y
        return dx


class ReLU(Layer):
    """Rectifier, y = max(x, 0), element by element (Nair & Hinton, 2010)."""

    gives = "numbers"

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        return super().workspaces(shape) | {"zeros": Workspace(shape, fill=0), "positive": Workspace(shape, bool)}

    def formula(self, x: Array) -> Array:
        return self.xp.maximum(x, self.zeros, out=self.y)  # NumPy is 4 times as fast with an array as with 0

    def gradient(self, dy: Array) -> Array:
        """dx = dy where x > 0, else 0."""
        positive = self.xp.greater(self.y, self.zero, out=self.positive)
        return self.xp.multiply(dy, positive, out=self.dx)


class LeakyReLU(Layer):
    """Leaky rectifier, y = x where x > 0, else slope x (Maas et al., 2013).

    `slope` lies in [0, 1). The default 0.01 is that of the paper.
    """

    gives = "numbers"

    slope: Any = Checked(fraction)

    def __init__(self, slope: float = 0.01):
        super().__init__()
        self.slope = slope

    def config(self) -> dict[str, Any]:
        return {"slope": self.slope}

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        return super().workspaces(shape) | {"positive": Workspace(shape, bool)}

    def formula(self, x: Array) -> Array:
        y = self.xp.multiply(x, self.slope, out=self.y)
        return self.xp.maximum(x, y, out=y)  # since slope <= 1

    def gradient(self, dy: Array) -> Array:
        """dx = dy where x > 0, else slope dy."""
        xp, positive = self.xp, self.positive
        xp.greater(self.x, self.zero, out=positive)
        dx = xp.multiply(positive, self.dtype.type(1 - self.slope), out=self.dx)
        dx += self.slope
        dx *= dy
        return dx


class ELU(Layer):
    """Exponential linear unit, y = x where x > 0, else α (exp(x) - 1) (Clevert et al., 2016).

    `alpha` is at least 0. The default 1 is that of the paper.
    """

    gives = "numbers"

    alpha: Any = Checked(number)

    def __init__(self, alpha: float = 1.0):
        super().__init__()
        self.alpha = alpha

    def config(self) -> dict[str, Any]:
        return {"alpha": self.alpha}

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        return super().workspaces(shape) | {"part": shape, "positive": Workspace(shape, bool)}

    def formula(self, x: Array) -> Array:
        xp = self.xp
        y = xp.minimum(x, self.zero, out=self.y)
        xp.expm1(y, out=y)
        y *= self.alpha
        y += xp.maximum(x, self.zero, out=self.part)
        return y

    def gradient(self, dy: Array) -> Array:
        """dx = dy where x > 0, else dy α exp(x)."""
        xp = self.xp
        dx = xp.minimum(self.x, self.zero, out=self.dx)
        xp.exp(dx, out=dx)  # 1 where x > 0
        xp.greater(self.x, self.zero, out=self.positive)
        factor = xp.multiply(self.positive, self.dtype.type(1 - self.alpha), out=self.part)
        factor += self.alpha  # 1 where x > 0, else α
        dx *= factor
        dx *= dy
        return dx


class GELU(Layer):
    """Gaussian error linear unit in its tanh form, y = ½ x (1 + tanh u), u = √(2/π) (x + 0.044715 x³).

    Hendrycks & Gimpel, 2016. It differs from x Φ(x) by less than 5e-4. That form needs erf, which NumPy lacks.
    """

    gives = "numbers"
    scale, cubic = math.sqrt(2 / math.pi), 0.044715

    def workspaces(self, shape: Shape) -> dict[str, Any]:
        return super().workspaces(shape) | {"tanh": shape, "part": shape}

    def formula(self, x: Array) -> Array:
        xp = self.xp
        u = xp.multiply(x, x, out=self.tanh)
        u *= self.cubic
        u += self.one
        u *= x
        u *= self.scale
        xp.tanh(u, out=self.tanh)
        y = xp.add(self.tanh, self.one, out=self.y)
        y *= x
        y *= self.half
        return y

    def gradient(self, dy: Array) -> Array:
        """dx = dy (½ (1 + tanh u) + ½ x (1 - tanh² u) u′),  u′ = √(2/π) (1 + 3 · 0.044715 x²)."""
        xp, x, tanh, part = self.xp, self.x, self.tanh, self.part
        dx = xp.multiply(x, x, out=self.dx)
        dx *= 3 * self.cubic
        dx += self.one
        dx *= self.scale  # u′
        xp.multiply(tanh, tanh, out=part)
        xp.subtract(self.one, part, out=part)
        dx *= part
        dx *= x
        dx += tanh
        dx += self.one
        dx *= self.half
        dx *= dy
        return dx


class Exp(Layer):
    """Exponential, y = exp(x), element by element: positive outputs, such as the rates of counts.

    y is infinite if x is above 88 in float32, 709 in float64. `predict` and `train` report that.
    """

    gives = "positive numbers"

    def formula(self, x: Array) -> Array:
        return self.xp.exp(x, out=self.y)

    def gradient(self, dy: Array) -> Array:
        """dx = dy y."""
        return self.xp.multiply(dy, self.y, out=self.dx)


class Softplus(Layer):
    """Smooth rectifier, y = log(1 + exp(x)), element by element (Dugas et al., 2001)."""

    gives = "numbers"

    def formula(self, x: Array) -> Array:
        return self.xp.logaddexp(x, self.zero, out=self.y)  # log(exp(x) + exp(0)), cannot overflow

    def gradient(self, dy: Array) -> Array:
        """dx = dy σ(x), and σ(x) = 1 - exp(-y)."""
        xp = self.xp
        dx = xp.expm1(xp.negative(self.y, out=self.dx), out=self.dx)
        xp.negative(dx, out=dx)
        dx *= dy
        return dx
