"""The test figures of a card, if the evaluation that lies here is one of the very model."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.config.params import Params
from pipeline.evaluation import statistics
from pipeline.io import storage
from pipeline.io.paths import Workspace


def of_classifier(workspace: Workspace, params: Params, variant: str) -> dict[str, Any] | None:
    """Figures, the confusion matrix, recalls with intervals and the calibration; None before an evaluation."""
    scores = _scores(workspace, params, variant)
    if scores is None:
        return None
    study = params.all_variants[variant].study
    classes = params.datasets[params.all_variants[variant].dataset].classes
    probabilities, labels = storage.read_arrays(
        workspace.predictions(study) / f"{variant}.npz", "probabilities", "labels"
    )
    predicted = probabilities.argmax(axis=1)
    confusion = statistics.confusion_matrix(labels, predicted, len(classes))
    scored = statistics.per_class(labels, predicted, len(classes))
    num_correct = int(confusion.trace())
    accuracy_low, accuracy_high = statistics.wilson_interval(num_correct, len(labels))
    return {
        **scores,
        "num_examples": len(labels),
        "accuracy_low": accuracy_low,
        "accuracy_high": accuracy_high,
        "macro_f1": scored.macro_f1,
        "confusion": confusion.tolist(),
        "precision": scored.precision.tolist(),
        "recall": scored.recall.tolist(),
        "weakest": _weakest(confusion, classes),
        "confused": _most_confused(confusion, classes),
        "calibration_error": statistics.calibration(probabilities, labels).expected_calibration_error,
        "overconfidence": float(probabilities.max(axis=1).mean(dtype=np.float64) - num_correct / len(labels)),
    }


def of_regressor(workspace: Workspace, params: Params, variant: str) -> dict[str, Any] | None:
    """Figures with the interval of the mean error, and by parameter how far off and to which side."""
    scores = _scores(workspace, params, variant)
    if scores is None:
        return None
    study = params.all_variants[variant].study
    predicted, targets = storage.read_arrays(workspace.predictions(study) / f"{variant}.npz", "predicted", "targets")
    differences = predicted.astype(np.float64) - targets
    errors = np.abs(differences).mean(axis=1)
    low, high = statistics.mean_interval(errors)
    return {
        **scores,
        "num_examples": len(targets),
        "mean_absolute_error_low": low,
        "mean_absolute_error_high": high,
        "largest_error": float(errors.max()),
        "biases": dict(zip(scores["parameters"], differences.mean(axis=0).tolist(), strict=True)),
    }


def _scores(workspace: Workspace, params: Params, variant: str) -> dict[str, Any] | None:
    spec = params.all_variants[variant]
    path = workspace.evaluation(spec.study) / "metrics.json"
    if not path.is_file() or not (workspace.predictions(spec.study) / f"{variant}.npz").is_file():
        return None
    scores = storage.read_json(path).get(variant)
    # Of an earlier training the evaluation may still be here.
    if scores is None or scores.get("model_sha256") != storage.sha256(workspace.model(variant, spec)):
        return None
    return dict(scores)


def _weakest(confusion: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any]:
    """The class with the lowest recall among those that were tested."""
    support = confusion.sum(axis=1)
    recalls = np.where(support > 0, confusion.diagonal() / np.maximum(support, 1), np.inf)
    worst = int(recalls.argmin())
    low, high = statistics.wilson_interval(int(confusion[worst, worst]), int(support[worst]))
    return {"name": classes[worst], "recall": float(recalls[worst]), "low": low, "high": high}


def _most_confused(confusion: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any] | None:
    """The mistake that is made most often; None if there is none."""
    mistakes = confusion - np.diag(confusion.diagonal())
    true, predicted = np.unravel_index(int(mistakes.argmax()), mistakes.shape)
    number = int(mistakes[true, predicted])
    return {"true": classes[true], "predicted": classes[predicted], "times": number} if number else None
