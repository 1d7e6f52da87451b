"""Labelled examples: read from the files of a split, and checked."""

from __future__ import annotations

from collections.abc import Mapping
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


def read_labelled(train: Path, validation: Path, *, kind: Kind = "images") -> tuple[Examples, Examples]:
    """Read the split to train on and the one held out; the classes are those of the labels that are trained on.

    Both are images as of `read_images`, or features (n, channels) float32 of a frozen network. Raises as it does.
    """
    examples = _read_labelled(train, kind, None)
    return examples, _read_labelled(validation, kind, examples.num_classes)


def read_rows(path: Path, signal: Signal) -> Examples:
    """Read rows of a signal: inputs (n, num_points) and targets (n, 4), float32.

    Raises PipelineError when the file is missing, damaged, empty, or does not fit the signal.
    """
    inputs, targets = storage.read_arrays(path, "inputs", "targets")
    num_points, num_targets, problem = signal.num_points, len(signal.example), None
    if inputs.ndim != 2 or len(inputs) == 0 or inputs.shape[1] != num_points or inputs.dtype != np.float32:
        problem = f"inputs (n, {num_points}) of float32, got {inputs.shape} of {inputs.dtype}"
    elif targets.shape != (len(inputs), num_targets) or targets.dtype != np.float32:
        problem = f"targets ({len(inputs)}, {num_targets}) of float32, got {targets.shape} of {targets.dtype}"
    _check(path, problem)
    return Examples(inputs, targets)


def _read_labelled(path: Path, kind: Kind, num_classes: int | None) -> Examples:
    """The inputs of that kind and their labels."""
    (axes, dtype, item), (inputs, labels) = INPUTS[kind], storage.read_arrays(path, kind, "labels")
    if inputs.ndim != len(axes) or inputs.dtype != dtype or len(inputs) == 0:
        problem: str | None = f"{kind} ({', '.join(axes)}) of {dtype}, got {inputs.shape} of {inputs.dtype}"
    elif labels.shape != inputs.shape[:1] or labels.dtype != np.uint8:
        problem = f"one uint8 label per {item} ({len(inputs)}), got {labels.shape} of {labels.dtype}"
    else:
        problem = _label_problem(labels, num_classes)
    _check(path, problem)
    return Examples(inputs, labels)


def _check(path: Path, problem: str | None) -> None:
    if problem:
        raise PipelineError(f"{path}: expected {problem}. Delete it, then run `dvc repro` to make it again.")


def _label_problem(labels: np.ndarray, num_classes: int | None) -> str | None:
    """What labels (n,) are expected and which there are; None when they fit."""
    if num_classes is not None:
        is_beyond = labels.max() >= num_classes
        return f"labels below {num_classes}, the number of classes, got {labels.max()}" if is_beyond else None
    present = np.unique(labels)
    if np.array_equal(present, np.arange(len(present))):
        return None
    return f"labels that leave out none below the highest, got {', '.join(map(str, present))}"
