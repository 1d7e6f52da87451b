"""Summary metrics and parameter counts of a trained model, and a check that its training converged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.config.models import CnnVariant, ConvBlock, DenseLayer, MlpVariant, Objective, Trainable
from pipeline.data.examples import Examples
from pipeline.errors import PipelineError
from pipeline.evaluation import scoring

if TYPE_CHECKING:
    import keras

# The column of the history that is shown while a model trains, and by which an epoch is the best.
WATCHED: Mapping[Objective, str] = {
    "categorical_crossentropy": "val_accuracy",
    "binary_crossentropy": "val_accuracy",
    "mean_absolute_error": "val_mean_absolute_error",
}


def check_converged(history: pd.DataFrame, key: str) -> None:
    """Raises PipelineError naming the variant's key when training has diverged to NaN or infinity."""
    epochs = history["epoch"][~np.isfinite(history.to_numpy(dtype=float)).all(axis=1)]
    if len(epochs):
        raise PipelineError(
            f"{key}: training diverged, its figures are NaN or infinite from epoch {epochs.iloc[0]} on. "
            "Lower optimizer.learning_rate."
        )


def active_in_training(spec: Trainable) -> tuple[str, ...]:
    """Which of `dropout` and `augmentation` a variant uses: both act in training only, not in validation."""
    layers: list[ConvBlock | DenseLayer] = [*spec.layers, *(spec.blocks if isinstance(spec, CnnVariant) else ())]
    is_active = {
        "dropout": any(layer.dropout for layer in layers),
        "augmentation": isinstance(spec, MlpVariant) and spec.augmentation is not None,
    }
    return tuple(name for name, value in is_active.items() if value)


def parameter_counts(model: keras.Model) -> dict[str, int]:
    """Number of weights: all, and those that training changes."""
    return {
        "total": model.count_params(),
        "trainable": sum(math.prod(weight.shape) for weight in model.trainable_weights),
    }


def metrics(
    history: pd.DataFrame, model: keras.Model, fitted: keras.Model, examples: Examples, objective: Objective
) -> dict[str, Any]:
    """The metrics of a trained model: its size, its last epoch, its best epoch by the watched validation metric.

    `fitted` is the part of `model` that was trained on the examples, which may be all of it. `train_evaluated` are its
    final weights on all of them, with dropout off.
    """
    watched = history[WATCHED[objective]]
    outputs, penalty = scoring.predict_in_batches(fitted, examples.inputs)
    evaluated: dict[str, float]
    if objective == "mean_absolute_error":
        best = history.iloc[int(watched.argmin())]
        evaluated = {"mean_absolute_error": float(scoring.absolute_errors(examples.targets, outputs).mean())}
    else:
        best = history.iloc[int(watched.argmax())]
        evaluated = asdict(scoring.score(outputs, examples.targets, penalty, objective))
    names = [name for name in map(str, history) if f"val_{name}" in history]

    def at_moments(prefix: str) -> dict[str, dict[str, float]]:
        moments = {"last": history.iloc[-1], "best": best}
        return {moment: {name: float(row[f"{prefix}{name}"]) for name in names} for moment, row in moments.items()}

    return {
        "parameters": parameter_counts(model),
        "epochs": len(history),
        "best_epoch": int(best["epoch"]),
        "train": at_moments(""),
        "validation": at_moments("val_"),
        "train_evaluated": evaluated,
    }
