"""DVC stage: train the head of one transfer variant on frozen features, and save the complete model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline import compute, entry, models, progress, scoring, storage, tracking, trained, training
from pipeline.errors import PipelineError
from pipeline.params import MobileNetVariant, Objective, Params, require
from pipeline.paths import Workspace
from pipeline.plots import curves
from pipeline.training import Examples

if TYPE_CHECKING:
    import keras

FIGURES = ("loss", "cross_entropy", "accuracy")
# Of the images that the complete model takes; the features do not tell.
IMAGE_SHAPE = (28, 28)


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Train the head of one variant; save the complete model, history, metrics and curves."""
    variant: MobileNetVariant = require(params.transfers, name, "transfer variant")
    num_classes = len(params.datasets[variant.dataset].classes)
    examples, validation = (
        read_features(workspace.features(variant.features, split), num_classes=num_classes)
        for split in ("train", "validation")
    )
    compute.configure(compute.BACKEND_OF_FAMILY[variant.family], threads=params.compute.threads)
    from pipeline.models import mobilenet_v2

    features = params.features[variant.features]
    # Before the training, which would be for nothing without the weights.
    extractor = mobilenet_v2.build_extractor(features, workspace.weights(features.weights), image_shape=IMAGE_SHAPE)
    head = models.build(
        variant, input_shape=examples.inputs.shape[1:], num_outputs=num_classes, seed=params.compute.seed
    )
    with (
        tracking.training_run(workspace, params, name) as run,
        progress.epochs(name, variant.epochs) as bar,
    ):

        def on_epoch(epoch: int, values: Mapping[str, float]) -> None:
            run.log_epoch(epoch, values)
            bar(epoch, values)

        history = training.train(
            head,
            variant,
            training=examples,
            validation=validation,
            seed=params.compute.seed,
            on_epoch=on_epoch,
        )
        trained.check_converged(history, f"transfers.{name}")
        model = mobilenet_v2.complete(extractor, head)
        results = workspace.training_results(name, variant)
        storage.write_model(workspace.model(name, variant), model)
        storage.write_table(results / "history.csv", history)
        storage.write_json(results / "metrics.json", summarize(history, model, head, examples, variant.objective))
        storage.write_figure(results / "curves.png", curves.training_curves(history, title=name))


def read_features(path: Path, *, num_classes: int) -> Examples:
    """Read the features (n, channels) of a split and their labels (n,).

    Raises PipelineError when the file is missing, damaged, empty, or does not fit the number of classes.
    """
    features, labels = storage.read_arrays(path, "features", "labels")
    problem = None
    if features.ndim != 2 or features.dtype != np.float32 or len(features) == 0:
        problem = f"features (n, channels) of float32, got {features.shape} of {features.dtype}"
    elif labels.shape != features.shape[:1] or labels.dtype != np.uint8:
        problem = f"one uint8 label per row ({len(features)}), got {labels.shape} of {labels.dtype}"
    elif labels.max() >= num_classes:
        problem = f"labels below {num_classes}, the number of classes, got {labels.max()}"
    if problem:
        raise PipelineError(f"{path}: expected {problem}. Delete it, then run `dvc repro` to make it again.")
    return Examples(features, labels)


def summarize(
    history: pd.DataFrame, model: keras.Model, head: keras.Model, examples: Examples, objective: Objective
) -> dict[str, Any]:
    """The figures of a trained model, as those of the other families: its last and best epoch, its size.

    `train_evaluated` are the final weights on all training images with dropout off, by way of their features.
    """
    probabilities, penalty = scoring.predict_in_batches(head, examples.inputs)
    best_row = int(history["val_accuracy"].argmax())
    return {
        "parameters": trained.parameter_counts(model),
        **trained.epoch_figures(history, FIGURES, best_row=best_row),
        "train_evaluated": asdict(scoring.score(probabilities, examples.targets, penalty, objective)),
    }


if __name__ == "__main__":
    entry.run(main)
