from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pipeline.plots import evaluation

NAMES = ["T-shirt/top", "Trouser", "Ankle boot"]


def draw(figure: Figure) -> Figure:
    """Lay the figure out, which is when a layout that does not fit warns."""
    figure.draw_without_rendering()
    return figure


def texts_at(figure: Figure) -> dict[tuple[int, int], str]:
    """The text of each cell (row, column) of the matrix, without empty ones."""
    return {
        (int(text.get_position()[1]), int(text.get_position()[0])): text.get_text()
        for text in figure.axes[0].texts
        if text.get_text()
    }


def test_confusion_matrix_writes_counts_rows_true_columns_predicted() -> None:
    matrix = np.array([[5, 2, 0], [0, 7, 1], [3, 0, 4]])
    figure = draw(evaluation.confusion_matrix(matrix, NAMES, title="model"))
    assert texts_at(figure) == {
        (0, 0): "5", (0, 1): "2", (1, 1): "7", (1, 2): "1", (2, 0): "3", (2, 2): "4"
    }  # fmt: skip
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == NAMES
    assert (axes.get_xlabel(), axes.get_ylabel(), figure.get_suptitle()) == ("predicted class", "true class", "model")


def test_confusion_matrix_colours_mistakes_by_their_share_of_the_true_class() -> None:
    figure = evaluation.confusion_matrix(np.array([[30, 10], [5, 5]]), ["4", "9"], title="model")
    colours = figure.axes[0].collections[0].get_array()
    assert np.ma.getmaskarray(colours).tolist() == [[True, False], [False, True]]
    assert (colours[0, 1], colours[1, 0]) == (25, 50)


@pytest.mark.parametrize("matrix", [np.diag([5, 7, 4]), np.zeros((3, 3), dtype=int)], ids=["perfect", "no examples"])
def test_confusion_matrix_without_mistakes_has_a_scale_from_zero(matrix: np.ndarray) -> None:
    figure = draw(evaluation.confusion_matrix(matrix, NAMES, title="model"))
    assert figure.axes[0].collections[0].get_clim() == (0, 1)


def test_most_wrong_titles_each_image_with_its_classes_and_probability() -> None:
    images = np.arange(3 * 16, dtype=np.uint8).reshape(3, 4, 4)
    probabilities = np.array([[0.1, 0.9, 0.0], [0.6, 0.0, 0.4], [0.0, 0.0, 1.0]])
    labels, wrong = np.array([0, 2, 1]), np.array([0, 2, 1])
    figure = draw(evaluation.most_wrong(images, labels, probabilities, NAMES, wrong=wrong, title="model"))
    assert figure.get_suptitle() == "model, the most confident first"
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == [
        "true: T-shirt/top\npredicted: Trouser\n90.00 % sure",
        "true: Trouser\npredicted: Ankle boot\n99.99 % sure",
        "true: Ankle boot\npredicted: T-shirt/top\n60.00 % sure",
    ]
    assert shown[2].images[0].get_array().tolist() == images[1].tolist()


def test_most_wrong_shows_all_it_is_given() -> None:
    number = evaluation.NUM_MISTAKES
    images, labels = np.zeros((number + 1, 4, 4), np.uint8), np.ones(number + 1, int)
    # As sure of all mistakes, but not of the image that is right.
    probabilities = np.array([[1.0, 0, 0]] * number + [[0, 1.0, 0]])
    figure = draw(evaluation.most_wrong(images, labels, probabilities, NAMES, wrong=np.arange(number), title=""))
    assert len([axes for axes in figure.axes if axes.images]) == number


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([], "No test image is misclassified."),
        ([0, 2], "Every test image, right or wrong, gets the same answer:\npredicted: Trouser, 50.60 % sure"),
    ],
)
def test_where_no_mistake_is_the_worst_it_says_so(wrong: list[int], words: str) -> None:
    images, probabilities = np.zeros((3, 4, 4), np.uint8), np.array([[0.3, 0.506, 0.194]] * 3)
    figure = draw(
        evaluation.most_wrong(
            images, np.array([0, 1, 2]), probabilities, NAMES, wrong=np.array(wrong, int), title="model"
        )
    )
    assert figure.axes == []
    assert [text.get_text() for text in figure.texts] == ["model", words]


def test_reliability_shows_accuracy_against_confidence_and_leaves_out_empty_bins() -> None:
    bins = pd.DataFrame(
        {
            "low": [0.0, 0.5],
            "high": [0.5, 1.0],
            "num_examples": [0, 20],
            "confidence": [np.nan, 0.9],
            "accuracy": [np.nan, 0.75],
            "accuracy_low": [np.nan, 0.53],
            "accuracy_high": [np.nan, 0.89],
        }
    )
    figure = draw(evaluation.reliability(bins, title="model"))
    upper, lower = figure.axes
    diagonal, points, *_ = upper.get_lines()
    assert list(zip(diagonal.get_xdata(), diagonal.get_ydata(), strict=True)) == [(0, 0), (1, 1)]
    assert list(zip(points.get_xdata(), points.get_ydata(), strict=True)) == [(0.9, 0.75)]
    (interval,) = upper.collections[0].get_segments()
    assert interval[:, 1] == pytest.approx([0.53, 0.89])
    assert [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in lower.patches] == [(0, 0.5, 0), (0.5, 0.5, 20)]
