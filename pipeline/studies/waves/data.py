"""Waves a sin(b x) + c cos(d x), and rows of them with known parameters."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.config.data import Signal

PARAMETERS = ("a", "b", "c", "d")

# Inputs (n, num_points) and targets (n, 4), both float32.
Rows = tuple[NDArray[np.float32], NDArray[np.float32]]


def axis(signal: Signal) -> NDArray[np.float64]:
    """The points x (num_points,) of a signal, in radians: equally spaced, both ends included."""
    return np.linspace(0, signal.length_in_pi * np.pi, signal.num_points)


def waves(parameters: ArrayLike, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The waves (n, num_points) of parameters (n, 4), in the order of PARAMETERS, at x (num_points,) in radians."""
    a, b, c, d = np.asarray(parameters, dtype=np.float64).T[:, :, np.newaxis]
    return a * np.sin(b * x) + c * np.cos(d * x)


def generate(signal: Signal) -> dict[str, Rows]:
    """Training, validation and test rows, drawn in this order from one seeded stream, and the extended test rows."""
    sizes = {"train": signal.train_size, "validation": signal.validation_size, "test": signal.test_size}
    random = np.random.default_rng(signal.seed)
    x = axis(signal)
    drawn = {split: rows(random.uniform(size=(size, len(PARAMETERS))), x) for split, size in sizes.items()}
    return {**drawn, "extended": rows(np.array(signal.extended), x)}


def rows(parameters: ArrayLike, x: NDArray[np.float64]) -> Rows:
    """What a network learns from: the waves (n, num_points), and their parameters (n, 4), both float32."""
    # The wave of the rounded parameters: a row and its targets must agree.
    targets = np.asarray(parameters, dtype=np.float32)
    return waves(targets, x).astype(np.float32), targets
