"""Predictions of a trained model, and the metrics that training and testing share."""

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
# Images of 96 x 96 pixels take gigabytes in larger batches.
BATCH_SIZES = {"mobilenet_v2": 250}
# The distance from 0 and 1 that Keras keeps before it takes a logarithm.
KERAS_EPSILON = 1e-7


@dataclass(frozen=True)
class Score:
    """Metrics over all examples: `loss` is the cross-entropy (nats) plus all penalties, `accuracy` a fraction."""

    loss: float
    cross_entropy: float
    accuracy: float


def batch_size_of(family: str) -> int:
    """How many examples a model of a family predicts at once."""
    return BATCH_SIZES.get(family, BATCH_SIZE)


def predict_in_batches(
    model: keras.Model, inputs: NDArray[Any], batch_size: int = BATCH_SIZE
) -> tuple[NDArray[np.float32], float]:
    """A model's outputs (n, num_outputs) for inputs (n, ...), and the mean penalty per example, dropout off.

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
    entropy = cross_entropy(probabilities, labels, objective)
    num_correct = int(np.count_nonzero(is_correct(probabilities, labels)))
    return Score(entropy + penalty, entropy, num_correct / len(labels))


def predicted_classes(probabilities: NDArray[Any]) -> NDArray[np.intp]:
    """The most probable class of each row (n, num_classes); of equals the lowest."""
    return np.argmax(probabilities, axis=1)


def is_correct(probabilities: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows (n, num_classes) have their label (n,) as most probable class."""
    return np.asarray(predicted_classes(probabilities) == labels)


def absolute_errors(true: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.float64]:
    """Absolute differences of targets (n, num_outputs), or of other arrays of one shape."""
    return np.abs(np.asarray(true, dtype=np.float64) - np.asarray(predicted, dtype=np.float64))


def cross_entropy(
    probabilities: NDArray[Any], labels: NDArray[Any], objective: Objective = "categorical_crossentropy"
) -> float:
    """The mean cross-entropy in nats over all examples, clipped as Keras clips it, summed in float64.

    `probabilities` are (n, num_classes), `labels` (n,) class indices. Rows sum to 1 for the categorical objective; for
    the binary one each probability stands for itself, and the mean is over the classes too.
    """
    return float(_log_losses(probabilities, labels, objective).mean())


def example_losses(probabilities: NDArray[Any], labels: NDArray[Any], objective: Objective) -> NDArray[np.float64]:
    """The cross-entropy in nats of each example (n,), of which `cross_entropy` is the mean."""
    losses = _log_losses(probabilities, labels, objective)
    return losses if losses.ndim == 1 else losses.mean(axis=1)


def _log_losses(probabilities: NDArray[Any], labels: NDArray[Any], objective: Objective) -> NDArray[np.float64]:
    """Of each example (n,), or with the binary objective of each example and class (n, num_classes)."""
    clipped = np.clip(probabilities.astype(np.float64), KERAS_EPSILON, 1 - KERAS_EPSILON)
    if objective == "binary_crossentropy":
        is_label = labels[:, np.newaxis] == np.arange(probabilities.shape[1])
        return -np.log(np.where(is_label, clipped, 1 - clipped))
    return -np.log(clipped[np.arange(len(labels)), labels])
