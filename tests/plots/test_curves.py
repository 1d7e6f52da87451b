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


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def assert_draws(line: Line2D, history: pd.DataFrame, column: str) -> None:
    np.testing.assert_array_equal(line.get_xdata(), history["epoch"])
    np.testing.assert_array_equal(line.get_ydata(), history[column])


def test_each_panel_shows_training_and_validation(history: pd.DataFrame) -> None:
    figure = curves.training_curves(history, title="digits_64x64", active=["dropout"])
    figure.draw_without_rendering()
    loss, accuracy = figure.axes
    assert figure.get_suptitle() == "digits_64x64"
    assert (loss.get_ylabel(), accuracy.get_ylabel(), accuracy.get_xlabel()) == (
        "cross-entropy (nats)",
        "accuracy (%)",
        "epoch",
    )
    for axes, column in ((loss, "cross_entropy"), (accuracy, "accuracy")):
        lines = lines_of(axes)
        assert_draws(lines["training (dropout active)"], history, column)
        assert_draws(lines["validation"], history, f"val_{column}")
    assert legend(figure) == ["training (dropout active)", "validation", "best epoch by validation: 2 of 3"]
    assert "80" in [label.get_text() for label in accuracy.get_yticklabels()]


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
        assert list(lines_of(axes))[:2] == [label, "validation"]


def test_training_and_validation_have_the_same_colours_everywhere(penalized: pd.DataFrame) -> None:
    for axes in curves.training_curves(penalized, title="x").axes:
        training, validation, *_ = axes.lines
        assert same_color(training.get_color(), style.TRAINING_COLOUR)
        assert same_color(validation.get_color(), style.VALIDATION_COLOUR)


def test_a_loss_with_penalties_has_a_panel_of_its_own(penalized: pd.DataFrame) -> None:
    entropy, accuracy, loss = curves.training_curves(penalized, title="x").axes
    assert (loss.get_ylabel(), loss.get_yscale(), loss.get_xlabel()) == ("loss with penalties", "log", "epoch")
    assert_draws(lines_of(loss)["training"], penalized, "loss")
    assert_draws(lines_of(loss)["validation"], penalized, "val_loss")
    assert_draws(lines_of(entropy)["training"], penalized, "cross_entropy")
    assert (entropy.get_ylabel(), len(entropy.lines)) == ("cross-entropy (nats)", 3)
    assert accuracy.get_xlabel() == ""


def test_rounding_is_not_a_penalty(history: pd.DataFrame) -> None:
    """The engines sum the loss and the cross-entropy in different orders."""
    figure = curves.training_curves(history.assign(loss=history["loss"] + 1e-7), title="x")
    assert len(figure.axes) == 2


def test_every_panel_marks_the_epoch_of_the_highest_validation_accuracy(penalized: pd.DataFrame) -> None:
    for axes in curves.training_curves(penalized, title="x").axes:
        assert list(lines_of(axes)["best epoch by validation: 2 of 3"].get_xdata()) == [2, 2]


def test_every_new_learning_rate_is_marked_once(history: pd.DataFrame) -> None:
    steps = history.assign(learning_rate=[0.001, 0.0001, 0.00001])
    figure = curves.training_curves(steps, title="x")
    assert legend(figure)[3:] == ["new learning rate"]
    for axes in figure.axes:
        assert [line.get_xdata()[0] for line in axes.lines[3:]] == [2, 3]
    assert [text.get_text().strip() for text in figure.axes[1].texts] == ["0.0001", "1e-05"]


def test_an_error_is_best_where_it_is_lowest_and_has_levels_on_a_logarithmic_scale(history: pd.DataFrame) -> None:
    figure = curves.training_curves(
        history, title="x", measures={"cross_entropy": "", "loss": "error"}, levels={"good": 0.03}
    )
    first, second = figure.axes
    assert "best epoch by validation: 2 of 3" in legend(figure)
    assert (second.get_ylabel(), second.get_yscale()) == ("error", "log")
    assert list(first.lines[-1].get_ydata()) == [0.03, 0.03]
    assert [text.get_text() for text in first.texts] == ["good: 0.03"]
    low, high = first.get_ylim()
    assert low < 0.03 < high


@pytest.mark.parametrize(("high", "expected"), [(0.2, {"0.05", "0.07", "0.1", "0.2"}), (490, {"1", "10", "100"})])
def test_a_logarithmic_axis_has_round_numbers_few_enough_to_read(
    history: pd.DataFrame, high: float, expected: set[str]
) -> None:
    losses = history.assign(loss=[high, 0.1, 0.05])
    axes = curves.training_curves(losses, title="x").axes[-1]
    axes.figure.draw_without_rendering()
    low, high = axes.get_ylim()
    shown = [label.get_text() for label in axes.get_yticklabels() if low <= label.get_position()[1] <= high]
    assert len(shown) <= 14
    assert expected <= set(shown)


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


@pytest.fixture
def regressor_history() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "loss": [0.2, 0.1, 0.05],
            "mean_absolute_error": [0.2, 0.1, 0.05],
            "val_loss": [0.15, 0.09, 0.06],
            "val_mean_absolute_error": [0.15, 0.09, 0.06],
            "learning_rate": [0.001] * 3,
        }
    )


def test_errors_are_drawn_on_a_logarithmic_scale_with_the_levels_to_reach(regressor_history: pd.DataFrame) -> None:
    figure = curves.training_curves(
        regressor_history, title="narrow", measures=curves.REGRESSOR, levels={"strong": 0.07}
    )
    figure.savefig(io.BytesIO())
    (axes,) = figure.axes
    lines = lines_of(axes)
    np.testing.assert_array_equal(lines["training"].get_ydata(), regressor_history["mean_absolute_error"])
    np.testing.assert_array_equal(lines["validation"].get_ydata(), regressor_history["val_mean_absolute_error"])
    assert axes.get_yscale() == "log"
    assert "best epoch by validation: 3 of 3" in lines
    assert "strong: 0.07" in [text.get_text() for text in axes.texts]
