"""Labelled examples: read from the files of a split, and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.config.data import Signal
from pipeline.errors import PipelineError
from pipeline.io import storage

Kind = Literal["images", "features"]
# Of the array of that name: its axes, its type, and what a row of it is called.
INPUTS: Mapping[Kind, tuple[tuple[str, ...], str, str]] = {
    "images": (("n", "height", "width"), "uint8", "image"),
    "features": (("n", "channels"), "float32", "row"),
}


@dataclass(frozen=True)
class Examples:
    """Inputs (n, ...) and what a model should give for them, (n,) labels uint8 or (n, num_outputs) float32.

    For image classifiers the inputs are raw images (n, height, width) uint8.
    """

    inputs: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def num_classes(self) -> int:
        """The number of classes, provided that each class has an example."""
        return int(self.targets.max()) + 1

    @property
    def num_outputs(self) -> int:
        """How many outputs a model needs: one per class, or one per target."""
        return self.num_classes if self.targets.ndim == 1 else self.targets.shape[1]

    def subset(self, indices: np.ndarray | slice) -> Examples:
        """The examples at these indices, in their order."""
        return Examples(self.inputs[indices], self.targets[indices])


def read_images(path: Path, *, num_classes: int | None = None) -> Examples:
    """Read a prepared split: images (n, height, width) and labels (n,), uint8.

    Raises PipelineError when the file is missing, damaged or empty, or when a label is not below the number of classes;
    without that number, when a class below the highest label has no example.
    """
    return _read_labelled(path, "images", num_classes)


def read_labelled(path_of: Callable[[str], Path], *, kind: Kind = "images") -> tuple[Examples, Examples]:
    """Read the splits `train` and `validation`; the classes are those of the labels that are trained on.

    Both are images as of `read_images`, or features (n, channels) float32 of a frozen network. Raises as it does.
    """
    training = _read_labelled(path_of("train"), kind, None)
    return training, _read_labelled(path_of("validation"), kind, training.num_classes)


def read_rows(path: Path, signal: Signal) -> Examples:
    """Read rows of a signal: inputs (n, num_points) and targets (n, 4), float32.

    Raises PipelineError when the file is missing, damaged, empty, or does not fit the signal.
    """
    inputs, targets = storage.read_arrays(path, "inputs", "targets")
    num_points, num_targets = signal.num_points, len(signal.example)
    fits = inputs.ndim == 2 and len(inputs) > 0 and inputs.shape[1] == num_points and inputs.dtype == np.float32
    _check(fits, path, f"inputs (n, {num_points}) of float32, got {inputs.shape} of {inputs.dtype}")
    fits = targets.shape == (len(inputs), num_targets) and targets.dtype == np.float32
    _check(fits, path, f"targets ({len(inputs)}, {num_targets}) of float32, got {targets.shape} of {targets.dtype}")
    return Examples(inputs, targets)


def _read_labelled(path: Path, kind: Kind, num_classes: int | None) -> Examples:
    """The inputs of that kind and their labels."""
    (axes, dtype, item), (inputs, labels) = INPUTS[kind], storage.read_arrays(path, kind, "labels")
    fits = inputs.ndim == len(axes) and inputs.dtype == dtype and len(inputs) > 0
    _check(fits, path, f"{kind} ({', '.join(axes)}) of {dtype}, got {inputs.shape} of {inputs.dtype}")
    fits = labels.shape == inputs.shape[:1] and labels.dtype == np.uint8
    _check(fits, path, f"one uint8 label per {item} ({len(inputs)}), got {labels.shape} of {labels.dtype}")
    if num_classes is None:
        present = np.unique(labels)
        named = ", ".join(map(str, present))
        fits = np.array_equal(present, np.arange(len(present)))
        _check(fits, path, f"labels that leave out none below the highest, got {named}")
    else:
        fits = labels.max() < num_classes
        _check(fits, path, f"labels below {num_classes}, the number of classes, got {labels.max()}")
    return Examples(inputs, labels)


def _check(fits: bool | np.bool_, path: Path, expected: str) -> None:
    if not fits:
        raise PipelineError(f"{path}: expected {expected}. Delete it, then run `dvc repro` to make it again.")
