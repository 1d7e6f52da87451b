"""Losses per example and the metrics that are reported with them, on any backend."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from pipeline.config.models import Objective

# Backend tensors: outputs (n, num_outputs) and targets, to one value per example (n,).
PerExample = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class LossAndMetrics:
    """What an objective minimizes, and further metrics by name; each is reported as a mean over examples."""

    loss: PerExample
    loss_name: str
    others: dict[str, PerExample]

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics of a history: the loss with all penalties, the loss without, and the others."""
        return ("loss", self.loss_name, *self.others)


def metrics_of(objective: Objective) -> LossAndMetrics:
    """The loss and the metrics of an objective."""
    match objective:
        case "categorical_crossentropy":
            return LossAndMetrics(_categorical_crossentropy, "cross_entropy", {"accuracy": _is_correct})
        case "binary_crossentropy":
            return LossAndMetrics(_binary_crossentropy, "cross_entropy", {"accuracy": _is_correct})
        case "mean_absolute_error":
            return LossAndMetrics(_absolute_error, "mean_absolute_error", {})


def _categorical_crossentropy(probabilities: Any, labels: Any) -> Any:
    return keras.ops.sparse_categorical_crossentropy(labels, probabilities)


def _binary_crossentropy(probabilities: Any, labels: Any) -> Any:
    """One output per class, each against all others; like Keras, the mean over the outputs."""
    one_hot = keras.ops.one_hot(labels, probabilities.shape[-1], dtype=probabilities.dtype)
    return keras.ops.mean(keras.ops.binary_crossentropy(one_hot, probabilities), axis=-1)


def _absolute_error(outputs: Any, targets: Any) -> Any:
    return keras.ops.mean(keras.ops.abs(outputs - targets), axis=-1)


def _is_correct(probabilities: Any, labels: Any) -> Any:
    return keras.ops.cast(keras.ops.argmax(probabilities, axis=-1) == labels, probabilities.dtype)
