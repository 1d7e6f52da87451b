from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pipeline.studies.four_vs_nine import plots


@pytest.fixture
def table() -> pd.DataFrame:
    """Two kinds of two settings each, one of them at chance, and the baseline."""
    accuracy = np.array([0.95, 0.945, 0.5, 0.96, 0.965])
    return pd.DataFrame(
        {
            "variant": ["plain", "weak", "strong", "low", "high"],
            "kind": ["baseline", "L1", "L1", "dropout", "dropout"],
            "val_accuracy": accuracy,
            "val_accuracy_low": accuracy - 0.02,
            "val_accuracy_high": accuracy + 0.01,
            "val_cross_entropy": [0.144, 0.13, 0.693, 0.12, 0.11],
        }
    )


@pytest.fixture
def histories() -> dict[str, pd.DataFrame]:
    epochs = np.arange(1, 41)
    rising = 0.3 + (epochs - 10.0) ** 2 / 1000
    columns = {"cross_entropy": 1 / epochs, "accuracy": 1 - 0.5 / epochs, "val_accuracy": 0.9 - 0.5 / epochs}
    plain = pd.DataFrame({"epoch": epochs, "val_cross_entropy": rising, **columns})
    return {"plain": plain, "short": plain.head(5)}


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


@pytest.mark.parametrize("draw", [plots.accuracy_bars, plots.cross_entropy_bars])
def test_every_setting_but_the_baseline_has_a_bar_from_0_in_the_colour_of_its_kind(
    table: pd.DataFrame, draw: Callable[..., Figure]
) -> None:
    axes = draw(table, baseline="plain", title="t").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["weak", "strong", "low", "high"]
    assert {bar.get_x() for bar in axes.patches} == {0}
    weak, strong, low, high = (bar.get_facecolor() for bar in axes.patches)
    assert weak == strong != low == high
    assert axes.yaxis_inverted()


def test_bars_are_as_long_as_the_figures_and_the_line_stands_at_the_baseline(table: pd.DataFrame) -> None:
    accuracy = plots.accuracy_bars(table, baseline="plain", title="t").axes[0]
    assert [bar.get_width() for bar in accuracy.patches] == pytest.approx([94.5, 50, 96, 96.5])
    assert list(accuracy.lines[0].get_xdata()) == pytest.approx([95, 95])
    entropy = plots.cross_entropy_bars(table, baseline="plain", title="t").axes[0]
    assert [bar.get_width() for bar in entropy.patches] == pytest.approx([0.13, 0.693, 0.12, 0.11])
    assert list(entropy.lines[0].get_xdata()) == pytest.approx([0.144, 0.144])
    assert "without penalties" in entropy.get_xlabel()


def test_kinds_are_set_apart(table: pd.DataFrame) -> None:
    axes = plots.cross_entropy_bars(table, baseline="plain", title="t").axes[0]
    steps = np.diff(axes.get_yticks())
    assert steps == pytest.approx([1, 1 + plots.GAP, 1])


def test_the_enlarged_part_shows_intervals_and_names_what_lies_left_of_it(table: pd.DataFrame) -> None:
    enlarged = plots.accuracy_bars(table, baseline="plain", title="t").axes[1]
    assert [text.get_text().strip() for text in enlarged.texts] == ["\N{BLACK LEFT-POINTING SMALL TRIANGLE} 50.00 %"]
    (segments,) = (lines.get_segments() for lines in enlarged.containers[0][2])
    assert [tuple(segment[:, 0]) for segment in segments] == [
        pytest.approx(ends) for ends in ((92.5, 95.5), (48, 51), (94, 97), (94.5, 97.5))
    ]
    low, high = enlarged.get_xlim()
    assert low == pytest.approx(87)
    assert 97.5 < high <= 100


def test_learning_curves_share_scales_and_mark_the_lowest_validation_cross_entropy(
    histories: dict[str, pd.DataFrame],
) -> None:
    figure = plots.learning_curves(histories, title="t")
    plain, accuracy, short, _ = figure.axes
    assert plain.get_ylim() == short.get_ylim()
    assert plain.get_ylim()[0] == 0
    training, validation, lowest = plain.lines
    assert list(training.get_ydata()) == list(histories["plain"]["cross_entropy"])
    assert list(validation.get_ydata()) == list(histories["plain"]["val_cross_entropy"])
    assert list(lowest.get_xdata()) == [10]
    assert plain.get_title() == "plain\nlowest in epoch 10 of 40"
    assert short.get_title() == "short\nlowest in epoch 5 of 5"
    figure.draw_without_rendering()
    assert "100" in [label.get_text() for label in accuracy.get_yticklabels()]
    assert list(accuracy.lines[1].get_ydata()) == list(histories["plain"]["val_accuracy"])


def test_one_other_setting_is_enough(table: pd.DataFrame, histories: dict[str, pd.DataFrame]) -> None:
    two = table.head(2)
    for figure in (
        plots.accuracy_bars(two, baseline="plain", title="t"),
        plots.cross_entropy_bars(two, baseline="plain", title="t"),
        plots.learning_curves({"plain": histories["plain"]}, title="t"),
    ):
        assert png(figure).startswith(b"\x89PNG")


def test_equal_tables_give_equal_bytes(table: pd.DataFrame) -> None:
    first, second = (png(plots.accuracy_bars(table, baseline="plain", title="t")) for _ in range(2))
    assert first == second
