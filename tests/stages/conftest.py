"""A workspace with trained and evaluated results, made up, for the stages that come after training."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.config.params import Params
from pipeline.io import storage
from pipeline.io.paths import Workspace
from tests.stages.two_studies import CONTENT

# Parameters; validation accuracy, loss and cross-entropy of the last epoch; test accuracy and loss.
FIGURES = {
    "narrow": (100, 0.970, 0.12, 0.11, 0.965, 0.14),
    "wide": (400, 0.980, 0.10, 0.09, 0.975, 0.11),
    "deep": (300, 0.979, 0.13, 0.10, 0.975, 0.15),
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def content() -> dict[str, Any]:
    """Parameters of two studies: `narrow` and `wide` in the first, `wide` (shared) and `deep` in the second."""
    return copy.deepcopy(CONTENT)


@pytest.fixture
def params(content: dict[str, Any]) -> Params:
    return Params.model_validate(content)


@pytest.fixture
def results(workspace: Workspace, params: Params) -> Workspace:
    """The workspace after training and evaluation."""
    for name, variant in params.all_variants.items():
        save_training(workspace.training_results(name, variant), name)
    for study in params.studies:
        scores = {name: evaluation_scores(name) for name in params.variants_of(study)}
        storage.write_json(workspace.evaluation(study) / "metrics.json", scores)
        for name in scores:
            save_predictions(workspace.predictions(study) / f"{name}.npz", name)
    workspace.reported_results.write_text(
        "first:\n"
        "  narrow: {params: 100, reported: {test_accuracy: 0.961}}\n"
        "  wide: {params: 400, reported: {test_accuracy: 0.98}}\n"
        "second:\n"
        "  wide: {params: 400, reported: {test_accuracy: 0.1}, fault: The network was dead.}\n"
        "  deep: {params: 300, reported: null}\n"
    )
    return workspace


def save_training(folder: Path, name: str) -> None:
    """Three epochs: the best accuracy in the second, the lowest loss in the first, FIGURES in the third."""
    parameters, accuracy, loss, cross_entropy, *_ = FIGURES[name]
    last = {"loss": loss, "cross_entropy": cross_entropy, "accuracy": accuracy}
    best = {**last, "accuracy": accuracy + 0.01}
    history = {
        "epoch": [1, 2, 3],
        "accuracy": [0.4, 0.8, 0.9],
        "val_accuracy": [0.5, best["accuracy"], accuracy],
        "val_loss": [loss / 2, loss, loss],
        "val_cross_entropy": [cross_entropy / 2, cross_entropy, cross_entropy],
    }
    storage.write_table(folder / "history.csv", pd.DataFrame(history))
    metrics = {
        "parameters": {"total": parameters, "trainable": parameters},
        "epochs": 3,
        "best_epoch": 2,
        "train": {"last": last, "best": best},
        "validation": {"last": last, "best": best},
        "train_evaluated": {"loss": loss / 2, "cross_entropy": cross_entropy / 2, "accuracy": 0.99},
    }
    storage.write_json(folder / "metrics.json", metrics)


def evaluation_scores(name: str) -> dict[str, Any]:
    *_, accuracy, loss = FIGURES[name]
    interval = {"accuracy_low": accuracy - 0.01, "accuracy_high": accuracy + 0.008}
    figures = {"loss": loss, "cross_entropy": loss - 0.01, "accuracy": accuracy}
    counts = {"num_examples": 1000, "num_correct": round(1000 * accuracy), "macro_f1": accuracy}
    calibration = {"expected_calibration_error": 0.02, "overconfidence": 0.01}
    return {**figures, **interval, **counts, **calibration, "model_sha256": "0" * 64}


def save_predictions(path: Path, name: str) -> None:
    """Of 1,000 examples the share of FIGURES is right, the first ones of a variant's own order."""
    *_, accuracy, loss = FIGURES[name]
    labels = (np.arange(1000) % 3).astype(np.uint8)
    order = np.random.default_rng(list(FIGURES).index(name)).permutation(1000)
    predicted = labels.copy()
    wrong = order[round(1000 * accuracy) :]
    predicted[wrong] = (labels[wrong] + 1) % 3
    probabilities = np.full((1000, 3), loss / 3, np.float32)
    probabilities[np.arange(1000), predicted] = 1 - 2 * loss / 3
    storage.write_arrays(path, probabilities=probabilities, labels=labels)
