"""Train one regressor on a signal's training rows, watched on its validation rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline import models
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.data.examples import Examples
from pipeline.evaluation import scoring
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.plots import curves
from pipeline.runtime import backend
from pipeline.studies.waves import data
from pipeline.studies.waves.metrics import absolute_errors
from pipeline.training import fitting, summary

if TYPE_CHECKING:
    import keras

METRICS = ("loss", "mean_absolute_error")
WATCHED = "val_mean_absolute_error"
CURVES = {"mean_absolute_error": "mean absolute error"}
# Validation errors, and what the source calls them.
LEVELS = {"strong": 0.03, "very good": 0.02}


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Train one regressor; save its model, history, metrics and curves."""
    regressor = require(params.regressors, name, "regressor")
    backend.configure(regressor.engine, threads=params.compute.threads)
    num_points = params.signals[regressor.dataset].num_points
    examples, validation = (
        Examples(*data.read(workspace.prepared(regressor.dataset, split), num_points=num_points))
        for split in ("train", "validation")
    )
    seed = params.seed_of(name)
    model = models.build(regressor, input_shape=(num_points,), num_outputs=len(data.PARAMETERS), seed=seed)
    from pipeline.tracking import live

    with live.training_run(workspace, params, name) as run:
        history = fitting.fit(
            model,
            regressor,
            examples,
            validation,
            key=f"regressors.{name}",
            title=name,
            seed=seed,
            watched=WATCHED,
            on_epoch=run.log_epoch,
        )
        results = workspace.training_results(name, regressor)
        storage.write_model(workspace.model(name, regressor), model)
        storage.write_table(results / "history.csv", history)
        storage.write_json(results / "metrics.json", summarize(history, model, examples))
        figure = curves.training_curves(history, title=name, measures=CURVES, levels=LEVELS)
        storage.write_figure(results / "curves.png", figure)


def summarize(history: pd.DataFrame, model: keras.Model, examples: Examples) -> dict[str, Any]:
    """The metrics of a trained regressor: its last epoch, its best epoch by validation error, its size.

    `train_evaluated` are the final weights on all training rows, with dropout off.
    """
    predicted, _ = scoring.predict_in_batches(model, examples.inputs)
    error = absolute_errors(examples.targets, predicted).mean()
    return {
        "parameters": summary.parameter_counts(model),
        **summary.epoch_metrics(history, METRICS, best_row=int(history[WATCHED].argmin())),
        "train_evaluated": {"mean_absolute_error": float(error)},
    }
