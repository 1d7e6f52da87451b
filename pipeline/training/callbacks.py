"""Optimizers, learning-rate schedules and the history, as Keras objects that both engines drive."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import pandas as pd

from pipeline.config.models import Optimizer, RateStep, VariantBase
from pipeline.runtime.progress import EpochListener
from pipeline.training.data import history_columns

OPTIMIZERS = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop, "sgd": keras.optimizers.SGD}


def optimizer(spec: Optimizer) -> keras.Optimizer:
    """A fresh optimizer with Keras's defaults, but for the learning rate."""
    return OPTIMIZERS[spec.name](learning_rate=spec.learning_rate)


def of_variant(spec: VariantBase) -> list[keras.callbacks.Callback]:
    """The learning-rate schedule, plateau rule and early stopping of a variant, as far as it has them."""
    callbacks: list[keras.callbacks.Callback] = []
    if spec.schedule:
        callbacks.append(keras.callbacks.LearningRateScheduler(partial(_scheduled_rate, spec.schedule)))
    # The rules have the fields of Keras's callbacks.
    if rule := spec.reduce_on_plateau:
        callbacks.append(keras.callbacks.ReduceLROnPlateau(mode=_direction(rule.monitor), **rule.model_dump()))
    if stop := spec.early_stopping:
        callbacks.append(keras.callbacks.EarlyStopping(mode=_direction(stop.monitor), **stop.model_dump()))
    return callbacks


def _scheduled_rate(steps: Sequence[RateStep], epoch_from_0: int, current: float) -> float:
    """The learning rate of the last step whose epoch, counted from 1, has come; the current one before the first."""
    begun = [step for step in steps if step.from_epoch <= epoch_from_0 + 1]
    return max(begun, key=lambda step: step.from_epoch).learning_rate if begun else current


def _direction(monitor: str) -> str:
    return "max" if monitor == "val_accuracy" else "min"


class History(keras.callbacks.Callback):
    """Collects one row per epoch, and calls a listener with each."""

    def __init__(self, on_epoch: EpochListener, metrics: tuple[str, ...]) -> None:
        super().__init__()
        self._on_epoch = on_epoch
        self._columns = history_columns(metrics)
        self._rows: list[dict[str, float]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        values = {name: float(value) for name, value in (logs or {}).items()}
        values["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self._rows.append({"epoch": epoch + 1, **values})
        self._on_epoch(epoch + 1, values)

    def table(self) -> pd.DataFrame:
        """The rows so far, with the columns of `data.history_columns`."""
        return pd.DataFrame(self._rows, columns=list(self._columns))
