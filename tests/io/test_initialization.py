"""Models without their first weights: zeros while they are built, and all else as ever."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.io import initialization
from pipeline.runtime import backend


@pytest.fixture(autouse=True)
def keras_on_jax() -> None:
    """Another test in this process may have imported Keras, or be the next to: on JAX, as all that train here."""
    backend.configure("jax", threads=1)


@pytest.mark.parametrize("initializer", ["glorot_uniform", "he_normal"])
def test_kernels_are_zeros_and_the_configuration_is_kept(initializer: str) -> None:
    import keras

    def build() -> keras.Model:
        layers = [keras.Input((5,), name="inputs"), keras.layers.Dense(3, kernel_initializer=initializer, name="dense")]
        return keras.Sequential(layers, name="network")

    with initialization.skipped():
        skipped = build()
    drawn = build()
    assert skipped.get_config() == drawn.get_config()
    shapes = [weight.shape for weight in drawn.get_weights()]
    assert [weight.shape for weight in skipped.get_weights()] == shapes
    assert [weight.dtype for weight in skipped.get_weights()] == [weight.dtype for weight in drawn.get_weights()]
    assert not np.any(skipped.get_weights()[0])
    assert np.all(drawn.get_weights()[0])


def test_an_error_ends_it() -> None:
    import keras

    with pytest.raises(RuntimeError), initialization.skipped():
        raise RuntimeError
    assert np.any(keras.initializers.GlorotUniform(seed=1)((2, 2)))
