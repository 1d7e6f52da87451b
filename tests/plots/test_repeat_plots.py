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


def test_every_seed_is_a_point_and_all_rows_have_one_scale() -> None:
    figure = repeats.accuracy_over_seeds(SEEDS, SUMMARY, reported={"b": 0.91}, title="study")
    figure.draw_without_rendering()
    validation, test = figure.axes
    points = [
        [list(line.get_xdata()) for line in axes.get_lines() if line.get_label() == "one seed"] for axes in figure.axes
    ]
    assert points == [
        [pytest.approx([97, 98]), pytest.approx([90, 91])],
        [pytest.approx([96, 98]), pytest.approx([90, 90])],
    ]
    assert [text.get_text() for text in validation.get_yticklabels()] == ["a", "b"]
    marks = [[line for line in axes.get_lines() if line.get_label() == "reported"] for axes in (validation, test)]
    assert marks[0] == []
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in marks[1]] == [(pytest.approx(91), 1)]


def test_a_variant_far_below_the_others_is_told_in_words() -> None:
    collapsed = SUMMARY.assign(val_accuracy_mean=[0.975, 0.5])
    figure = repeats.accuracy_over_seeds(SEEDS, collapsed, reported={}, title="study")
    figure.draw_without_rendering()
    assert [text.get_text()[2:] for text in figure.axes[0].texts] == ["50.00 %"]
    assert figure.axes[0].get_xlim()[0] > 90


def test_seeds_that_change_nothing_are_still_drawn() -> None:
    same = SUMMARY.assign(
        test_accuracy_low=SUMMARY["test_accuracy_mean"], test_accuracy_high=SUMMARY["test_accuracy_mean"]
    )
    seeds = SEEDS.assign(test_accuracy=[0.97, 0.97, 0.9, 0.9])
    repeats.accuracy_over_seeds(seeds, same, reported={}, title="study").draw_without_rendering()
