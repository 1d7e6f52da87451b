"""Train a variant while its progress is shown, and refuse a training that diverged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from pipeline import training
from pipeline.data.examples import Examples
from pipeline.models import Trainable
from pipeline.runtime import progress
from pipeline.training import summary

if TYPE_CHECKING:
    import keras


def fit(
    model: keras.Model,
    variant: Trainable,
    examples: Examples,
    validation: Examples,
    *,
    key: str,
    title: str,
    seed: int,
    watched: str = "val_accuracy",
    on_epoch: progress.EpochListener | None = None,
) -> pd.DataFrame:
    """Train `model` in place by a variant's specification; returns its history, one row per epoch.

    The terminal shows the title and the column `watched` of the history; `on_epoch` hears of each row too. Raises
    PipelineError naming the variant's key in the parameters when training diverged.
    """
    with progress.epochs(title, variant.epochs, metric=watched) as bar:

        def listener(epoch: int, values: Mapping[str, float]) -> None:
            if on_epoch is not None:
                on_epoch(epoch, values)
            bar(epoch, values)

        history = training.train(model, variant, training=examples, validation=validation, seed=seed, on_epoch=listener)
    summary.check_converged(history, key)
    return history
