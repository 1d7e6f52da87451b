"""Multilayer perceptrons on flattened images."""

import keras

from pipeline.config.models import MlpVariant
from pipeline.models import blocks


def build(spec: MlpVariant, *, input_shape: tuple[int, int], num_outputs: int) -> keras.Model:
    """Raw pixels (n, height, width), flattened, through dense layers to probabilities (n, num_outputs)."""
    pixels, scaled = blocks.scaled_input(input_shape)
    features = keras.layers.Flatten(name="flatten")(scaled)
    features = blocks.dense_layers(features, spec.layers, kernel_initializer=spec.kernel_initializer)
    return blocks.classifier(pixels, features, num_classes=num_outputs, name="mlp", output=spec.output)
