"""Train one model, by the engine that its variant names."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.config.models import MlpVariant, Trainable
from pipeline.data.examples import Examples
from pipeline.runtime.progress import EpochListener
from pipeline.training.data import Fit

if TYPE_CHECKING:
    import keras


def train(
    model: keras.Model,
    spec: Trainable,
    *,
    training: Examples,
    validation: Examples,
    seed: int,
    on_epoch: EpochListener,
) -> pd.DataFrame:
    """Train `model` in place by a variant's objective, optimizer, schedule, batch size and number of epochs.

    The model ends with the weights of the last epoch, and uncompiled. Returns the history, one row per epoch with the
    columns of `data.history_columns`; `on_epoch` is called with each row as soon as it is known.
    """
    import keras

    from pipeline.training import callbacks, objectives

    keras.utils.set_random_seed(seed)
    metrics = objectives.metrics_of(spec.objective)
    history = callbacks.History(on_epoch, metrics.names)
    fit = Fit(
        training=training,
        validation=validation,
        metrics=metrics,
        optimizer=callbacks.optimizer(spec.optimizer),
        batch_size=spec.batch_size,
        epochs=spec.epochs,
        seed=seed,
        # The history first: a plateau rule changes the rate for the next epoch.
        callbacks=[history, *callbacks.of_variant(spec)],
    )
    # Each engine imports its own backend, of which a process has one.
    if spec.engine == "tensorflow":
        from pipeline.training import tensorflow_engine

        tensorflow_engine.run(model, fit)
    else:
        from pipeline.training import augmentation, jax_engine

        if isinstance(spec, MlpVariant) and spec.augmentation:
            augment = partial(augmentation.random_affine, spec.augmentation)
            jax_engine.run(model, fit, augment=augment, steps_per_epoch=spec.steps_per_epoch)
        else:
            jax_engine.run(model, fit)
    return history.table()
