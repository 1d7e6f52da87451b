"""What goes into training and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

EpochListener = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Examples:
    """Inputs (n, ...) and what a model should give for them, (n,) labels uint8 or (n, num_outputs) float32.

    For image classifiers the inputs are raw images (n, height, width) uint8.
    """

    inputs: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def num_classes(self) -> int:
        """How many classes the labels tell apart, if each class has an example."""
        return int(self.targets.max()) + 1


def history_columns(figures: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of a history for the figures of an objective, of which the first is the loss.

    The loss is the objective plus all penalties. Training figures are running means over the epoch, with dropout
    active; validation figures are of the weights at the epoch's end.
    """
    return ("epoch", *figures, *(f"val_{figure}" for figure in figures), "learning_rate")
