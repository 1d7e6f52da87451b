"""Labelled examples: read from the files of a split, and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import PipelineError
from pipeline.io import storage


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

    def subset(self, indices: np.ndarray | slice) -> Examples:
        """The examples at these indices, in their order."""
        return Examples(self.inputs[indices], self.targets[indices])


def read_images(path: Path, *, num_classes: int | None = None) -> Examples:
    """Read a prepared split: images (n, height, width) and labels (n,), uint8.

    Raises PipelineError when the file is missing, damaged or empty, or when a label is not below the number of classes;
    without that number, when a class below the highest label has no example.
    """
    return _read(path, "images", ("n", "height", "width"), "uint8", "image", num_classes)


def read_features(path: Path, *, num_classes: int | None = None) -> Examples:
    """Read the features of a split (n, channels) float32, and labels (n,) uint8. Raises as `read_images` does."""
    return _read(path, "features", ("n", "channels"), "float32", "row", num_classes)


def read_training_images(train: Path, validation: Path) -> tuple[Examples, Examples]:
    """Read the split to train on and the one held out; the classes are those of the labels that are trained on.

    Raises as `read_images` does.
    """
    examples = read_images(train)
    return examples, read_images(validation, num_classes=examples.num_classes)


def _read(path: Path, name: str, axes: Sequence[str], dtype: str, item: str, num_classes: int | None) -> Examples:
    """The array of that name, with these axes and one or more of what is called an item, and its labels."""
    inputs, labels = storage.read_arrays(path, name, "labels")
    if inputs.ndim != len(axes) or inputs.dtype != dtype or len(inputs) == 0:
        problem: str | None = f"{name} ({', '.join(axes)}) of {dtype}, got {inputs.shape} of {inputs.dtype}"
    elif labels.shape != inputs.shape[:1] or labels.dtype != np.uint8:
        problem = f"one uint8 label per {item} ({len(inputs)}), got {labels.shape} of {labels.dtype}"
    else:
        problem = _label_problem(labels, num_classes)
    if problem:
        raise PipelineError(f"{path}: expected {problem}. Delete it, then run `dvc repro` to make it again.")
    return Examples(inputs, labels)


def _label_problem(labels: np.ndarray, num_classes: int | None) -> str | None:
    """What labels (n,) are expected and which there are; None when they fit."""
    if num_classes is not None:
        is_beyond = labels.max() >= num_classes
        return f"labels below {num_classes}, the number of classes, got {labels.max()}" if is_beyond else None
    present = np.unique(labels)
    if np.array_equal(present, np.arange(len(present))):
        return None
    return f"labels that leave out none below the highest, got {', '.join(map(str, present))}"
