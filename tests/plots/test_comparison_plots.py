from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text

from pipeline.plots import comparison, style


def history(*val_accuracy: float) -> pd.DataFrame:
    accuracy = np.array(val_accuracy)
    epochs = np.arange(1, len(accuracy) + 1)
    return pd.DataFrame({"epoch": epochs, "val_accuracy": accuracy, "val_cross_entropy": 1 - accuracy})


HISTORIES = {"middle": history(0.5, 0.9, 0.8), "best": history(0.6, 0.85), "worst": history(0.5, 0.6, 0.7)}


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def labels(figure: Figure) -> list[str]:
    """The words at the ends of the lines, from the top."""
    texts = sorted(figure.axes[0].texts, key=lambda text: -text.get_position()[1])
    return [text.get_text() for text in texts]


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ("val_accuracy", ["85.00 %  best", "80.00 %  middle", "70.00 %  worst"]),
        ("val_cross_entropy", ["0.300  worst", "0.200  middle", "0.150  best"]),
    ],
)
def test_each_line_has_its_name_and_last_value_at_its_end(curve: comparison.Curve, expected: list[str]) -> None:
    figure = comparison.validation_curves(HISTORIES, curve, own=list(HISTORIES), title="study")
    figure.draw_without_rendering()
    assert labels(figure) == expected
    assert {text.xy for text in figure.axes[0].texts} == {
        (line.get_xdata()[-1], line.get_ydata()[-1]) for line in figure.axes[0].get_lines()
    }


@pytest.mark.parametrize("last", [[0.5] * 20, [0.9] * 18 + [0.5, 0.501], np.linspace(0.5, 0.9, 20)])
def test_labels_do_not_touch_and_stay_beside_the_axes(last: Sequence[float]) -> None:
    histories = {f"variant_{number}": history(0.7, value) for number, value in enumerate(last)}
    figure = comparison.validation_curves(histories, "val_accuracy", own=list(histories), title="study")
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [Text.get_window_extent(text, renderer) for text in figure.axes[0].texts]
    boxes.sort(key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 for below, above in itertools.pairwise(boxes))
    assert all(box.y0 > 0 and box.x1 <= figure.bbox.width for box in boxes)
    assert boxes[-1].y0 < figure.axes[0].bbox.y1


def test_a_line_per_variant_over_its_own_epochs() -> None:
    figure = comparison.validation_curves(HISTORIES, "val_accuracy", own=list(HISTORIES), title="study")
    (axes,) = figure.axes
    points = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()]
    assert points == [([1, 2, 3], [0.5, 0.9, 0.8]), ([1, 2], [0.6, 0.85]), ([1, 2, 3], [0.5, 0.6, 0.7])]
    assert (figure.get_suptitle(), axes.get_xlabel(), axes.get_ylabel()) == (
        "study",
        "epoch",
        "validation accuracy (%)",
    )
    figure.draw_without_rendering()
    assert "80" in [label.get_text() for label in axes.get_yticklabels()]


def test_a_variant_looks_the_same_in_a_figure_of_some() -> None:
    everyone, some = (
        comparison.validation_curves(HISTORIES, "val_accuracy", own=list(HISTORIES), only=only, title="study").axes[0]
        for only in (None, ["worst"])
    )
    (alone,) = some.get_lines()
    last = everyone.get_lines()[2]
    assert (alone.get_color(), alone.get_linestyle()) == (last.get_color(), last.get_linestyle())


def test_42_variants_all_look_different_and_more_are_still_drawn() -> None:
    histories = {f"variant_{number}": history(0.5, 0.6) for number in range(45)}
    figure = comparison.validation_curves(histories, "val_accuracy", own=list(histories), title="study")
    lines = figure.axes[0].get_lines()
    assert len(lines) == 45
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 42


def test_variants_that_a_study_is_set_beside_are_thin_and_grey() -> None:
    figure = comparison.validation_curves(HISTORIES, "val_accuracy", own=["best"], title="study")
    middle, best, worst = figure.axes[0].get_lines()
    assert middle.get_color() == worst.get_color() == style.GREY
    assert best.get_color() == style.variant_colour(0)
    assert best.get_linewidth() > middle.get_linewidth()


def test_a_curve_far_from_the_others_does_not_stretch_their_axis_and_is_shown_whole_below() -> None:
    histories = {f"usual_{number}": history(0.88, 0.90 + number / 100) for number in range(5)}
    histories["far"] = history(0.5, 0.55)
    figure = comparison.validation_curves(histories, "val_accuracy", own=list(histories), title="study")
    figure.draw_without_rendering()
    enlarged, whole = figure.axes
    assert 0.85 < enlarged.get_ylim()[0] < 0.88 < 0.94 < enlarged.get_ylim()[1] < 0.97
    assert whole.get_ylim()[0] < 0.5
    assert whole.get_title() == "whole: some curves leave the range above"
    assert labels(figure)[-1] == "\N{BLACK DOWN-POINTING SMALL TRIANGLE} 55.00 %  far"
    assert list(whole.get_lines()[-1].get_ydata()) == [0.5, 0.55]


def test_a_loss_far_above_the_others_is_said_to_be_there() -> None:
    histories = {f"usual_{number}": history(0.9, 0.90 + number / 100) for number in range(5)}
    histories["far"] = history(0.1, 0.3)
    figure = comparison.validation_curves(histories, "val_cross_entropy", own=list(histories), title="study")
    assert labels(figure)[0] == "\N{BLACK UP-POINTING SMALL TRIANGLE} 0.700  far"


def test_equal_curves_have_an_axis() -> None:
    figure = comparison.validation_curves({"only": history(0.5, 0.5)}, "val_accuracy", own=["only"], title="study")
    figure.draw_without_rendering()
    low, high = figure.axes[0].get_ylim()
    assert low < 0.5 < high


def test_overlay_pairs_training_and_validation_by_colour() -> None:
    histories = {name: table.assign(accuracy=table["val_accuracy"] + 0.05) for name, table in HISTORIES.items()}
    figure = comparison.accuracy_overlay(histories, title="study")
    lines = figure.axes[0].get_lines()
    assert labels(figure)[:3] == ["90.00 %  best, training", "85.00 %  middle, training", "85.00 %  best, validation"]
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
    figure = comparison.accuracy_chart(
        ranking(("low", 0.90, None), ("high", 0.95, None)), own=["high", "low"], title="study"
    )
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
    figure = comparison.accuracy_chart(ranking(("only", 0.95, None)), own=["only"], title="study")
    (intervals,) = figure.axes[1].collections
    assert intervals.get_segments()[0][:, 0] == pytest.approx([94.4, 95.4])


def test_accuracy_chart_marks_reported_figures_where_there_are_any() -> None:
    figure = comparison.accuracy_chart(ranking(("low", 0.90, 0.91), ("high", 0.95, None)), own=["low"], title="study")
    assert legend(figure) == ["measured, with its 95 % interval", "reported by the source"]
    assert [bar.get_facecolor() == to_rgba(style.SKY_BLUE) for bar in figure.axes[0].patches] == [True, False]
    for axes in figure.axes:
        (markers,) = [line for line in axes.get_lines() if line.get_label() == "reported by the source"]
        assert list(markers.get_xdata()) == pytest.approx([91])
        assert list(markers.get_ydata()) == ["low"]


def test_an_interval_around_a_shown_figure_is_shown_whole() -> None:
    """Here the lower end of an interval lies further below the best figure than the enlarged part reaches."""
    figure = comparison.accuracy_chart(ranking(("best", 0.93, None), ("worst", 0.832, 0.84)), own=[], title="study")
    assert figure.axes[1].get_xlim()[0] < 82.6
    assert len(figure.axes[1].texts) == 0


def test_what_lies_left_of_the_enlarged_part_is_told_in_words() -> None:
    figure = comparison.accuracy_chart(
        ranking(("fine", 0.97, 0.97), ("dead", 0.95, 0.0892), ("poor", 0.57, 0.56)), own=[], title="study"
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
    figure = comparison.difference_matrix(differences, ["a", "b", "c"], own=["a", "b", "c"], title="study")
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
        (1, 2): "0.45",
        (2, 1): "0.45",
    }


def difference(first: str, second: str, value: float) -> dict[str, Any]:
    return {"first": first, "second": second, "accuracy_difference": value, "accuracy_verdict": f"{first} is better"}


def test_only_a_study_s_own_variants_have_a_column() -> None:
    differences = pd.DataFrame([difference("a", "b", 0.02), difference("b", "c", 0.01)])
    axes = comparison.difference_matrix(differences, ["a", "b", "c"], own=["b"], title="study").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a  1", "b  2", "c  3"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2"]
    assert {text.get_position(): text.get_text() for text in axes.texts} == {(0, 0): "+2.00", (0, 2): "-1.00"}


def test_the_colours_tell_tenths_of_a_point_from_tens_and_mean_the_same_in_every_study() -> None:
    rows = [difference("a", "b", 0.006), difference("a", "c", 0.05), difference("a", "d", 0.47)]
    image = comparison.difference_matrix(pd.DataFrame(rows), list("abcd"), own="abcd", title="study").axes[0].images[0]
    middle, small, medium, large = (float(image.norm(value)) for value in (0, 0.6, 5, 47))
    assert middle == 0.5
    assert min(small - middle, medium - small, large - medium) > 0.1
    alone = comparison.difference_matrix(pd.DataFrame(rows[:1]), list("ab"), own="ab", title="study").axes[0].images[0]
    assert float(alone.norm(0.6)) == small


def test_equal_variants_have_no_sign_that_depends_on_their_order() -> None:
    verdict = "no significant difference"
    row = {"first": "a", "second": "b", "accuracy_difference": 0.0, "accuracy_verdict": verdict}
    axes = comparison.difference_matrix(pd.DataFrame([row]), ["a", "b"], own=["a", "b"], title="study").axes[0]
    assert [text.get_text() for text in axes.texts] == ["+0.00", "+0.00"]


def test_the_words_around_the_matrix_are_not_cut_off() -> None:
    """As long as those of the study with the longest title, over the smallest matrix."""
    title = "Handwritten image detection with Keras using MNIST data\ndifferences in test accuracy, in points"
    differences = pd.DataFrame(columns=["first", "second", "accuracy_difference", "accuracy_verdict"])
    figure = comparison.difference_matrix(differences, ["a", "b", "c"], own=["a", "b", "c"], title=title)
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    for text in (figure._suptitle, figure._supxlabel):
        box = text.get_window_extent(renderer)
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_without_a_pair_there_is_an_empty_matrix() -> None:
    differences = pd.DataFrame(columns=["first", "second", "accuracy_difference", "accuracy_verdict"])
    figure = comparison.difference_matrix(differences, ["alone"], own=["alone"], title="study")
    figure.draw_without_rendering()
    assert len(figure.axes[0].texts) == 0
