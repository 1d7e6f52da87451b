"""Training of convolutional networks: Keras's own `fit` on TensorFlow, with TensorFlow's fused batch normalization."""

import keras
import tensorflow as tf

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
        fit.training.inputs,
        fit.training.targets,
        validation_data=(fit.validation.inputs, fit.validation.targets),
        validation_batch_size=1000,
        batch_size=fit.batch_size,
        epochs=fit.epochs,
        callbacks=list(fit.callbacks),
        verbose=0,
    )
    model.set_weights(twin.get_weights())


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
