"""Random affine transforms of images, compiled together with the training step."""

import math
from typing import Any

import keras

from pipeline.config.models import Augmentation


def random_affine(spec: Augmentation, images: Any, seed: Any) -> Any:
    """Shear, zoom and rotate each image (n, height, width) about its centre by amounts of its own.

    `seed` is a Keras seed tensor: equal seeds give equal transforms. Returns float32 in the images' units.
    """
    num_images, height, width = images.shape
    shear, rotation = math.radians(spec.shear_degrees), math.radians(spec.rotation_degrees)
    low = (-shear, -rotation, 1 - spec.zoom, 1 - spec.zoom)
    high = (shear, rotation, 1 + spec.zoom, 1 + spec.zoom)
    amounts = keras.random.uniform((4, num_images), seed=seed)
    angles = [low[i] + (high[i] - low[i]) * amounts[i] for i in range(4)]
    transforms = _transforms(*angles, centre=((height - 1) / 2, (width - 1) / 2))
    changed = keras.ops.image.affine_transform(
        keras.ops.cast(images, "float32")[..., None],
        transforms,
        interpolation="bilinear",
        fill_mode="nearest",
        data_format="channels_last",
    )
    return changed[..., 0]


def _transforms(shear: Any, rotation: Any, zoom_x: Any, zoom_y: Any, *, centre: tuple[float, float]) -> Any:
    """Eight coefficients per image for Keras, which map output to input pixels: rotation times shear times zoom."""
    cos, sin = keras.ops.cos(rotation), keras.ops.sin(rotation)
    xx, xy = cos * zoom_x, (-cos * keras.ops.sin(shear) - sin * keras.ops.cos(shear)) * zoom_y
    yx, yy = sin * zoom_x, (-sin * keras.ops.sin(shear) + cos * keras.ops.cos(shear)) * zoom_y
    centre_y, centre_x = centre
    shift_x = centre_x - xx * centre_x - xy * centre_y
    shift_y = centre_y - yx * centre_x - yy * centre_y
    zeros = keras.ops.zeros_like(xx)
    return keras.ops.stack([xx, xy, shift_x, yx, yy, shift_y, zeros, zeros], axis=-1)
