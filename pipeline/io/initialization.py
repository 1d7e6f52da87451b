"""Models without the weights that they would start from, for those whose weights are read or drawn right afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from keras import KerasTensor


@contextlib.contextmanager
def skipped() -> Iterator[None]:
    """Let kernels that Keras would draw at random be zeros; how they would be drawn stays in the model's configuration.

    JAX compiles a random draw anew for every shape: 17 of the 18 seconds in which a MobileNetV2 was built.
    """
    import keras

    def zeros(self: Any, shape: tuple[int, ...], dtype: str | None = None) -> KerasTensor:
        return keras.ops.zeros(shape, dtype)

    # Of Glorot's and He's initializers alike. Keras has no switch for it.
    with mock.patch.object(keras.initializers.VarianceScaling, "__call__", zeros):
        yield
