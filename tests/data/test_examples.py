"""Examples come back as they were written, and what is no such file is named with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.data import Signal
from pipeline.data.examples import read_images, read_rows
from pipeline.errors import PipelineError
from pipeline.io import storage

AGAIN = "Delete it, then run `dvc repro` to make it again."
IMAGES, LABELS = np.zeros((4, 3, 2), np.uint8), np.array([0, 1, 2, 0], np.uint8)


def test_examples_come_back(tmp_path: Path) -> None:
    storage.write_arrays(tmp_path / "train.npz", images=IMAGES, labels=LABELS)
    examples = read_images(tmp_path / "train.npz", num_classes=3)
    np.testing.assert_array_equal(examples.inputs, IMAGES)
    np.testing.assert_array_equal(examples.targets, LABELS)


@pytest.mark.parametrize(
    ("images", "labels", "problem"),
    [
        (IMAGES[0], LABELS, "images (n, height, width) of uint8, got (3, 2) of uint8"),
        (IMAGES / 255, LABELS, "images (n, height, width) of uint8, got (4, 3, 2) of float64"),
        (IMAGES[:0], LABELS[:0], "images (n, height, width) of uint8, got (0, 3, 2) of uint8"),
        (IMAGES, LABELS[:3], "one uint8 label per image (4), got (3,) of uint8"),
        (IMAGES, LABELS[:, None], "one uint8 label per image (4), got (4, 1) of uint8"),
        (IMAGES, LABELS.astype(np.int64), "one uint8 label per image (4), got (4,) of int64"),
        (IMAGES, LABELS + np.uint8(1), "labels below 3, the number of classes, got 3"),
    ],
)
def test_examples_that_do_not_fit_are_named(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, problem: str
) -> None:
    path = tmp_path / "train.npz"
    storage.write_arrays(path, images=images, labels=labels)
    with pytest.raises(PipelineError) as raised:
        read_images(path, num_classes=3)
    assert str(raised.value) == f"{path}: expected {problem}. {AGAIN}"


def test_without_a_number_of_classes_every_class_needs_an_example(tmp_path: Path) -> None:
    path = tmp_path / "train.npz"
    storage.write_arrays(path, images=IMAGES, labels=LABELS)
    np.testing.assert_array_equal(read_images(path).targets, LABELS)
    storage.write_arrays(path, images=IMAGES, labels=np.array([0, 1, 3, 0], np.uint8))
    with pytest.raises(PipelineError) as raised:
        read_images(path)
    assert str(raised.value) == f"{path}: expected labels that leave out none below the highest, got 0, 1, 3. {AGAIN}"


SIGNAL = Signal.model_validate(
    {
        "title": "Hums",
        "num_points": 60,
        "length_in_pi": 2,
        "train_size": 2,
        "validation_size": 2,
        "test_size": 2,
        "seed": 1,
        "example": [0, 0, 0, 0],
        "extended": [[0, 0, 0, 0]],
    }
)


def test_saved_rows_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    inputs, targets = np.ones((2, 60), np.float32), np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)
    storage.write_arrays(path, inputs=inputs, targets=targets)
    examples = read_rows(path, SIGNAL)
    np.testing.assert_array_equal(examples.inputs, inputs)
    np.testing.assert_array_equal(examples.targets, targets)
    assert (len(examples), examples.num_outputs) == (2, 4)


@pytest.mark.parametrize(
    ("inputs", "targets", "expected"),
    [
        (((2, 59), "f4"), ((2, 4), "f4"), r"inputs \(n, 60\) of float32, got \(2, 59\) of float32"),
        (((2, 60), "f8"), ((2, 4), "f4"), r"inputs \(n, 60\) of float32, got \(2, 60\) of float64"),
        (((0, 60), "f4"), ((0, 4), "f4"), r"inputs \(n, 60\) of float32, got \(0, 60\) of float32"),
        (((), "f4"), ((2, 4), "f4"), r"inputs \(n, 60\) of float32, got \(\) of float32"),
        (((2, 60), "f4"), ((3, 4), "f4"), r"targets \(2, 4\) of float32, got \(3, 4\) of float32"),
        (((2, 60), "f4"), ((2, 3), "f4"), r"targets \(2, 4\) of float32, got \(2, 3\) of float32"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    tmp_path: Path, inputs: tuple[Any, str], targets: tuple[Any, str], expected: str
) -> None:
    path = tmp_path / "rows.npz"
    storage.write_arrays(path, inputs=np.zeros(*inputs), targets=np.zeros(*targets))
    with pytest.raises(PipelineError, match=rf"rows\.npz: expected {expected}\. Delete it, then run `dvc repro`"):
        read_rows(path, SIGNAL)
