"""BestSoFar: the smallest loss of the epochs so far, and how long ago it was."""

from __future__ import annotations

import math
from typing import Any

from .arguments import Checked, at_least_zero, epoch_value


class BestSoFar:
    """Base of what waits for a loss to improve: ReduceOnPlateau and EarlyStopping.

    Attributes
    ----------
    best : float
        The smallest loss so far; infinity before the first.
    waited : int
        Epochs since then.
    """

    best: Any = Checked(epoch_value)
    waited: Any = Checked(at_least_zero)

    def start_over(self) -> None:
        """Forget all epochs."""
        self.best, self.waited = math.inf, 0

    def improved(self, loss: float | None) -> bool:
        """Take in the loss of an epoch. NaN and infinity are no improvement.

        Raises
        ------
        ArgumentError
            If loss is not a number: it is None where `train` was called without a validation set.
        """
        loss = epoch_value(type(self).__name__, loss)
        if math.isfinite(loss) and loss < self.best:
            self.best, self.waited = loss, 0
            return True
        self.waited += 1
        return False
