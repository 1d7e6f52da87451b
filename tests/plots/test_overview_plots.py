"""The plots over all studies."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd

from pipeline.plots import overview


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "study": ["one", "one", "other"],
            "parameters": [10, 1000, 500],
            "cost": [100, 10_000, 5000],
            "accuracy_gap": [0.02, -0.01, 0.0],
            "test_accuracy": [0.9, 0.99, 1.0],
            "test_accuracy_low": [0.88, 0.98, 0.99],
            "test_accuracy_high": [0.92, 1.0, 1.0],
        }
    )


def test_gaps_are_in_points_with_a_mark_for_each_study() -> None:
    axes = overview.gaps(table()).axes[0]
    first, other = [line for line in axes.get_lines() if line.get_label() in ("one", "other")]
    assert list(first.get_ydata()) == [2.0, -1.0]
    assert list(other.get_xdata()) == [500]
    assert first.get_marker() != other.get_marker()
    assert axes.get_xscale() == "log"


def test_the_better_accuracy_is_higher_and_told_in_percent() -> None:
    figure = overview.accuracies(table())
    axes = figure.axes[0]
    low, high = axes.get_ylim()
    assert low > high
    assert axes.yaxis.get_major_formatter()(0.1, 0) == "90"
    # One that is wholly right has a place, too.
    figure.savefig(io.BytesIO())
    assert np.isfinite([low, high]).all()


def test_effects_are_full_where_significant_and_grouped() -> None:
    rows = pd.DataFrame(
        {
            "group": ["one", "one", "other"],
            "label": ["a", "b", "c"],
            "difference": [0.01, -0.4, 0.0],
            "low": [0.005, -0.45, -0.01],
            "high": [0.02, -0.3, 0.01],
            "is_significant": [True, True, False],
        }
    )
    axes = overview.effects(rows).axes[0]
    points = [item.lines[0] for item in axes.containers]
    assert [float(point.get_xdata()[0]) for point in points] == [1.0, -40.0, 0.0]
    assert [point.get_markerfacecolor() == "white" for point in points] == [False, False, True]
    assert points[0].get_color() == points[1].get_color() != points[2].get_color()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert {text.get_text() for text in axes.texts} == {"one", "other"}
    places = axes.get_yticks()
    assert places[2] - places[1] > places[1] - places[0]
