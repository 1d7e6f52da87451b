"""Train one model variant on the training images, watched on the validation images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline import models
from pipeline.config.models import CnnVariant, MlpVariant
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.data.examples import Examples, read_training_images
from pipeline.errors import PipelineError
from pipeline.evaluation import scoring
from pipeline.io import outcomes, storage
from pipeline.io.paths import Workspace
from pipeline.plots import curves
from pipeline.runtime import backend
from pipeline.training import fitting, summary

if TYPE_CHECKING:
    import keras


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Train one variant; save its model, history, metrics and curves."""
    variant = outcomes.of_variant(workspace, require(params.classifiers, name, "variant"), name)
    backend.configure(variant.engine, threads=params.compute.threads)
    train, held_out = (workspace.prepared(variant.dataset, split) for split in ("train", "validation"))
    examples, validation = read_training_images(train, held_out)
    seed = params.seed_of(name)
    model = initial_model(workspace, params, variant, examples, seed=seed)
    from pipeline.tracking import live

    with live.training_run(workspace, params, name) as run:
        key = f"{params.variant_group(name)}.{name}"
        history = fitting.fit(
            model, variant, examples, validation, key=key, title=name, seed=seed, on_epoch=run.log_epoch
        )
        results = workspace.training_results(name, variant)
        storage.write_model(workspace.model(name, variant), model)
        check_reload(workspace.model(name, variant), model, validation)
        storage.write_table(results / "history.csv", history)
        metrics = summary.classifier_metrics(history, model, model, examples, variant.objective)
        storage.write_json(results / "metrics.json", metrics)
        figure = curves.training_curves(history, title=name, active=summary.active_in_training(variant))
        storage.write_figure(results / "curves.png", figure)


def initial_model(
    workspace: Workspace, params: Params, variant: MlpVariant | CnnVariant, examples: Examples, *, seed: int
) -> keras.Model:
    """The model before training: fresh, or with the weights of the variant that it starts from."""
    if variant.start_from is not None:
        return storage.read_model(workspace.model(variant.start_from, params.classifiers[variant.start_from]))
    input_shape, num_classes = examples.inputs.shape[1:], examples.num_classes
    return models.build(variant, input_shape=input_shape, num_outputs=num_classes, seed=seed)


def check_reload(path: Path, model: keras.Model, examples: Examples) -> None:
    """Raises PipelineError unless the saved model predicts what the trained one does, to the last bit."""
    some = examples.inputs[: scoring.BATCH_SIZE]
    expected, _ = scoring.predict_in_batches(model, some)
    reloaded, _ = scoring.predict_in_batches(storage.read_model(path), some)
    if not np.array_equal(expected, reloaded):
        raise PipelineError(
            f"{path}: expected the reloaded model to predict what the trained one does, got differences up to "
            f"{np.abs(expected - reloaded).max():.3g}. Run the stage again."
        )
