from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from pipeline.evaluation import pairwise, seeds

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


def outputs(rng: np.random.Generator, num_seeds: int, images: np.ndarray, *, better: float = 0.0) -> np.ndarray:
    """Values (num_seeds, n): each is an effect of the image, shared by all models, one of the seed, and noise."""
    noise = rng.normal(0, 0.5, (num_seeds, len(images)))
    return better + images + rng.normal(0, 0.3, (num_seeds, 1)) + noise


def test_where_examples_change_nothing_it_is_welchs_test_over_seeds() -> None:
    rng = np.random.default_rng(1)
    first, second = (np.repeat(rng.normal(0, 1, (size, 1)), 50, axis=1) for size in (5, 3))
    found = seeds.crossed_difference(first, second)
    expected = scipy.stats.ttest_ind(first[:, 0], second[:, 0], equal_var=False)
    assert (found.mean, found.p_value()) == pytest.approx((first.mean() - second.mean(), float(expected.pvalue)))
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_where_seeds_change_nothing_it_is_the_paired_test_over_examples() -> None:
    rng = np.random.default_rng(2)
    first, second = (np.repeat(rng.normal(0, 1, (1, 40)), 4, axis=0) for _ in range(2))
    found = seeds.crossed_difference(first, second)
    expected = scipy.stats.ttest_rel(first[0], second[0])
    assert found.p_value() == pytest.approx(float(expected.pvalue))
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_equal_models_are_found_different_in_at_most_one_of_twenty() -> None:
    rng = np.random.default_rng(3)
    p_values = []
    for _ in range(1000):
        images = rng.normal(0, 2, 100)
        first, second = outputs(rng, 5, images), outputs(rng, 5, images)
        p_values.append(seeds.crossed_difference(first, second).p_value())
    # Two standard errors above a twentieth.
    assert np.mean(np.array(p_values) < 0.05) < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 1000)


@given(st.integers(2, 6), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_the_other_way_round_only_the_sign_changes(num_first: int, num_second: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 1, 20)
    first, second = outputs(rng, num_first, images), outputs(rng, num_second, images)
    found, reverse = seeds.crossed_difference(first, second), seeds.crossed_difference(second, first)
    low, high = found.interval
    assert (reverse.mean, *reverse.interval) == pytest.approx((-found.mean, -high, -low))
    assert reverse.p_value() == pytest.approx(found.p_value())
    assert low <= found.mean <= high
    assert (found.p_value() < 0.05) == (not low <= 0 <= high)


def test_seeds_that_change_nothing_are_equal_or_not() -> None:
    same, other = np.ones((2, 3), dtype=bool), np.zeros((2, 3), dtype=bool)
    for second, mean, p_value in ((same, 0, 1), (other, 1, 0)):
        found = seeds.crossed_difference(same, second)
        assert (found.mean, found.interval, found.p_value()) == (mean, (mean, mean), p_value)


def model_of(rng: np.random.Generator, images: np.ndarray, *, better: float, objective: str) -> pairwise.Tested:
    values = outputs(rng, 4, images, better=better)
    return pairwise.Tested(values > 0, -values, objective)


def test_a_row_per_pair_in_accuracy_and_in_cross_entropies_of_one_kind() -> None:
    rng = np.random.default_rng(4)
    images = rng.normal(0, 1, 200)
    models = {
        "first": model_of(rng, images, better=3, objective="categorical_crossentropy"),
        "second": model_of(rng, images, better=0, objective="categorical_crossentropy"),
        "third": model_of(rng, images, better=0, objective="binary_crossentropy"),
    }
    pairs = list(itertools.combinations(models, 2))
    table = seeds.differences(models, pairs)
    assert list(zip(table["first"], table["second"], strict=True)) == pairs
    assert list(table["accuracy_verdict"]) == ["first is better", "first is better", "no significant difference"]
    # Of a loss less is better.
    assert table["cross_entropy_difference"].iloc[0] < 0
    assert table["cross_entropy_verdict"].iloc[0] == "first is better"
    assert table["cross_entropy_verdict"].iloc[1:].isna().all()
    for row in table.to_dict("records"):
        first, second = models[row["first"]], models[row["second"]]
        assert row["accuracy_difference"] == pytest.approx(first.correct.mean() - second.correct.mean())
        assert row["accuracy_holm_p_value"] >= row["accuracy_p_value"]


def test_one_variant_has_no_pair() -> None:
    rng = np.random.default_rng(5)
    one = model_of(rng, rng.normal(0, 1, 10), better=0, objective="categorical_crossentropy")
    assert len(seeds.differences({"first": one}, [])) == 0
