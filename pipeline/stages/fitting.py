"""What every stage that trains does: train while a terminal and MLflow watch, and refuse what diverged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from pipeline import tracking, training
from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from pipeline.models import Trainable
from pipeline.runtime import progress
from pipeline.training import Examples, summary

if TYPE_CHECKING:
    import keras


@contextlib.contextmanager
def fitted(
    workspace: Workspace,
    params: Params,
    name: str,
    model: keras.Model,
    spec: Trainable,
    *,
    examples: Examples,
    validation: Examples,
    watched: str = "val_accuracy",
) -> Iterator[pd.DataFrame]:
    """Train `model` in place by a variant's specification; gives its history, one row per epoch.

    The stage saves its outputs inside the block, because the live run is completed from them when the block ends.
    `watched` is the column of the history that the terminal shows. Raises PipelineError when training diverged.
    """
    with (
        tracking.training_run(workspace, params, name) as run,
        progress.epochs(name, spec.epochs, figure=watched) as bar,
    ):

        def on_epoch(epoch: int, values: Mapping[str, float]) -> None:
            run.log_epoch(epoch, values)
            bar(epoch, values)

        history = training.train(
            model, spec, training=examples, validation=validation, seed=params.compute.seed, on_epoch=on_epoch
        )
        summary.check_converged(history, f"{params.variant_group(name)}.{name}")
        yield history
