"""Train a variant while its progress is shown, refuse a training that diverged, and sum up what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline import training
from pipeline.config.models import Trainable
from pipeline.data.examples import Examples
from pipeline.runtime import progress
from pipeline.training import summary

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Trained:
    """A trained model, its history with one row per epoch, and its metrics as `summary.metrics` has them."""

    model: keras.Model
    history: pd.DataFrame
    metrics: dict[str, Any]


def fit(
    model: keras.Model,
    variant: Trainable,
    examples: Examples,
    validation: Examples,
    *,
    key: str,
    title: str,
    seed: int,
    extractor: keras.Model | None = None,
    on_epoch: progress.EpochListener | None = None,
) -> Trained:
    """Train `model` in place by a variant's specification.

    What comes of it is the model itself or, where the examples are features that a frozen `extractor` made, both as
    one. The terminal shows the title and the watched metric; `on_epoch` hears of each row of the history. Raises
    PipelineError naming the variant's key in the parameters when training diverged.
    """
    with progress.epochs(title, variant.epochs, metric=summary.WATCHED[variant.objective]) as bar:

        def listener(epoch: int, values: Mapping[str, float]) -> None:
            if on_epoch is not None:
                on_epoch(epoch, values)
            bar(epoch, values)

        history = training.train(model, variant, training=examples, validation=validation, seed=seed, on_epoch=listener)
    summary.check_converged(history, key)
    complete = model
    if extractor is not None:
        from pipeline.models import mobilenet_v2

        complete = mobilenet_v2.complete(extractor, model)
    return Trained(complete, history, summary.metrics(history, complete, model, examples, variant.objective))
