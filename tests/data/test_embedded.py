from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import confusion_matrix

from pipeline.data import embedded
from pipeline.errors import PipelineError

T_SHIRT, TROUSER, PULLOVER, DRESS, COAT, SANDAL, SHIRT, SNEAKER, BAG, ANKLE_BOOT = range(10)

Maker = Callable[[int, int, int], embedded.Images]
both = pytest.mark.parametrize("make", [embedded.digits, embedded.garments])


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
    assert np.median(train_images[:, :2], axis=(1, 2)).max() == 0


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


def test_garments_have_their_shapes() -> None:
    images, labels, _, _ = embedded.garments(600, 10, 0)
    mean = np.stack([images[labels == label].mean(axis=0) for label in range(10)])
    cloth = mean > 20
    heights, widths = cloth.any(axis=2).sum(axis=1), cloth.any(axis=1).sum(axis=1)
    assert heights[DRESS] > 2 * widths[DRESS] * 0.8
    assert heights[TROUSER] > 1.5 * widths[TROUSER]
    assert widths[SNEAKER] > 1.5 * heights[SNEAKER]
    assert heights[ANKLE_BOOT] > heights[SNEAKER]
    # Legs apart, sleeves long or short, holes between the straps, a shaft above the heel and not above the toes.
    assert mean[TROUSER, 24, 14] < 0.75 * mean[TROUSER, 24, 10]
    assert mean[PULLOVER, 18, 2:6].mean() > 3 * mean[T_SHIRT, 18, 2:6].mean()
    assert mean[SANDAL].sum() < mean[SNEAKER].sum() / 1.5
    assert mean[ANKLE_BOOT, 8, 20] > 10 * max(1, mean[ANKLE_BOOT, 8, 5])
    assert mean[BAG, 20].mean() > mean[BAG, 6].mean()


def test_garments_are_learnable_but_not_trivial() -> None:
    train_images, train_labels, test_images, test_labels = embedded.garments(400, 400, 0)
    model = RidgeClassifier(alpha=10).fit(train_images.reshape(400, -1) / 255, train_labels)
    predicted = model.predict(test_images.reshape(400, -1) / 255)
    assert 0.6 < (predicted == test_labels).mean() < 0.97
    confusions = confusion_matrix(test_labels, predicted)
    tops = [T_SHIRT, PULLOVER, COAT]
    assert confusions[SHIRT, tops].sum() + confusions[tops, SHIRT].sum() > 10
