"""Random affine changes: what stays, how far the rest moves, and how many steps an augmented epoch has."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pipeline.config.models import Augmentation
from pipeline.data.examples import Examples
from pipeline.runtime import backend

NUM_IMAGES, SIZE = 400, 41
CENTRE = SIZE // 2
RADIUS = 12


@pytest.fixture(autouse=True)
def keras_on_jax() -> None:
    backend.configure("jax", threads=2)


def changed(images: np.ndarray, seed: int = 0, *, shear: float = 0, rotation: float = 0, zoom: float = 0) -> np.ndarray:
    import keras

    from pipeline.training import augmentation

    spec = Augmentation(shear_degrees=shear, rotation_degrees=rotation, zoom=zoom)
    seed_tensor = keras.ops.convert_to_tensor([seed, 7], dtype="uint32")
    return np.asarray(augmentation.random_affine(spec, keras.ops.convert_to_tensor(images), seed_tensor))


def blobs(x: int, y: int) -> np.ndarray:
    """Images with one soft spot at (x, y) from the centre, y downwards."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    squared = (columns - CENTRE - x) ** 2 + (rows - CENTRE - y) ** 2
    return np.tile(255 * np.exp(-squared / 8), (NUM_IMAGES, 1, 1)).astype(np.uint8)


def places(images: np.ndarray) -> np.ndarray:
    """Where the spot of each image is, (n, 2): x and y from the centre."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    total = images.sum(axis=(1, 2))
    return np.stack([(images * (grid - CENTRE)).sum(axis=(1, 2)) / total for grid in (columns, rows)], axis=1)


def noise(num_images: int = 6, height: int = 9, width: int = 7) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num_images, height, width), dtype=np.uint8)


def test_amounts_of_0_change_nothing() -> None:
    images = noise()
    np.testing.assert_allclose(changed(images), images, atol=1e-3)


def test_shape_and_units_stay() -> None:
    images = noise()
    result = changed(images, shear=10, rotation=10, zoom=0.2)
    assert (result.shape, result.dtype) == (images.shape, np.float32)
    assert result.min() >= -1e-3
    assert 200 < result.max() <= 255.001
    assert not np.allclose(result, images, atol=1)


def test_pixels_beyond_the_edge_repeat_the_nearest() -> None:
    """Any other filling would darken the corners of an evenly grey image."""
    grey = np.full((50, 12, 12), 200, np.uint8)
    np.testing.assert_allclose(changed(grey, shear=30, rotation=40, zoom=0.5), 200, atol=1e-3)


def test_equal_seeds_change_alike_and_each_image_differs() -> None:
    image = noise(num_images=1)
    images = np.repeat(image, 5, axis=0)
    amounts = {"shear": 10, "rotation": 10, "zoom": 0.2}
    first, again, other = (changed(images, seed, **amounts) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other, atol=1)
    for index in range(1, 5):
        assert not np.allclose(first[0], first[index], atol=1)


def test_the_centre_stays_where_it_is() -> None:
    found = places(changed(blobs(0, 0), shear=10, rotation=10, zoom=0.2))
    np.testing.assert_allclose(found, 0, atol=0.05)


def test_rotation_is_in_degrees_and_keeps_distances() -> None:
    found = places(changed(blobs(RADIUS, 0), rotation=10))
    np.testing.assert_allclose(np.hypot(*found.T), RADIUS, atol=0.15)
    angles = np.degrees(np.arctan2(found[:, 1], found[:, 0]))
    assert -10.5 < angles.min() < -9
    assert 9 < angles.max() < 10.5
    # Uniform between the two: the standard deviation is a width of 20 over the root of 12.
    assert angles.std() == pytest.approx(20 / math.sqrt(12), rel=0.1)


def test_zoom_of_each_axis_is_its_own() -> None:
    """Where a pixel comes from is scaled, so that a spot moves to its distance over the zoom."""
    found = places(changed(blobs(RADIUS, RADIUS), zoom=0.2))
    assert found.min() == pytest.approx(RADIUS / 1.2, abs=0.3)
    assert found.max() == pytest.approx(RADIUS / 0.8, abs=0.4)
    assert abs(np.corrcoef(found.T)[0, 1]) < 0.15


def test_shear_is_in_degrees_and_keeps_one_axis() -> None:
    along = places(changed(blobs(RADIUS, 0), shear=10))
    np.testing.assert_allclose(along, np.tile([RADIUS, 0], (NUM_IMAGES, 1)), atol=0.2)
    across = places(changed(blobs(0, RADIUS), shear=10))
    angles = np.degrees(np.arctan2(across[:, 0], across[:, 1]))
    assert 9 < np.abs(angles).max() < 10.5
    assert angles.min() < -9
    assert angles.max() > 9


def steps_made(**options: Any) -> float:
    """How many updates a training of two epochs made, read off a bias that each moves by the same amount."""
    import keras

    from pipeline.training import jax_engine, objectives
    from pipeline.training.data import Fit

    inputs = keras.Input((2,), name="inputs")
    model = keras.Model(inputs, keras.layers.Dense(1, name="outputs")(inputs))
    # Far above what is predicted: the gradient of the absolute error by the bias is -1 in each batch.
    examples = Examples(np.zeros((10, 2), np.float32), np.full((10, 1), 1e6, np.float32))
    fit = Fit(
        training=examples,
        validation=examples,
        metrics=objectives.metrics_of("mean_absolute_error"),
        optimizer=keras.optimizers.SGD(1.0),
        batch_size=4,
        epochs=2,
        seed=0,
        callbacks=[],
    )
    jax_engine.run(model, fit, **options)
    return float(model.get_weights()[1][0])


def test_an_epoch_has_a_step_for_each_batch_or_as_many_as_are_asked_for() -> None:
    # 10 examples in batches of 4, the last one of 2.
    assert steps_made() == 2 * 3
    assert steps_made(steps_per_epoch=7) == 2 * 7
    assert steps_made(steps_per_epoch=1) == 2 * 1
    assert steps_made(steps_per_epoch=7, augment=lambda inputs, seed: inputs) == 2 * 7
