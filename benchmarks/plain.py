"""Training as the sources wrote it: scaled, one-hot arrays, a Sequential model, `Model.fit` on TensorFlow.

All settings are Keras's own, but for the progress bar, which is off, and the order of each epoch, which is a new one.
"""

from __future__ import annotations

import time
from typing import Any

import keras

from benchmarks import data
from pipeline.config.models import CnnVariant, MlpVariant
from pipeline.data.examples import Examples

OPTIMIZERS = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop, "sgd": keras.optimizers.SGD}


def train(
    variant: MlpVariant | CnnVariant, training: Examples, validation: Examples, *, num_classes: int, seed: int
) -> tuple[list[float], float]:
    """The moments at which training began and each epoch ended, and the last validation accuracy."""
    keras.utils.set_random_seed(seed)
    clock = Clock()
    model = build(variant, num_classes)
    output = variant.output if isinstance(variant, MlpVariant) else None
    model.compile(
        optimizer=OPTIMIZERS[variant.optimizer.name](learning_rate=variant.optimizer.learning_rate),
        loss="binary_crossentropy" if output and output.activation == "sigmoid" else "categorical_crossentropy",
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )
    fitted = model.fit(
        data.shuffled(
            training.inputs.astype("float32") / 255,
            data.one_hot(training.targets, num_classes),
            batch_size=variant.batch_size,
            seed=seed,
        ),
        validation_data=(validation.inputs.astype("float32") / 255, data.one_hot(validation.targets, num_classes)),
        validation_batch_size=variant.batch_size,
        epochs=variant.epochs,
        shuffle=False,
        callbacks=[clock],
        verbose=0,
    )
    return clock.moments, float(fitted.history["val_accuracy"][-1])


class Clock(keras.callbacks.Callback):
    """Notes when it was made, and when each epoch ended."""

    def __init__(self) -> None:
        super().__init__()
        self.moments = [time.perf_counter()]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.moments.append(time.perf_counter())


def build(variant: MlpVariant | CnnVariant, num_classes: int) -> keras.Model:
    """The network of a variant, from scaled images (n, 28, 28)."""
    model = keras.Sequential([keras.Input((28, 28))])
    if isinstance(variant, CnnVariant):
        model.add(keras.layers.Reshape((28, 28, 1)))
        for block in variant.blocks:
            model.add(keras.layers.Conv2D(block.filters, 3, padding=block.padding, activation="relu"))
            _add_rest(model, block.batch_norm, 0)
            model.add(keras.layers.MaxPooling2D(2))
            _add_rest(model, False, block.dropout)
    model.add(keras.layers.Flatten())
    initializer = (variant.kernel_initializer if isinstance(variant, MlpVariant) else None) or "glorot_uniform"
    for layer in variant.layers:
        model.add(
            keras.layers.Dense(
                layer.units,
                activation="relu",
                kernel_initializer=initializer,
                kernel_regularizer=keras.regularizers.L1L2(layer.l1, layer.l2) if layer.l1 or layer.l2 else None,
            )
        )
        _add_rest(model, layer.batch_norm, layer.dropout)
    output = variant.output if isinstance(variant, MlpVariant) else None
    model.add(keras.layers.Dense(num_classes, activation=output.activation if output else "softmax"))
    return model


def _add_rest(model: keras.Model, batch_norm: bool, dropout: float) -> None:
    if batch_norm:
        model.add(keras.layers.BatchNormalization())
    if dropout:
        model.add(keras.layers.Dropout(dropout))
