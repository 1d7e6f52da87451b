"""The evaluation of one classifier on a test set: its predictions, metrics, confusion matrix and calibration."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.config.models import Objective
from pipeline.errors import PipelineError
from pipeline.evaluation import scoring, statistics
from pipeline.evaluation.result_files import ClassifierTestScores

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Evaluation:
    """Predicted `probabilities` (n, num_classes) and how good they are; `confusion` has true classes as rows."""

    probabilities: NDArray[np.float32]
    scores: ClassifierTestScores
    per_class: statistics.PerClass
    confusion: NDArray[np.int64]
    calibration: statistics.Calibration


def evaluate(
    model: keras.Model,
    *,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    num_classes: int,
    objective: Objective,
    batch_size: int = scoring.BATCH_SIZE,
) -> Evaluation:
    """Predict all images (n, height, width) and score them against their labels (n,), by exact counts."""
    probabilities, penalty = scoring.predict_in_batches(model, images, batch_size)
    if probabilities.shape[1] != num_classes:
        raise PipelineError(
            f"model {model.name}: expected probabilities of {num_classes} classes, got {probabilities.shape[1]}. "
            "Run `dvc repro` to train it again."
        )
    predicted = scoring.predicted_classes(probabilities)
    num_correct = int(np.count_nonzero(predicted == labels))
    low, high = statistics.wilson_interval(num_correct, len(labels))
    per_class = statistics.per_class(labels, predicted, num_classes)
    calibration = statistics.calibration(probabilities, labels)
    scores = ClassifierTestScores(
        **asdict(scoring.score(probabilities, labels, penalty, objective)),
        accuracy_low=low,
        accuracy_high=high,
        num_examples=len(labels),
        num_correct=num_correct,
        macro_f1=per_class.macro_f1,
        expected_calibration_error=calibration.expected_calibration_error,
        overconfidence=calibration.overconfidence,
    )
    confusion = statistics.confusion_matrix(labels, predicted, num_classes)
    return Evaluation(probabilities, scores, per_class, confusion, calibration)


def reliability_table(calibration: statistics.Calibration) -> pd.DataFrame:
    """A row per bin: its limits, its examples, their mean confidence, and how many are right, with a Wilson interval.

    A bin without examples has neither confidence nor accuracy.
    """
    counts = list(zip(calibration.num_correct.tolist(), calibration.num_examples.tolist(), strict=True))
    intervals = [
        statistics.wilson_interval(*bin_counts) if bin_counts[1] else (np.nan, np.nan) for bin_counts in counts
    ]
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "low": calibration.edges[:-1],
                "high": calibration.edges[1:],
                "num_examples": calibration.num_examples,
                "confidence": calibration.confidence_sum / calibration.num_examples,
                "accuracy": calibration.num_correct / calibration.num_examples,
                "accuracy_low": [low for low, _ in intervals],
                "accuracy_high": [high for _, high in intervals],
            }
        )
