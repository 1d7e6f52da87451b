from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import preprocessing
from pipeline.errors import PipelineError


@st.composite
def splittable(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    counts = draw(st.lists(st.integers(2, 40), min_size=2, max_size=6))
    labels = np.repeat(np.arange(len(counts), dtype=np.uint8), counts)
    order = draw(st.randoms(use_true_random=False))
    shuffled = labels.tolist()
    order.shuffle(shuffled)
    return np.array(shuffled, np.uint8), draw(st.integers(len(counts), len(labels) - len(counts)))


@given(splittable(), st.integers(0, 2**32 - 1))
def test_split_is_disjoint_complete_and_proportional(case: tuple[np.ndarray, int], seed: int) -> None:
    labels, validation_size = case
    train, validation = preprocessing.stratified_split(labels, validation_size, seed)
    assert len(validation) == validation_size
    assert sorted([*train, *validation]) == list(range(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()
    total, counts = np.bincount(labels), np.bincount(labels[validation], minlength=labels.max() + 1)
    assert (np.abs(counts - total * validation_size / len(labels)) <= 1).all()


@given(splittable(), st.integers(0, 2**32 - 1), st.data())
def test_a_smaller_split_is_disjoint_and_proportional_too(
    case: tuple[np.ndarray, int], seed: int, data: st.DataObject
) -> None:
    labels, validation_size = case
    train_size = data.draw(st.integers(labels.max() + 1, len(labels) - validation_size))
    train, validation = preprocessing.stratified_split(labels, validation_size, seed, train_size)
    assert (len(train), len(validation)) == (train_size, validation_size)
    assert len({*train, *validation}) == train_size + validation_size
    assert (np.diff(train) > 0).all()
    # Of what the validation split leaves of each class, so that both parts' rounding may add up.
    counts = np.bincount(labels[train], minlength=labels.max() + 1)
    assert (np.abs(counts - np.bincount(labels) * train_size / len(labels)) <= 2).all()


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=60),
    st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True),
)
def test_kept_images_are_those_with_the_wanted_labels_and_have_their_places_as_labels(
    labels: list[int], keep: list[int]
) -> None:
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    kept_images, kept_labels = preprocessing.kept(images, np.array(labels, np.uint8), keep)
    expected = [(index, label) for index, label in enumerate(labels) if label in keep]
    assert [int(image[0, 0]) for image in kept_images] == [index for index, _ in expected]
    assert [keep[label] for label in kept_labels] == [label for _, label in expected]
    assert (kept_labels.dtype, kept_images.shape[1:]) == (np.uint8, (2, 2))


def test_split_depends_on_the_seed_alone() -> None:
    labels = np.arange(100) % 10
    first, again, other = (preprocessing.stratified_split(labels, 20, seed)[1].tolist() for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("labels", "validation_size"),
    [
        (np.arange(20) % 2, 20),
        (np.arange(20) % 2, 21),
        (np.arange(20) % 2, 19),
        (np.arange(20) % 2, 1),
        (np.array([0, 0, 0, 1]), 2),
        (np.array([], np.uint8), 1),
    ],
)
def test_impossible_split(labels: np.ndarray, validation_size: int) -> None:
    received = f"{len(labels)} labelled images, got {validation_size}"
    message = f"split.validation_size: expected .* {received} .* params/data.yaml"
    with pytest.raises(PipelineError, match=message):
        preprocessing.stratified_split(labels, validation_size, 0)


def test_an_impossible_smaller_split_names_both_sizes() -> None:
    message = r"split.validation_size: expected .* 20 labelled images, got 12 beside 9 to train on .* params/data.yaml"
    with pytest.raises(PipelineError, match=message):
        preprocessing.stratified_split(np.arange(20) % 2, 12, 0, 9)


def test_class_counts() -> None:
    assert preprocessing.class_counts(np.array([2, 0, 2], np.uint8), 4).tolist() == [1, 0, 2, 0]
    assert preprocessing.class_counts(np.array([], np.uint8), 2).tolist() == [0, 0]
    with pytest.raises(ValueError, match="expected labels below 2, got 2"):
        preprocessing.class_counts(np.array([2, 0], np.uint8), 2)


def test_first_of_each_class() -> None:
    assert preprocessing.first_of_each_class(np.array([1, 0, 1, 2, 0]), 3).tolist() == [1, 0, 3]
    with pytest.raises(ValueError, match=r"expected examples of each of 3 classes, got \[0, 2\]"):
        preprocessing.first_of_each_class(np.array([0, 2]), 3)


def test_one_hot() -> None:
    assert preprocessing.one_hot(3, 5).tolist() == [0, 0, 0, 1, 0]


@pytest.mark.parametrize("num_images", [1, 999, 1_000, 2_500])
def test_pixel_statistics_are_those_of_all_pixels(num_images: int) -> None:
    images = np.random.default_rng(num_images).integers(0, 256, (num_images, 3, 2), dtype=np.uint8)
    statistics = preprocessing.pixel_statistics(images)
    assert statistics == pytest.approx({"mean": images.mean(), "std": images.std()})


def test_pixel_statistics_of_known_pixels() -> None:
    images = np.array([[[0, 255]], [[0, 255]]], np.uint8)
    assert preprocessing.pixel_statistics(images) == {"mean": 127.5, "std": 127.5}


def test_digest_tells_data_apart_and_nothing_else() -> None:
    images, labels = np.arange(8, dtype=np.uint8).reshape(2, 2, 2), np.array([0, 1], np.uint8)
    digest = preprocessing.digest(images, labels)
    assert len(digest) == 64
    assert preprocessing.digest(np.asfortranarray(images), labels.copy()) == digest
    others = [(images, labels[::-1]), (images + 1, labels), (images.reshape(2, 4), labels), (images, labels + 0.0)]
    assert len({preprocessing.digest(*other) for other in others} | {digest}) == 5
