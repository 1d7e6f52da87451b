from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp
from statsmodels.stats.weightstats import ttest_ind

from pipeline.evaluation import seeds

FIRST, SECOND, THIRD = (0.981, 0.984, 0.983, 0.985, 0.982), (0.9805, 0.984, 0.983, 0.9845, 0.9825), (0.94, 0.941, 0.943)


def table_of(**accuracies: tuple[float, ...]) -> pd.DataFrame:
    """A row per variant and seed; all figures of a row are made of one."""
    return pd.DataFrame(
        [
            {
                "variant": name,
                "seed": seed,
                "val_accuracy": value - 0.001,
                "val_cross_entropy": 1 - value,
                "test_accuracy": value,
                "test_cross_entropy": 2 - value,
            }
            for name, values in accuracies.items()
            for seed, value in enumerate(values)
        ]
    )


TABLE = table_of(first=FIRST, second=SECOND, third=THIRD)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8).filter(lambda values: np.ptp(values) > 1e-6))
def test_the_interval_is_that_of_scipys_t_test(values: list[float]) -> None:
    mean, std, low, high = seeds.mean_interval(np.array(values))
    expected = ttest_1samp(values, 0.5).confidence_interval(0.95)
    assert (mean, std) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_the_interval_of_a_hand_computed_case() -> None:
    # t of 2 degrees of freedom is 4.302653; the standard deviation of 1, 2, 3 is 1.
    assert seeds.mean_interval(np.array([1.0, 2.0, 3.0])) == pytest.approx((2, 1, 2 - 2.484138, 2 + 2.484138), abs=1e-6)


def test_the_summary_has_a_row_per_variant() -> None:
    table = seeds.summary(TABLE).set_index("variant")
    assert list(table.index) == ["first", "second", "third"]
    assert list(table["num_seeds"]) == [5, 5, 3]
    assert table.loc["first", "test_accuracy_mean"] == pytest.approx(np.mean(FIRST))
    assert table.loc["first", "val_accuracy_mean"] == pytest.approx(np.mean(FIRST) - 0.001)
    assert table.loc["third", "test_cross_entropy_std"] == pytest.approx(np.std(THIRD, ddof=1))
    assert (table["test_accuracy_low"] < table["test_accuracy_mean"]).all()


def test_what_seeds_alone_can_make_is_no_difference() -> None:
    table = seeds.differences(TABLE)
    assert list(table.columns) == [
        "first",
        "second",
        "test_accuracy_difference",
        "p_value",
        "holm_p_value",
        "verdict",
    ]
    assert list(table["verdict"]) == ["no significant difference", "first is better", "second is better"]
    for row, (one, other) in zip(
        table.to_dict("records"), ((FIRST, SECOND), (FIRST, THIRD), (SECOND, THIRD)), strict=True
    ):
        assert row["test_accuracy_difference"] == pytest.approx(np.mean(one) - np.mean(other))
        assert row["p_value"] == pytest.approx(float(ttest_ind(one, other, usevar="unequal")[1]))
        assert row["holm_p_value"] >= row["p_value"]


def test_seeds_that_change_nothing_are_equal_or_not() -> None:
    table = seeds.differences(table_of(first=(0.9, 0.9), same=(0.9, 0.9), other=(0.8, 0.8)))
    assert list(table["p_value"]) == [1.0, 0.0, 0.0]
    assert list(table["verdict"]) == ["no significant difference", "first is better", "same is better"]


def test_one_variant_has_no_pair() -> None:
    assert len(seeds.differences(table_of(first=FIRST))) == 0
