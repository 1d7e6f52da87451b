"""Train one model variant on the training images, watched on the validation images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline import compute, entry, models, progress, scoring, storage, tracking, training
from pipeline.errors import PipelineError
from pipeline.params import CnnVariant, MlpVariant, Params, require
from pipeline.paths import Workspace
from pipeline.plots import curves
from pipeline.training import Examples

if TYPE_CHECKING:
    import keras

FIGURES = ("loss", "cross_entropy", "accuracy")


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Train one variant; save its model, history, metrics and curves."""
    variant = require(params.all_variants, name, "variant")
    compute.configure(compute.BACKEND_OF_FAMILY[variant.family], threads=params.compute.threads)
    num_classes = len(params.datasets[variant.dataset].classes)
    examples, validation = (
        Examples(*storage.read_examples(workspace.prepared(variant.dataset, split), num_classes=num_classes))
        for split in ("train", "validation")
    )
    model = initial_model(workspace, params, variant, examples)
    with (
        tracking.training_run(workspace, params, name) as run,
        progress.epochs(name, variant.epochs) as bar,
    ):

        def on_epoch(epoch: int, values: Mapping[str, float]) -> None:
            run.log_epoch(epoch, values)
            bar(epoch, values)

        history = training.train(
            model,
            variant,
            training=examples,
            validation=validation,
            seed=params.compute.seed,
            on_epoch=on_epoch,
        )
        check_converged(history, f"{params.variant_group(name)}.{name}")
        results = workspace.training_results(name, variant)
        storage.write_model(workspace.model(name, variant), model)
        storage.write_table(results / "history.csv", history)
        storage.write_json(results / "metrics.json", summarize(history, model, examples))
        storage.write_figure(results / "curves.png", curves.training_curves(history, title=name))


def initial_model(
    workspace: Workspace, params: Params, variant: MlpVariant | CnnVariant, examples: Examples
) -> keras.Model:
    """The model before training: fresh, or with the weights of the variant that it starts from."""
    if variant.start_from is not None:
        return storage.read_model(workspace.model(variant.start_from, params.variants[variant.start_from]))
    return models.build(
        variant,
        input_shape=examples.images.shape[1:],
        num_classes=len(params.datasets[variant.dataset].classes),
        seed=params.compute.seed,
    )


def check_converged(history: pd.DataFrame, key: str) -> None:
    """Raises PipelineError when training has diverged to NaN or infinity."""
    epochs = history["epoch"][~np.isfinite(history.to_numpy(dtype=float)).all(axis=1)]
    if len(epochs):
        raise PipelineError(
            f"{key}: training diverged, its figures are NaN or infinite from epoch {epochs.iloc[0]} on. "
            "Lower optimizer.learning_rate."
        )


def summarize(history: pd.DataFrame, model: keras.Model, examples: Examples) -> dict[str, Any]:
    """The figures of a trained model: its last epoch, its best epoch by validation accuracy, its size.

    `train_evaluated` are the final weights on all training images with dropout off.
    """
    last = history.iloc[-1]
    best = history.iloc[int(history["val_accuracy"].argmax())]
    probabilities, penalty = scoring.predict_in_batches(model, examples.images)
    return {
        "parameters": {
            "total": model.count_params(),
            "trainable": sum(math.prod(weight.shape) for weight in model.trainable_weights),
        },
        "epochs": len(history),
        "best_epoch": int(best["epoch"]),
        "train": {"last": _figures(last, ""), "best": _figures(best, "")},
        "validation": {"last": _figures(last, "val_"), "best": _figures(best, "val_")},
        "train_evaluated": asdict(scoring.score(probabilities, examples.labels, penalty)),
    }


def _figures(row: pd.Series[float], prefix: str) -> dict[str, float]:
    return {figure: float(row[f"{prefix}{figure}"]) for figure in FIGURES}


if __name__ == "__main__":
    entry.run(main)
