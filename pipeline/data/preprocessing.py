"""Functions on arrays of images and labels: splits, counts, encodings and digests."""

import hashlib
from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import train_test_split

from pipeline.errors import PipelineError

# Images per histogram: bounds the memory, because counting makes eight bytes of each.
BLOCK_SIZE = 1_000


def kept(images: np.ndarray, labels: np.ndarray, keep: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The images (n, height, width) whose labels are in `keep`, and their places in it as new labels (n,) uint8."""
    is_kept = np.isin(labels, keep)
    return images[is_kept], np.equal.outer(labels[is_kept], keep).argmax(axis=1).astype(np.uint8)


def stratified_split(
    labels: np.ndarray, validation_size: int, seed: int, train_size: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split examples so that both parts have the same share of each class, as nearly as whole examples allow.

    Returns the sorted indices (int64) of the training and of the validation examples: disjoint, without repetition,
    and together all of them unless `train_size` asks for fewer.
    Raises PipelineError when there are too few examples for the split.
    """
    try:
        indices, sizes = np.arange(len(labels)), {"train_size": train_size, "test_size": validation_size}
        train, validation = train_test_split(indices, **sizes, stratify=labels, random_state=seed)
    except ValueError as error:
        beside = "" if train_size is None else f" beside {train_size:,} to train on"
        raise PipelineError(
            f"split.validation_size: expected a number that leaves every class examples on both sides of "
            f"{len(labels):,} labelled images, got {validation_size:,}{beside} ({error}). "
            "Change it in params/data.yaml."
        ) from None
    return np.sort(train), np.sort(validation)


def class_counts(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Number of examples of each class, shape (num_classes,). Raises ValueError for a label of num_classes or more."""
    counts = np.bincount(labels, minlength=num_classes)
    if len(counts) > num_classes:
        raise ValueError(f"expected labels below {num_classes}, got {len(counts) - 1}")
    return counts


def first_of_each_class(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Index of the first example of each class, shape (num_classes,). Raises ValueError when a class has none."""
    classes, indices = np.unique(labels, return_index=True)
    if not np.array_equal(classes, np.arange(num_classes)):
        raise ValueError(f"expected examples of each of {num_classes} classes, got {classes.tolist()}")
    return indices


def one_hot(label: int, num_classes: int) -> np.ndarray:
    """A vector of zeros with a one at `label`, shape (num_classes,), uint8."""
    return np.eye(num_classes, dtype=np.uint8)[label]


def pixel_statistics(images: np.ndarray) -> dict[str, float]:
    """Mean and (population) standard deviation of all pixels of uint8 images, in units of 0-255.

    Computed from exact counts, so that they do not depend on the order of summation.
    """
    blocks = (images[start : start + BLOCK_SIZE] for start in range(0, len(images), BLOCK_SIZE))
    histogram = sum(np.bincount(block.ravel(), minlength=256) for block in blocks)
    values = np.arange(256)
    mean = float(np.average(values, weights=histogram))
    return {"mean": mean, "std": float(np.average((values - mean) ** 2, weights=histogram)) ** 0.5}


def digest(*arrays: np.ndarray) -> str:
    """SHA-256 over types, shapes and values of arrays: equal for equal data, however it is stored."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()
