"""Model families: each builds an untrained Keras model that takes raw pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.params import CnnVariant, MlpVariant

if TYPE_CHECKING:
    import keras


def build(spec: MlpVariant | CnnVariant, *, input_shape: tuple[int, int], num_classes: int, seed: int) -> keras.Model:
    """Build the untrained model of a variant.

    The model takes raw grey images (n, height, width) with pixels 0-255 and gives probabilities (n, num_classes).
    Importing Keras is left to this call: the backend is chosen before. Equal seeds give equal initial weights.
    """
    import keras

    from pipeline.models import cnn, mlp

    keras.utils.set_random_seed(seed)
    families: dict[str, Callable[..., keras.Model]] = {"mlp": mlp.build, "cnn": cnn.build}
    return families[spec.family](spec, input_shape=input_shape, num_classes=num_classes)
