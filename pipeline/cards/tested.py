"""The test metrics of a card, from the evaluation of this very model."""

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.config.params import Params
from pipeline.evaluation import result_files, scoring, statistics, stored_predictions
from pipeline.evaluation.result_files import ClassifierTest
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.studies.waves.metrics import named, row_errors
from pipeline.studies.waves.scores import RegressorTest

Metrics = TypeVar("Metrics", ClassifierTest, RegressorTest)


def of_classifier(workspace: Workspace, params: Params, variant: str) -> dict[str, Any] | None:
    """Its metrics, confusion matrix, precisions and recalls, and what it gets wrong; None before an evaluation."""
    metrics, path = _metrics(workspace, params, variant, ClassifierTest)
    if metrics is None:
        return None
    classes = params.datasets[params.all_variants[variant].dataset].classes
    test = stored_predictions.read(path)
    predicted = scoring.predicted_classes(test.probabilities)
    confusion = statistics.confusion_matrix(test.labels, predicted, len(classes))
    scored = statistics.per_class(test.labels, predicted, len(classes))
    return {
        **metrics.model_dump(),
        "confusion": confusion.tolist(),
        "precision": scored.precision.tolist(),
        "recall": scored.recall.tolist(),
        "weakest": _weakest(confusion, classes),
        "confused": _most_confused(confusion, classes),
    }


def of_regressor(workspace: Workspace, params: Params, variant: str) -> dict[str, Any] | None:
    """Its metrics, its largest error, and by parameter to which side it errs; None before an evaluation."""
    metrics, path = _metrics(workspace, params, variant, RegressorTest)
    if metrics is None:
        return None
    predicted, targets = storage.read_arrays(path, "predicted", "targets")
    return {
        **metrics.model_dump(),
        "largest_error": float(row_errors(targets, predicted).max()),
        "biases": named((predicted.astype(np.float64) - targets).mean(axis=0)),
    }


def _metrics(workspace: Workspace, params: Params, variant: str, record: type[Metrics]) -> tuple[Metrics | None, Path]:
    """What the evaluation measured of the model that lies here, None if it measured none; and its predictions' file."""
    spec = params.all_variants[variant]
    metrics_file, predictions = workspace.evaluation(spec.study) / "metrics.json", workspace.predictions(spec.study)
    path = predictions / f"{variant}.npz"
    if not metrics_file.is_file() or not path.is_file():
        return None, path
    metrics = result_files.read_by_name(metrics_file, record).get(variant)
    # The evaluation may be one of an earlier training.
    is_current = metrics is not None and metrics.model_sha256 == storage.sha256(workspace.model(variant, spec))
    return metrics if is_current else None, path


def _weakest(confusion: NDArray[np.int64], classes: tuple[str, ...]) -> dict[str, Any]:
    """The class with the lowest recall among those that were tested."""
    support = confusion.sum(axis=1)
    recalls = np.where(support > 0, confusion.diagonal() / np.maximum(support, 1), np.inf)
    worst = int(recalls.argmin())
    low, high = statistics.wilson_interval(int(confusion[worst, worst]), int(support[worst]))
    return {"name": classes[worst], "recall": float(recalls[worst]), "low": low, "high": high}


def _most_confused(confusion: NDArray[np.int64], classes: tuple[str, ...]) -> dict[str, Any] | None:
    """The mistake that is made most often; None if there is none."""
    mistakes = confusion - np.diag(confusion.diagonal())
    true, predicted = np.unravel_index(int(mistakes.argmax()), mistakes.shape)
    number = int(mistakes[true, predicted])
    return {"true": classes[true], "predicted": classes[predicted], "times": number} if number else None
