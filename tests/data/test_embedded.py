from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import train_test_split

from pipeline.data import embedded, idx
from pipeline.errors import PipelineError

Maker = Callable[[int, int, int], embedded.Images]
both = pytest.mark.parametrize("make", [embedded.digits, embedded.fashion])


@both
def test_layout(make: Maker) -> None:
    train_images, train_labels, test_images, test_labels = make(60, 20, 3)
    assert train_images.shape == (60, 28, 28)
    assert test_images.shape == (20, 28, 28)
    assert train_labels.shape == (60,)
    assert test_labels.shape == (20,)
    assert {array.dtype for array in (train_images, train_labels, test_images, test_labels)} == {np.dtype(np.uint8)}
    # Bright strokes or cloth on black, in every single image.
    assert train_images.max(axis=(1, 2)).min() > 80
    assert np.median(train_images[:, [0, 0, -1, -1], [0, -1, 0, -1]]) == 0


@both
def test_the_seed_decides(make: Maker) -> None:
    first, again, other = make(40, 20, 3), make(40, 20, 3), make(40, 20, 4)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[0], other[0])


@both
def test_classes_are_balanced(make: Maker) -> None:
    _, train_labels, _, test_labels = make(205, 50, 0)
    for labels in (train_labels, test_labels):
        counts = np.bincount(labels, minlength=10)
        assert len(counts) == 10
        assert counts.max() - counts.min() <= 2


@both
def test_no_image_is_in_both_parts(make: Maker) -> None:
    train_images, _, test_images, _ = make(700, 300, 1)
    train, test = ({image.tobytes() for image in images} for images in (train_images, test_images))
    assert len(train) == 700
    assert len(test) == 300
    assert not train & test


@both
def test_labels_are_not_sorted(make: Maker) -> None:
    _, labels, _, _ = make(100, 10, 0)
    assert np.abs(np.diff(labels.astype(int))).mean() > 2


def test_digits_fill_the_middle_as_in_mnist() -> None:
    images, _, _, _ = embedded.digits(200, 20, 0)
    ink = images.max(axis=0) > 0
    assert ink[4:24, 8:20].all()
    ink[4:24, 4:24] = False
    assert not ink.any()


def test_all_digits_can_be_used() -> None:
    train_images, _, test_images, _ = embedded.digits(1_500, 297, 0)
    assert len(train_images) + len(test_images) == 1_797


@pytest.mark.parametrize(
    ("train_size", "test_size", "message"),
    [
        (1_500, 298, "expected at most 1,797 .*, got 1,798. Lower them in params/data.yaml."),
        (9, 20, "expected at least 10 images each, one of every digit, got 9 and 20"),
        (20, 9, "expected at least 10 images each, one of every digit, got 20 and 9"),
    ],
)
def test_impossible_numbers_of_digits(train_size: int, test_size: int, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        embedded.digits(train_size, test_size, 0)


@pytest.mark.parametrize(
    ("train_size", "test_size", "message"),
    [
        (1_501, 10, r"source\.train_size: expected 10 to 1,500 images .*, got 1,501\. Correct it"),
        (10, 501, r"source\.test_size: expected 10 to 500 images .*, got 501\."),
        (9, 10, r"source\.train_size: expected 10 to 1,500 images .*, got 9\."),
    ],
)
def test_impossible_numbers_of_fashion_images(train_size: int, test_size: int, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        embedded.fashion(train_size, test_size, 0)


def test_the_whole_sample_of_fashion_images_can_be_used() -> None:
    train_images, train_labels, test_images, test_labels = embedded.fashion(1_500, 500, 0)
    assert len({image.tobytes() for image in np.concatenate([train_images, test_images])}) == 2_000
    assert (np.bincount(train_labels), np.bincount(test_labels)) == (pytest.approx(150), pytest.approx(50))


def test_fashion_images_are_learnable_but_not_trivial() -> None:
    train_images, train_labels, test_images, test_labels = embedded.fashion(1_500, 500, 0)
    model = RidgeClassifier(alpha=1e4).fit(train_images.reshape(len(train_images), -1), train_labels)
    predicted = model.predict(test_images.reshape(len(test_images), -1))
    assert 0.6 < (predicted == test_labels).mean() < 0.9


def test_the_sample_is_drawn_from_fashion_mnist(dataset_mirror: Path) -> None:
    """As fashion_mnist_sample.md says."""
    folder = dataset_mirror / "fashion-mnist"
    with np.load(embedded.FASHION_SAMPLE) as sample:
        for split, stem in (("train", "train"), ("test", "t10k")):
            images = idx.read(folder / f"{stem}-images-idx3-ubyte.gz", rank=3)
            labels = idx.read(folder / f"{stem}-labels-idx1-ubyte.gz", rank=1)
            size = len(sample[f"{split}_labels"])
            drawn, _ = train_test_split(np.arange(len(labels)), train_size=size, stratify=labels, random_state=0)
            np.testing.assert_array_equal(sample[f"{split}_images"], images[np.sort(drawn)])
            np.testing.assert_array_equal(sample[f"{split}_labels"], labels[np.sort(drawn)])
