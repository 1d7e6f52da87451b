"""Parts that the model families share: scaled input, dense layers, output layer.

Every layer has an explicit name, because Keras's automatic names count up within a process and would change the saved
bytes. Only the scaling, an operation, has an automatic one: "multiply" in the first model of a process.
"""

from collections.abc import Sequence

import keras

from pipeline.config.models import DenseLayer, Output


def scaled_input(input_shape: tuple[int, int]) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Raw pixels 0-255 of shape (n, height, width), and the same scaled to [0, 1]."""
    pixels = keras.Input(input_shape, name="pixels")
    # Not a Rescaling layer, which imports TensorFlow on any backend.
    return pixels, pixels * (1 / 255)


def dense_layers(
    features: keras.KerasTensor, layers: Sequence[DenseLayer], *, kernel_initializer: str | None = None
) -> keras.KerasTensor:
    """Dense (ReLU), batch normalization, dropout, for each layer of the specification."""
    for number, layer in enumerate(layers, start=1):
        features = keras.layers.Dense(
            layer.units,
            activation="relu",
            kernel_initializer=kernel_initializer or "glorot_uniform",
            kernel_regularizer=_kernel_penalty(layer),
            activity_regularizer=keras.regularizers.L1(layer.activity_l1) if layer.activity_l1 else None,
            name=f"dense_{number}",
        )(features)
        features = normalized(features, wanted=layer.batch_norm, name=f"dense_{number}")
        features = dropped_out(features, rate=layer.dropout, name=f"dense_{number}")
    return features


def normalized(features: keras.KerasTensor, *, wanted: bool, name: str) -> keras.KerasTensor:
    """Batch normalization after the named layer, if wanted."""
    return keras.layers.BatchNormalization(name=f"{name}_batch_norm")(features) if wanted else features


def dropped_out(features: keras.KerasTensor, *, rate: float, name: str) -> keras.KerasTensor:
    """Dropout after the named layer, if its rate is not 0."""
    return keras.layers.Dropout(rate, name=f"{name}_dropout")(features) if rate else features


def classifier(
    pixels: keras.KerasTensor,
    features: keras.KerasTensor,
    *,
    num_classes: int,
    name: str,
    output: Output | None = None,
) -> keras.Model:
    """The model from its input to probabilities (n, num_classes); without `output`, a softmax without a penalty."""
    probabilities = keras.layers.Dense(
        num_classes,
        activation=output.activation if output else "softmax",
        kernel_regularizer=_kernel_penalty(output) if output else None,
        name="probabilities",
    )(features)
    return keras.Model(pixels, probabilities, name=name)


def _kernel_penalty(layer: DenseLayer | Output) -> keras.Regularizer | None:
    if layer.l1 and layer.l2:
        return keras.regularizers.L1L2(layer.l1, layer.l2)
    if layer.l1:
        return keras.regularizers.L1(layer.l1)
    return keras.regularizers.L2(layer.l2) if layer.l2 else None
