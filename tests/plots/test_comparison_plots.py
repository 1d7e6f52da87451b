from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipeline.plots import comparison


def history(*val_accuracy: float) -> pd.DataFrame:
    accuracy = np.array(val_accuracy)
    epochs = np.arange(1, len(accuracy) + 1)
    return pd.DataFrame({"epoch": epochs, "val_accuracy": accuracy, "val_cross_entropy": 1 - accuracy})


HISTORIES = {"middle": history(0.5, 0.9, 0.8), "best": history(0.6, 0.85), "worst": history(0.5, 0.6, 0.7)}


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ("val_accuracy", ["best  85.00 %", "middle  80.00 %", "worst  70.00 %"]),
        ("val_cross_entropy", ["best  0.150", "middle  0.200", "worst  0.300"]),
    ],
)
def test_legend_goes_from_the_best_last_epoch_to_the_worst(curve: comparison.Curve, expected: list[str]) -> None:
    figure = comparison.validation_curves(HISTORIES, curve, title="study")
    figure.draw_without_rendering()
    assert legend(figure) == expected


def test_a_line_per_variant_over_its_own_epochs() -> None:
    axes = comparison.validation_curves(HISTORIES, "val_accuracy", title="study").axes[0]
    points = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()]
    assert points == [([1, 2, 3], [0.5, 0.9, 0.8]), ([1, 2], [0.6, 0.85]), ([1, 2, 3], [0.5, 0.6, 0.7])]
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("study", "epoch", "validation accuracy (%)")


def test_a_variant_looks_the_same_in_a_figure_of_some() -> None:
    everyone = comparison.validation_curves(HISTORIES, "val_accuracy", title="study").axes[0].get_lines()
    (alone,) = (
        comparison.validation_curves(HISTORIES, "val_accuracy", title="study", only=["worst"]).axes[0].get_lines()
    )
    assert (alone.get_color(), alone.get_linestyle()) == (everyone[2].get_color(), everyone[2].get_linestyle())


def test_28_variants_all_look_different_and_more_are_still_drawn() -> None:
    histories = {f"variant_{number}": history(0.5, 0.6) for number in range(30)}
    lines = comparison.validation_curves(histories, "val_accuracy", title="study").axes[0].get_lines()
    assert len(lines) == 30
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 28


def test_overlay_pairs_training_and_validation_by_colour() -> None:
    histories = {name: table.assign(accuracy=table["val_accuracy"] + 0.05) for name, table in HISTORIES.items()}
    figure = comparison.accuracy_overlay(histories, title="study")
    lines = figure.axes[0].get_lines()
    assert legend(figure)[:2] == ["middle, training", "middle, validation"]
    assert list(lines[0].get_ydata()) == pytest.approx([0.55, 0.95, 0.85])
    assert list(lines[1].get_ydata()) == [0.5, 0.9, 0.8]
    assert [lines[0].get_linestyle(), lines[1].get_linestyle()] == ["--", "-"]
    assert len({line.get_color() for line in lines}) == 3


def ranking(*rows: tuple[str, float, float | None]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "variant": name,
                "test_accuracy": accuracy,
                "test_accuracy_low": accuracy - 0.006,
                "test_accuracy_high": accuracy + 0.004,
                "reported_test_accuracy": reported,
            }
            for name, accuracy, reported in rows
        ]
    )


def test_accuracy_chart_has_bars_from_0_the_best_on_top_with_their_figures() -> None:
    figure = comparison.accuracy_chart(ranking(("low", 0.90, None), ("high", 0.95, None)), title="study")
    figure.draw_without_rendering()
    bars, enlarged = figure.axes
    assert [label.get_text() for label in bars.get_yticklabels()] == ["low", "high"]
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([90, 95])
    assert [text.get_text() for text in bars.texts] == ["90.00 %", "95.00 %"]
    assert bars.get_xlim() == (0, 100)
    assert "%" in bars.get_xlabel()
    low, high = enlarged.get_xlim()
    assert 80 < low < 89.4 < 95.4 < high < 100
    assert legend(figure) == ["measured, with its 95 % interval"]


def test_accuracy_chart_draws_the_interval_around_each_figure() -> None:
    figure = comparison.accuracy_chart(ranking(("only", 0.95, None)), title="study")
    (intervals,) = figure.axes[1].collections
    assert intervals.get_segments()[0][:, 0] == pytest.approx([94.4, 95.4])


def test_accuracy_chart_marks_reported_figures_where_there_are_any() -> None:
    figure = comparison.accuracy_chart(ranking(("low", 0.90, 0.91), ("high", 0.95, None)), title="study")
    assert legend(figure) == ["measured, with its 95 % interval", "reported by the source"]
    for axes in figure.axes:
        (markers,) = [line for line in axes.get_lines() if line.get_label() == "reported by the source"]
        assert list(markers.get_xdata()) == pytest.approx([91])
        assert list(markers.get_ydata()) == ["low"]


def test_an_interval_around_a_shown_figure_is_shown_whole() -> None:
    """Here the lower end of an interval lies further below the best figure than the enlarged part reaches."""
    figure = comparison.accuracy_chart(ranking(("best", 0.93, None), ("worst", 0.832, 0.84)), title="study")
    assert figure.axes[1].get_xlim()[0] < 82.6
    assert len(figure.axes[1].texts) == 0


def test_what_lies_left_of_the_enlarged_part_is_told_in_words() -> None:
    figure = comparison.accuracy_chart(
        ranking(("fine", 0.97, 0.97), ("dead", 0.95, 0.0892), ("poor", 0.57, 0.56)), title="study"
    )
    figure.draw_without_rendering()
    assert figure.axes[1].get_xlim()[0] > 90
    assert [text.get_text()[2:] for text in figure.axes[1].texts] == [
        "measured 57.00 %, reported 56.00 %",
        "reported 8.92 %",
    ]


def test_the_matrix_of_differences_colours_what_is_real_and_leaves_empty_what_is_not_compared() -> None:
    differences = pd.DataFrame(
        [
            {"first": "a", "second": "b", "accuracy_difference": 0.02, "accuracy_verdict": "a is better"},
            {
                "first": "b",
                "second": "c",
                "accuracy_difference": -0.001,
                "accuracy_verdict": "no significant difference",
            },
        ]
    )
    figure = comparison.difference_matrix(differences, ["a", "b", "c"], title="study")
    figure.draw_without_rendering()
    axes = figure.axes[0]
    cells = {(text.get_position()[1], text.get_position()[0]): text for text in axes.texts}
    assert {place: text.get_text() for place, text in cells.items()} == {
        (0, 1): "+2.00",
        (1, 0): "-2.00",
        (1, 2): "-0.10",
        (2, 1): "+0.10",
    }
    coloured = ~np.isnan(np.ma.filled(axes.images[0].get_array(), np.nan))
    assert coloured.tolist() == [[False, True, False], [True, False, False], [False, False, False]]
    assert {place: text.get_color() for place, text in cells.items() if place in ((1, 2), (2, 1))} == {
        (1, 2): "0.5",
        (2, 1): "0.5",
    }


def test_equal_variants_have_no_sign_that_depends_on_their_order() -> None:
    verdict = "no significant difference"
    row = {"first": "a", "second": "b", "accuracy_difference": 0.0, "accuracy_verdict": verdict}
    axes = comparison.difference_matrix(pd.DataFrame([row]), ["a", "b"], title="study").axes[0]
    assert [text.get_text() for text in axes.texts] == ["+0.00", "+0.00"]


def test_the_words_around_the_matrix_are_not_cut_off() -> None:
    """As long as those of the study with the longest title, over the smallest matrix."""
    title = "Handwritten image detection with Keras using MNIST data\ndifferences in test accuracy, in points"
    differences = pd.DataFrame(columns=["first", "second", "accuracy_difference", "accuracy_verdict"])
    figure = comparison.difference_matrix(differences, ["a", "b", "c"], title=title)
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    for text in (figure._suptitle, figure._supxlabel):
        box = text.get_window_extent(renderer)
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_without_a_pair_there_is_an_empty_matrix() -> None:
    differences = pd.DataFrame(columns=["first", "second", "accuracy_difference", "accuracy_verdict"])
    figure = comparison.difference_matrix(differences, ["alone"], title="study")
    figure.draw_without_rendering()
    assert len(figure.axes[0].texts) == 0
