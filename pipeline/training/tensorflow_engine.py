"""Training of convolutional networks: Keras's own `fit` on TensorFlow, with TensorFlow's fused batch normalization."""

from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from pipeline.data.examples import Examples
from pipeline.training.data import Fit

# Steps per call into TensorFlow; more saves nothing measurable.
STEPS_PER_EXECUTION = 50


def run(model: keras.Model, fit: Fit) -> None:
    """Train `model` in place; it ends with the last epoch's weights, and uncompiled.

    The loss and metrics are Keras's own for the categorical cross-entropy, whatever the objective.
    """
    twin = with_fused_normalization(model)
    twin.compile(
        optimizer=fit.optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=[keras.metrics.SparseCategoricalCrossentropy(name=fit.metrics.loss_name), "accuracy"],
        steps_per_execution=STEPS_PER_EXECUTION,
        jit_compile=False,
    )
    twin.fit(
        shuffled_batches(fit.training, batch_size=fit.batch_size, seed=fit.seed),
        validation_data=(fit.validation.inputs, fit.validation.targets) if fit.validation else None,
        validation_batch_size=1000,
        epochs=fit.epochs,
        shuffle=False,
        callbacks=list(fit.callbacks),
        verbose=0,
    )
    model.set_weights(twin.get_weights())


def shuffled_batches(examples: Examples, *, batch_size: int, seed: int) -> tf.data.Dataset:
    """Batches (inputs, targets) of all examples, in a new order each time that the dataset is iterated over.

    `Model.fit` on arrays does not do so once Keras is seeded: the seed of its shuffling starts again with every epoch,
    which then sees the same batches in the same order as the one before (TensorFlow issues 35682 and 44195).
    """
    random = np.random.default_rng(seed)
    num_batches = -(-len(examples) // batch_size)

    def order() -> Iterator[np.ndarray]:
        yield random.permutation(len(examples))

    # Copied into TensorFlow once; a batch is gathered from there.
    inputs, targets = tf.constant(examples.inputs), tf.constant(examples.targets)
    orders = tf.data.Dataset.from_generator(order, output_signature=tf.TensorSpec((len(examples),), tf.int64))
    batches = orders.flat_map(tf.data.Dataset.from_tensor_slices).batch(batch_size)
    batches = batches.map(lambda batch: (tf.gather(inputs, batch), tf.gather(targets, batch)))
    return batches.apply(tf.data.experimental.assert_cardinality(num_batches)).prefetch(tf.data.AUTOTUNE)


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Stands in for `keras.layers.BatchNormalization` during training; same weights, same results.

    Takes (n, channels) or (n, height, width, channels) and normalizes the last axis.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: None = None) -> tf.Tensor:
        if not training:
            return super().call(inputs, training=training)
        images = inputs if len(inputs.shape) == 4 else inputs[:, tf.newaxis, tf.newaxis, :]
        normalized, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            images, self.gamma, self.beta, epsilon=self.epsilon, is_training=True
        )
        # The kernel reports the unbiased variance; Keras keeps the biased one.
        num_values = tf.cast(tf.size(images) // images.shape[-1], variance.dtype)
        self._follow(self.moving_mean, mean)
        self._follow(self.moving_variance, variance * (num_values - 1) / num_values)
        return normalized if len(inputs.shape) == 4 else normalized[:, 0, 0, :]

    def _follow(self, average: keras.Variable, value: tf.Tensor) -> None:
        average.assign(average * self.momentum + value * (1 - self.momentum))


def with_fused_normalization(model: keras.Model) -> keras.Model:
    """A copy of the model with the same weights, in which batch normalization is fused."""

    def fused(layer: keras.Layer) -> keras.Layer:
        if type(layer) is keras.layers.BatchNormalization:
            return FusedBatchNormalization.from_config(layer.get_config())
        return layer.__class__.from_config(layer.get_config())

    twin = keras.models.clone_model(model, clone_function=fused)
    twin.set_weights(model.get_weights())
    return twin
