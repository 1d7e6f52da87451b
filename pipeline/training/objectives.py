"""What a model is trained to make small, on any backend: a loss per example, and the figures that are told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from pipeline.config.models import Objective

# Backend tensors: outputs (n, num_outputs) and targets, to one value per example (n,).
PerExample = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Figures:
    """An objective: the loss per example, and further figures by name, each a mean over examples."""

    loss: PerExample
    loss_name: str
    others: dict[str, PerExample]

    @property
    def names(self) -> tuple[str, ...]:
        """The figures of a history: the loss with penalties, without, and the others."""
        return ("loss", self.loss_name, *self.others)


def figures(objective: Objective) -> Figures:
    """The figures of an objective."""
    return {
        "categorical_crossentropy": Figures(_categorical_crossentropy, "cross_entropy", {"accuracy": _is_correct}),
        "binary_crossentropy": Figures(_binary_crossentropy, "cross_entropy", {"accuracy": _is_correct}),
        "mean_absolute_error": Figures(_absolute_error, "mean_absolute_error", {}),
    }[objective]


def _categorical_crossentropy(probabilities: Any, labels: Any) -> Any:
    return keras.ops.sparse_categorical_crossentropy(labels, probabilities)


def _binary_crossentropy(probabilities: Any, labels: Any) -> Any:
    """One output per class, each against the others; the mean over the outputs, as Keras takes it."""
    one_hot = keras.ops.one_hot(labels, probabilities.shape[-1], dtype=probabilities.dtype)
    return keras.ops.mean(keras.ops.binary_crossentropy(one_hot, probabilities), axis=-1)


def _absolute_error(outputs: Any, targets: Any) -> Any:
    return keras.ops.mean(keras.ops.abs(outputs - targets), axis=-1)


def _is_correct(probabilities: Any, labels: Any) -> Any:
    return keras.ops.cast(keras.ops.argmax(probabilities, axis=-1) == labels, probabilities.dtype)
