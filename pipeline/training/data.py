"""What a training engine is given besides the model, and the columns of the history that it makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.data.examples import Examples

if TYPE_CHECKING:
    import keras

    from pipeline.training.objectives import LossAndMetrics


@dataclass(frozen=True)
class Fit:
    """One training: its examples, objective, optimizer and length. Callbacks hear of epochs in the order given.

    Without `validation`, the validation metrics are left out.
    """

    training: Examples
    validation: Examples | None
    metrics: LossAndMetrics
    optimizer: keras.Optimizer
    batch_size: int
    epochs: int
    seed: int
    callbacks: Sequence[keras.callbacks.Callback] = ()


def history_columns(metrics: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of a history for the metrics of an objective, of which the first is the loss.

    The loss is the objective plus all penalties. Training metrics are running means over the epoch, with dropout
    active; validation metrics are of the weights at the epoch's end.
    """
    return ("epoch", *metrics, *(f"val_{metric}" for metric in metrics), "learning_rate")
