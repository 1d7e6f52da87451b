"""Convolutional networks: blocks of convolution and pooling, then dense layers."""

import keras

from pipeline.config.models import CnnVariant
from pipeline.models import blocks


def build(spec: CnnVariant, *, input_shape: tuple[int, int], num_outputs: int) -> keras.Model:
    """Raw pixels (n, height, width) through conv blocks and dense layers to probabilities (n, num_outputs)."""
    pixels, scaled = blocks.scaled_input(input_shape)
    features = keras.layers.Reshape((*input_shape, 1), name="channel")(scaled)
    for number, block in enumerate(spec.blocks, start=1):
        name = f"conv_{number}"
        features = keras.layers.Conv2D(block.filters, 3, padding=block.padding, activation="relu", name=name)(features)
        features = blocks.normalized(features, wanted=block.batch_norm, name=name)
        features = keras.layers.MaxPooling2D(2, name=f"{name}_pool")(features)
        features = blocks.dropped_out(features, rate=block.dropout, name=name)
    features = keras.layers.Flatten(name="flatten")(features)
    features = blocks.dense_layers(features, spec.layers)
    return blocks.classifier(pixels, features, num_classes=num_outputs, name="cnn")
