"""A trained model on labelled images: what it predicts, and the figures that training and testing share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.models import Objective

if TYPE_CHECKING:
    import keras

# Few enough for convolutions to stay in memory, many enough that 10,000 images take a second.
BATCH_SIZE = 1000
# The distance from 0 and 1 that Keras keeps before it takes a logarithm.
KERAS_EPSILON = 1e-7


@dataclass(frozen=True)
class Score:
    """Figures over all examples: `loss` is the cross-entropy (nats) plus all penalties, `accuracy` a fraction."""

    loss: float
    cross_entropy: float
    accuracy: float


def predict_in_batches(
    model: keras.Model, inputs: NDArray[Any], batch_size: int = BATCH_SIZE
) -> tuple[NDArray[np.float32], float]:
    """What a model gives (n, num_outputs) for inputs (n, ...), and the mean penalty per example, dropout off.

    Keras divides an activity penalty by the size of its batch; weighted by that size, the sum over batches is the mean
    over examples, and a kernel penalty, the same for every batch, stays what it is.
    """
    import keras

    outputs, penalty = [], 0.0
    for start in range(0, len(inputs), batch_size):
        batch = inputs[start : start + batch_size]
        outputs.append(keras.ops.convert_to_numpy(model(batch, training=False)))
        penalty += sum(float(loss) for loss in model.losses) * len(batch)
    return np.concatenate(outputs), penalty / len(inputs)


def score(probabilities: NDArray[Any], labels: NDArray[Any], penalty: float, objective: Objective) -> Score:
    """Score predictions (n, num_classes) against labels (n,), by exact counts and the objective's cross-entropy."""
    is_binary = objective == "binary_crossentropy"
    entropy = (binary_cross_entropy if is_binary else cross_entropy)(probabilities, labels)
    return Score(entropy + penalty, entropy, count_correct(probabilities, labels) / len(labels))


def predicted_classes(probabilities: NDArray[Any]) -> NDArray[np.intp]:
    """The most probable class of each row (n, num_classes); of equals the lowest."""
    return np.argmax(probabilities, axis=1)


def count_correct(probabilities: NDArray[Any], labels: NDArray[Any]) -> int:
    """How many rows (n, num_classes) have their label (n,) as most probable class."""
    return int(np.count_nonzero(predicted_classes(probabilities) == labels))


def cross_entropy(probabilities: NDArray[Any], labels: NDArray[Any]) -> float:
    """Mean categorical cross-entropy in nats, clipped as Keras clips it, summed in float64.

    `probabilities` are (n, num_classes) with rows that sum to 1, `labels` (n,) class indices.
    """
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(of_label, KERAS_EPSILON, 1 - KERAS_EPSILON)).mean())


def binary_cross_entropy(probabilities: NDArray[Any], labels: NDArray[Any]) -> float:
    """Mean binary cross-entropy in nats over all examples and classes, each class against the others.

    `probabilities` are (n, num_classes), each for itself between 0 and 1; clipped and summed like `cross_entropy`.
    """
    is_label = labels[:, np.newaxis] == np.arange(probabilities.shape[1])
    clipped = np.clip(probabilities.astype(np.float64), KERAS_EPSILON, 1 - KERAS_EPSILON)
    return float(-np.log(np.where(is_label, clipped, 1 - clipped)).mean())
