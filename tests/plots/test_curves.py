from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.plots import curves, style


@pytest.fixture
def history() -> pd.DataFrame:
    """Three epochs without penalties: the loss is the cross-entropy."""
    return pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "loss": [0.9, 0.5, 0.4],
            "cross_entropy": [0.9, 0.5, 0.4],
            "accuracy": [0.6, 0.7, 0.8],
            "val_loss": [0.7, 0.45, 0.5],
            "val_cross_entropy": [0.7, 0.45, 0.5],
            "val_accuracy": [0.65, 0.82, 0.81],
            "learning_rate": [0.001] * 3,
        }
    )


@pytest.fixture
def penalized(history: pd.DataFrame) -> pd.DataFrame:
    return history.assign(loss=history["loss"] + 0.2, val_loss=history["val_loss"] + 0.2)


def lines_of(axes: Axes) -> dict[str, Line2D]:
    return {str(line.get_label()): line for line in axes.lines}


def assert_draws(line: Line2D, history: pd.DataFrame, column: str) -> None:
    np.testing.assert_array_equal(line.get_xdata(), history["epoch"])
    np.testing.assert_array_equal(line.get_ydata(), history[column])


def test_each_panel_shows_training_and_validation(history: pd.DataFrame) -> None:
    figure = curves.training_curves(history, title="digits_64x64", active=["dropout"])
    loss, accuracy = figure.axes
    assert figure.get_suptitle() == "digits_64x64"
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("epoch", "cross-entropy (nats)")
    assert (accuracy.get_xlabel(), accuracy.get_ylabel()) == ("epoch", "accuracy (%)")
    for axes, column in ((loss, "cross_entropy"), (accuracy, "accuracy")):
        lines = lines_of(axes)
        assert list(lines) == ["training (dropout active)", "validation"]
        assert_draws(lines["training (dropout active)"], history, column)
        assert_draws(lines["validation"], history, f"val_{column}")
        legend = axes.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == list(lines)


@pytest.mark.parametrize(
    ("active", "label"),
    [
        ((), "training"),
        (("augmentation",), "training (augmentation active)"),
        (("dropout", "augmentation"), "training (dropout and augmentation active)"),
    ],
)
def test_what_is_active_in_training_only_is_told(history: pd.DataFrame, active: tuple[str, ...], label: str) -> None:
    for axes in curves.training_curves(history, title="x", active=active).axes:
        assert list(lines_of(axes)) == [label, "validation"]


def test_training_and_validation_have_the_same_colours_everywhere(penalized: pd.DataFrame) -> None:
    for axes in curves.training_curves(penalized, title="x").axes:
        for label, line in lines_of(axes).items():
            expected = style.TRAINING_COLOUR if label.startswith("training") else style.VALIDATION_COLOUR
            assert same_color(line.get_color(), expected)


def test_a_loss_with_penalties_is_drawn_too_dashed(penalized: pd.DataFrame) -> None:
    loss, accuracy = curves.training_curves(penalized, title="x").axes
    lines = lines_of(loss)
    assert_draws(lines["training, with penalties"], penalized, "loss")
    assert_draws(lines["validation, with penalties"], penalized, "val_loss")
    assert_draws(lines["training"], penalized, "cross_entropy")
    dashed = {label for label, line in lines.items() if line.get_linestyle() == "--"}
    assert dashed == {"training, with penalties", "validation, with penalties"}
    legend = loss.get_legend()
    assert legend is not None
    assert len(legend.get_texts()) == 4
    assert len(accuracy.lines) == 2


def test_rounding_is_not_a_penalty(history: pd.DataFrame) -> None:
    """The engines sum the loss and the cross-entropy in different orders."""
    loss, _ = curves.training_curves(history.assign(loss=history["loss"] + 1e-7), title="x").axes
    assert len(loss.lines) == 2


@pytest.mark.parametrize("num_epochs", [2, 3, 30])
def test_epochs_are_whole_numbers(history: pd.DataFrame, num_epochs: int) -> None:
    repeated = pd.concat([history] * 10, ignore_index=True).head(num_epochs).assign(epoch=range(1, num_epochs + 1))
    figure = curves.training_curves(repeated, title="x")
    for axes in figure.axes:
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks
        assert all(float(tick).is_integer() for tick in ticks)


def picture(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def test_the_same_history_gives_the_same_picture(history: pd.DataFrame, penalized: pd.DataFrame) -> None:
    first = picture(curves.training_curves(history, title="x"))
    assert first == picture(curves.training_curves(history.copy(), title="x"))
    assert first != picture(curves.training_curves(penalized, title="x"))
