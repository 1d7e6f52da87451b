"""Train one model: the fast path of its family, behind one function."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.training.data import EpochListener, Examples

if TYPE_CHECKING:
    import keras

    from pipeline.params import CnnVariant, MlpVariant

__all__ = ["EpochListener", "Examples", "train"]


def train(
    model: keras.Model,
    spec: MlpVariant | CnnVariant,
    *,
    training: Examples,
    validation: Examples,
    seed: int,
    on_epoch: EpochListener,
) -> pd.DataFrame:
    """Train `model` in place by a variant's optimizer, schedule, batch size and number of epochs.

    The model ends with the weights of the last epoch, and uncompiled. Returns the history, one row per epoch with
    the columns of `data.HISTORY_COLUMNS`; `on_epoch` hears of each row while training runs.
    """
    import keras

    from pipeline.training import callbacks

    keras.utils.set_random_seed(seed)
    history = callbacks.History(on_epoch)
    _engine(spec.family)(
        model,
        training=training,
        validation=validation,
        optimizer=callbacks.optimizer(spec.optimizer),
        batch_size=spec.batch_size,
        epochs=spec.epochs,
        seed=seed,
        callbacks=[*callbacks.schedule(spec.schedule), history],
    )
    return history.table()


def _engine(family: str) -> Callable[..., None]:
    # One literal table cannot be: each engine imports its own backend.
    if family == "mlp":
        from pipeline.training import mlp

        return mlp.run
    from pipeline.training import cnn

    return cnn.run
