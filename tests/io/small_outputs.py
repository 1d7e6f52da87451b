"""Small figures and models to write, and looks at the files that come of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from pipeline.runtime import backend

if TYPE_CHECKING:
    import keras


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def small_figure() -> Figure:
    figure = Figure(figsize=(2, 1), layout="constrained")
    figure.subplots().plot([1, 2, 3])
    return figure


def noise_figure() -> Figure:
    """A picture that PNG cannot make smaller."""
    figure = Figure(figsize=(4, 4))
    figure.figimage(np.random.default_rng(0).integers(0, 256, (480, 480, 3), dtype=np.uint8))
    return figure


def small_model(*, seed: int = 0, units: int = 3) -> keras.Model:
    """Raw 28x28 images to `units` probabilities; two layers share one regularizer."""
    backend.configure("jax", threads=1)
    import keras

    keras.utils.set_random_seed(seed)
    shared = keras.regularizers.L2(0.01)
    pixels = keras.Input((28, 28), name="pixels")
    features = keras.layers.Flatten(name="flatten")(pixels)
    features = keras.layers.Dense(units, kernel_regularizer=shared, name="hidden")(features)
    outputs = keras.layers.Dense(3, activation="softmax", kernel_regularizer=shared, name="probabilities")(features)
    return keras.Model(pixels, outputs, name="small")


def bytes_of_two(scratch: Path, write: Callable[[Path], None]) -> tuple[bytes, bytes]:
    """What one writer writes under two names at two times."""
    first, second = scratch / "first", scratch / "second"
    write(first)
    os.utime(first, (0, 0))
    write(second)
    return first.read_bytes(), second.read_bytes()
