"""The images that are trained on: prepared ones, or drawn ones where nothing has been prepared."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workers import ROOT
from pipeline.data.examples import Examples, read_images
from pipeline.io.paths import Workspace

NUM_DRAWN_CLASSES = 10


def load(dataset: str | None, num_train: int | None, num_validation: int | None) -> tuple[Examples, Examples]:
    """The first training and validation images of a dataset (all without a number); without a dataset, drawn ones."""
    if dataset is None:
        return drawn(num_train or 1000, seed=1), drawn(num_validation or 200, seed=2)
    train, validation = (
        read_images(Workspace(ROOT).prepared(dataset, split), num_classes=256) for split in ("train", "validation")
    )
    return first(train, num_train), first(validation, num_validation)


def first(examples: Examples, number: int | None) -> Examples:
    """So many of the examples, all without a number."""
    return examples.subset(slice(number))


def drawn(number: int, seed: int) -> Examples:
    """Noise 28 x 28 of ten classes that differ in a bright row."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, NUM_DRAWN_CLASSES, number, dtype=np.uint8)
    images = random.integers(0, 128, (number, 28, 28), dtype=np.uint8)
    images[np.arange(number), 2 * labels + 4] += 100
    return Examples(images, labels)


def one_hot(labels: np.ndarray[Any, Any], num_classes: int) -> np.ndarray[Any, Any]:
    """Labels (n,) as rows (n, num_classes) float32."""
    return np.eye(num_classes, dtype=np.float32)[labels]


def shuffled(inputs: np.ndarray[Any, Any], targets: np.ndarray[Any, Any], *, batch_size: int, seed: int) -> Any:
    """A `tf.data.Dataset` of batches, as `Model.fit` makes one of arrays, but in a new order in each epoch.

    On arrays a seeded Keras takes the same order in every epoch (TensorFlow issues 35682 and 44195).
    """
    import tensorflow as tf

    order = tf.data.Dataset.range(len(inputs)).shuffle(len(inputs), seed=seed, reshuffle_each_iteration=True)
    arrays = tf.constant(inputs), tf.constant(targets)
    batches = order.batch(batch_size).map(
        lambda batch: tuple(tf.gather(array, batch) for array in arrays), num_parallel_calls=tf.data.AUTOTUNE
    )
    return batches.prefetch(tf.data.AUTOTUNE)
