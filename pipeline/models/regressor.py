"""Dense networks from a signal to the parameters of its wave."""

import keras

from pipeline.config.models import RegressorVariant
from pipeline.models import blocks


def build(spec: RegressorVariant, *, input_shape: tuple[int], num_outputs: int) -> keras.Model:
    """Signals (n, num_points), unscaled, through dense layers to linear outputs (n, num_outputs)."""
    signal = keras.Input(input_shape, name="signal")
    features = blocks.dense_layers(signal, spec.layers)
    return keras.Model(signal, keras.layers.Dense(num_outputs, name="parameters")(features), name="regressor")
