from __future__ import annotations

import pandas as pd
import pytest

from pipeline.plots import repeats

SEEDS = pd.DataFrame(
    {
        "variant": ["a", "a", "b", "b"],
        "val_accuracy": [0.97, 0.98, 0.90, 0.91],
        "test_accuracy": [0.96, 0.98, 0.90, 0.90],
    }
)
SUMMARY = pd.DataFrame(
    {
        "variant": ["a", "b"],
        **{f"val_accuracy_{part}": values for part, values in (("mean", [0.975, 0.905]), ("low", [0.96, 0.89]))},
        **{f"test_accuracy_{part}": values for part, values in (("mean", [0.97, 0.9]), ("low", [0.95, 0.9]))},
        "val_accuracy_high": [0.99, 0.92],
        "test_accuracy_high": [0.99, 0.9],
    }
)


def test_every_seed_is_a_point_and_equal_lengths_mean_equal_spreads() -> None:
    figure = repeats.accuracy_over_seeds(SEEDS, SUMMARY, title="study")
    figure.draw_without_rendering()
    panels = figure.axes
    assert len(panels) == 4
    points = [list(axes.get_lines()[0].get_xdata()) for axes in panels]
    assert points == [pytest.approx(values) for values in ([97, 98], [96, 98], [90, 91], [90, 90])]
    assert [axes.get_ylabel() for axes in panels] == ["a", "", "b", ""]
    widths = [axes.get_xlim()[1] - axes.get_xlim()[0] for axes in panels]
    assert widths[0] == pytest.approx(widths[2])
    assert widths[1] == pytest.approx(widths[3])
    for axes, values in zip(panels, points, strict=True):
        assert axes.get_xlim()[0] < min(values) <= max(values) < axes.get_xlim()[1]


def test_seeds_that_change_nothing_are_still_drawn() -> None:
    same = SUMMARY.assign(
        test_accuracy_low=SUMMARY["test_accuracy_mean"], test_accuracy_high=SUMMARY["test_accuracy_mean"]
    )
    seeds = SEEDS.assign(test_accuracy=[0.97, 0.97, 0.9, 0.9])
    repeats.accuracy_over_seeds(seeds, same, title="study").draw_without_rendering()
