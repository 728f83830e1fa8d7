"""BestSoFar: the smallest loss so far, and the number of epochs since then."""

from __future__ import annotations

import math
from typing import Any

from .arguments import Checked, Declared, at_least_zero, epoch_value
from .state import Stateful


class BestSoFar(Declared, Stateful):
    """Base of ReduceOnPlateau and EarlyStopping, which wait for a loss to improve.

    Attributes
    ----------
    best : float
        The smallest loss so far; infinity before the first.
    waited : int
        Epochs since then.
    """

    best: Any = Checked(epoch_value)
    waited: Any = Checked(at_least_zero)

    def reset(self) -> None:
        """Forget all epochs, before another training."""
        self.best, self.waited = math.inf, 0

    def improved(self, loss: float | None, margin: float = 0.0) -> bool:
        """Record the loss of an epoch, and return whether it is the smallest so far, by more than `margin`.

        NaN and infinity never are.

        Raises
        ------
        ArgumentError
            If loss is not a number. It is None if `train` is called without a validation set.
        """
        loss = epoch_value(type(self).__name__, loss)
        if math.isfinite(loss) and loss < self.best - margin:
            self.best, self.waited = loss, 0
            return True
        self.waited += 1
        return False
