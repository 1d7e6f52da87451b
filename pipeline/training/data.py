"""What goes into training and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

# loss is the objective: the cross-entropy plus all penalties. Training figures are running means over the epoch, with
# dropout active; validation figures are of the weights at the epoch's end.
HISTORY_COLUMNS = (
    "epoch",
    "loss",
    "cross_entropy",
    "accuracy",
    "val_loss",
    "val_cross_entropy",
    "val_accuracy",
    "learning_rate",
)

EpochListener = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Examples:
    """Raw images (n, height, width) uint8 and their labels (n,) uint8."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)
