"""Train one model: the fast path of its family, behind one function."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.config.models import Engine, MlpVariant
from pipeline.models import Trainable
from pipeline.training.data import EpochListener, Examples

if TYPE_CHECKING:
    import keras

__all__ = ["EpochListener", "Examples", "train"]


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

    The model ends with the weights of the last epoch, and uncompiled. Returns the history, one row per epoch with
    the columns of `data.history_columns`; `on_epoch` hears of each row while training runs.
    """
    import keras

    from pipeline.training import callbacks, objectives

    keras.utils.set_random_seed(seed)
    figures = objectives.figures(spec.objective)
    history = callbacks.History(on_epoch, figures.names)
    _engine(spec.engine)(
        model,
        training=training,
        validation=validation,
        figures=figures,
        optimizer=callbacks.optimizer(spec.optimizer),
        batch_size=spec.batch_size,
        epochs=spec.epochs,
        seed=seed,
        # The history first: a plateau rule changes the rate for the next epoch.
        callbacks=[history, *callbacks.of_variant(spec)],
        **_augmentation(spec),
    )
    return history.table()


def _engine(name: Engine) -> Callable[..., None]:
    # One literal table cannot be: each engine imports its own backend.
    if name == "tensorflow":
        from pipeline.training import tensorflow_engine

        return tensorflow_engine.run
    from pipeline.training import jax_engine

    return jax_engine.run


def _augmentation(spec: Trainable) -> dict[str, Any]:
    """What only the engine of dense networks takes, and only if the variant asks for it."""
    if not isinstance(spec, MlpVariant) or spec.augmentation is None:
        return {}
    from pipeline.training import augmentation

    return {"augment": partial(augmentation.random_affine, spec.augmentation), "steps_per_epoch": spec.steps_per_epoch}
