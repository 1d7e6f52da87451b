"""Train one variant on the training split of its data, watched on the validation split."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline import models
from pipeline.config.models import MobileNetVariant, RegressorVariant, Trainable
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.data.examples import Examples, read_labelled, read_rows
from pipeline.errors import PipelineError
from pipeline.evaluation import scoring
from pipeline.io import outcomes, storage
from pipeline.io.paths import Workspace
from pipeline.plots import curves
from pipeline.runtime import backend
from pipeline.training import fitting, summary

if TYPE_CHECKING:
    import keras

# What the source of the sine waves calls a strong and a very good error.
LEVELS = {"strong": 0.03, "very good": 0.02}


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Train one variant; save its model, history, metrics and curves."""
    variant = outcomes.of_variant(workspace, require(params.all_variants, name, "variant"))
    examples, validation = read_examples(workspace, params, variant)
    backend.configure(variant.engine, threads=params.compute.threads)
    seed = params.seed_of(name)
    # Before the training, which would be for nothing without the weights.
    extractor = models.extractor(variant, params.features, workspace.weights)
    model = initial_model(workspace, params, variant, examples, seed=seed)
    from pipeline.tracking import live

    with live.training_run(workspace, params, name) as run:
        trained = fitting.fit(
            model,
            variant,
            examples,
            validation,
            key=f"{params.variant_group(name)}.{name}",
            title=name,
            seed=seed,
            extractor=extractor,
            on_epoch=run.log_epoch,
        )
        path, results = workspace.model(name, variant), workspace.training_results(name, variant)
        storage.write_model(path, trained.model)
        if extractor is None:
            check_reload(path, trained.model, validation)
        storage.write_table(results / "history.csv", trained.history)
        storage.write_json(results / "metrics.json", trained.metrics)
        storage.write_figure(results / "curves.png", draw(variant, trained.history, title=name))


def read_examples(workspace: Workspace, params: Params, variant: Trainable) -> tuple[Examples, Examples]:
    """What a variant is trained on and watched on: images, features of a frozen network, or rows of a signal."""
    path_of = partial(workspace.training_data, variant)
    if not isinstance(variant, RegressorVariant):
        return read_labelled(path_of, kind="features" if isinstance(variant, MobileNetVariant) else "images")
    signal = params.signals[variant.dataset]
    return read_rows(path_of("train"), signal), read_rows(path_of("validation"), signal)


def initial_model(
    workspace: Workspace, params: Params, variant: Trainable, examples: Examples, *, seed: int
) -> keras.Model:
    """The model before training: fresh, or with the weights of the variant that it starts from."""
    if variant.start_from is not None:
        return storage.read_model(workspace.model(variant.start_from, params.classifiers[variant.start_from]))
    return models.build(variant, input_shape=examples.inputs.shape[1:], num_outputs=examples.num_outputs, seed=seed)


def draw(variant: Trainable, history: pd.DataFrame, *, title: str) -> Figure:
    """The curves of a training."""
    if isinstance(variant, RegressorVariant):
        return curves.training_curves(history, title=title, measures=curves.REGRESSOR, levels=LEVELS)
    return curves.training_curves(history, title=title, active=summary.active_in_training(variant))


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
