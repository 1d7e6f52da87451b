from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.axes import Axes

from pipeline.plots import data


def shown(axes: Axes) -> np.ndarray:
    (image,) = axes.images
    return np.asarray(image.get_array())


@pytest.mark.parametrize("num_classes", [2, 5, 7])
def test_examples_show_each_image_under_its_name(num_classes: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (num_classes, 28, 28), dtype=np.uint8)
    names = [f"class {index}" for index in range(num_classes)]
    figure = data.examples(images, names)
    filled = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in filled] == names
    for axes, image in zip(filled, images, strict=True):
        np.testing.assert_array_equal(shown(axes), image)
        # A fixed scale: a dark image must not be stretched to look bright.
        assert axes.images[0].get_clim() == (0, 255)
    assert not any(axes.axison for axes in figure.axes)


@pytest.mark.parametrize("num_classes", [2, 5])
def test_the_examples_of_few_classes_leave_no_place_blank(num_classes: int) -> None:
    figure = data.examples(np.zeros((num_classes, 28, 28), np.uint8), ["name"] * num_classes)
    figure.draw_without_rendering()
    covered = sum(axes.bbox.width for axes in figure.axes)
    assert covered > 0.9 * figure.bbox.width


def test_class_counts_have_a_bar_per_class_and_split() -> None:
    counts = {"train": np.array([5_000, 2]), "validation": np.array([3, 4]), "test": np.array([0, 6])}
    figure = data.class_counts(counts, ["Trouser", "Dress"])
    (axes,) = figure.axes
    assert [[bar.get_width() for bar in group] for group in axes.containers] == [[5_000, 2], [3, 4], [0, 6]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Trouser", "Dress"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["train (5,002)", "validation (7)", "test (6)"]
    edges = sorted((bar.get_y(), bar.get_y() + bar.get_height()) for group in axes.containers for bar in group)
    assert all(end <= start + 1e-9 for (_, end), (start, _) in itertools.pairwise(edges))


def test_example_shows_the_picture_and_every_raw_pixel() -> None:
    image = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    picture, pixels = data.example(image, title="training image 3", caption="label 8").axes
    assert picture.get_title() == "training image 3"
    assert picture.get_xlabel() == "label 8"
    np.testing.assert_array_equal(shown(picture), image)
    written = np.zeros((28, 28), int)
    for text in pixels.texts:
        column, row = text.get_position()
        written[int(row), int(column)] = int(text.get_text())
    assert len(pixels.texts) == 28 * 28
    np.testing.assert_array_equal(written, image)
