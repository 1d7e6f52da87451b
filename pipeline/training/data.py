"""The examples that a model learns from, and what a training engine is given besides the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

    from pipeline.training.objectives import LossAndMetrics


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
        """The number of classes, provided that each class has an example."""
        return int(self.targets.max()) + 1

    def subset(self, indices: np.ndarray) -> Examples:
        """The examples at these indices, in their order."""
        return Examples(self.inputs[indices], self.targets[indices])


@dataclass(frozen=True)
class Fit:
    """One training: its examples, objective, optimizer and length. Callbacks hear of epochs in the order given."""

    training: Examples
    validation: Examples
    metrics: LossAndMetrics
    optimizer: keras.Optimizer
    batch_size: int
    epochs: int
    seed: int
    callbacks: Sequence[keras.callbacks.Callback]


def history_columns(metrics: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of a history for the metrics of an objective, of which the first is the loss.

    The loss is the objective plus all penalties. Training metrics are running means over the epoch, with dropout
    active; validation metrics are of the weights at the epoch's end.
    """
    return ("epoch", *metrics, *(f"val_{metric}" for metric in metrics), "learning_rate")
