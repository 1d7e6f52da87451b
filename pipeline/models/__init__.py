"""Model families: each builds an untrained Keras model."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.data import Features
from pipeline.config.models import MobileNetVariant, Trainable

if TYPE_CHECKING:
    import keras

# Of the images that a complete model takes; their features do not have it.
IMAGE_SHAPE = (28, 28)


def build(spec: Trainable, *, input_shape: tuple[int, ...], num_outputs: int, seed: int) -> keras.Model:
    """Build the untrained model of a variant.

    Image classifiers take raw grey images (n, height, width) with pixels 0-255 and give probabilities (n, num_outputs);
    heads on frozen features and regressors take vectors (n, length). Equal seeds give equal initial weights. Keras is
    imported here, not before, because the process chooses its backend first.
    """
    import keras

    # By name: a table of all families would be part of what DVC watches, and a new one would train every model anew.
    family = importlib.import_module(f"pipeline.models.{spec.family}")
    keras.utils.set_random_seed(seed)
    model: keras.Model = family.build(spec, input_shape=input_shape, num_outputs=num_outputs)
    return model


def extractor(
    spec: Trainable, features: Mapping[str, Features], weights_path: Callable[[str], Path]
) -> keras.Model | None:
    """The frozen network before a model that is trained on features; None for a model that takes the data itself.

    Raises PipelineError when its weights are missing, damaged or of another network.
    """
    if not isinstance(spec, MobileNetVariant):
        return None
    from pipeline.models import mobilenet_v2

    made_by = features[spec.features]
    return mobilenet_v2.build_extractor(made_by, weights_path(made_by.weights), image_shape=IMAGE_SHAPE)
