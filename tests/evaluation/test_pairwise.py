from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from pipeline.evaluation import pairwise
from pipeline.evaluation.pairwise import NO_DIFFERENCE

NUM_IMAGES = 1_000
CATEGORICAL = "categorical_crossentropy"
COLUMNS = (
    "first",
    "second",
    "accuracy_difference",
    "accuracy_low",
    "accuracy_high",
    "only_first_right",
    "only_second_right",
    "accuracy_p_value",
    "accuracy_holm_p_value",
    "accuracy_verdict",
    "cross_entropy_difference",
    "cross_entropy_low",
    "cross_entropy_high",
    "cross_entropy_p_value",
    "cross_entropy_holm_p_value",
    "cross_entropy_verdict",
)
ERROR_COLUMNS = ("first", "second", "difference", "low", "high", "p_value", "holm_p_value", "verdict")


def outcome(num_wrong: int, *, seed: int, loss: float = 0.1, objective: str = CATEGORICAL) -> pairwise.Tested:
    """Right but for `num_wrong` images of its own, with losses around a mean."""
    generator = np.random.default_rng(seed)
    correct = np.ones(NUM_IMAGES, dtype=bool)
    correct[generator.permutation(NUM_IMAGES)[:num_wrong]] = False
    return pairwise.Tested(correct, generator.gamma(2.0, loss / 2, NUM_IMAGES), objective)


MODELS = {
    "good": outcome(20, seed=1),
    "alike": outcome(25, seed=2),
    "bad": outcome(120, seed=3, loss=0.2),
}
PAIRS = [("good", "alike"), ("good", "bad"), ("alike", "bad")]


def rows(**changes: Any) -> list[dict[Any, Any]]:
    return pairwise.differences({**MODELS, **changes}, PAIRS).to_dict("records")


def test_a_real_difference_is_told_from_noise() -> None:
    table = pairwise.differences(MODELS, PAIRS)
    assert tuple(table.columns) == COLUMNS
    expected = [NO_DIFFERENCE, "good is better", "alike is better"]
    assert list(table["accuracy_verdict"]) == list(table["cross_entropy_verdict"]) == expected
    assert list(table["accuracy_difference"]) == pytest.approx([0.005, 0.1, 0.095])
    # More accurate is better, and so is a lower cross-entropy.
    assert (table["cross_entropy_difference"].iloc[1:] < 0).all()
    inside = (table["accuracy_low"] <= table["accuracy_difference"]) & (
        table["accuracy_difference"] <= table["accuracy_high"]
    )
    assert inside.all()


def test_the_second_may_be_the_better_one() -> None:
    table = pairwise.differences(MODELS, [("bad", "good")])
    assert list(table["accuracy_verdict"]) == list(table["cross_entropy_verdict"]) == ["good is better"]
    assert table["accuracy_difference"].iloc[0] == pytest.approx(-0.1)


def test_what_counts_is_the_p_value_corrected_for_all_pairs() -> None:
    """One pair alone may be significant that is no longer so among others."""
    right, wrong = np.ones(NUM_IMAGES, dtype=bool), np.ones(NUM_IMAGES, dtype=bool)
    wrong[:7] = False
    losses = MODELS["good"].losses
    models = {
        "one": pairwise.Tested(right, losses, CATEGORICAL),
        "seven_worse": pairwise.Tested(wrong, losses, CATEGORICAL),
    }
    models |= dict.fromkeys(("same", "copy", "twin"), models["one"])
    pairs = [("one", "seven_worse"), ("one", "same"), ("one", "copy"), ("one", "twin")]
    alone, among = (pairwise.differences(models, chosen).iloc[0] for chosen in (pairs[:1], pairs))
    assert alone["accuracy_p_value"] == among["accuracy_p_value"] == pytest.approx(binomtest(0, 7).pvalue)
    assert among["accuracy_holm_p_value"] == pytest.approx(4 * binomtest(0, 7).pvalue)
    assert (alone["accuracy_verdict"], among["accuracy_verdict"]) == ("one is better", NO_DIFFERENCE)


def test_losses_of_two_kinds_are_not_compared() -> None:
    found = rows(bad=outcome(120, seed=3, loss=0.2, objective="binary_crossentropy"))
    assert [pd.isna(row["cross_entropy_verdict"]) for row in found] == [False, True, True]
    assert [row["accuracy_verdict"] for row in found] == [row["accuracy_verdict"] for row in rows()]


def test_errors_are_compared_like_losses() -> None:
    generator = np.random.default_rng(0)
    errors = {"net": generator.random(500) / 4, "other": generator.random(500) / 4, "mean": generator.random(500)}
    table = pairwise.error_differences(errors, [("net", "other"), ("net", "mean"), ("mean", "other")])
    assert tuple(table.columns) == ERROR_COLUMNS
    assert list(table["verdict"]) == [NO_DIFFERENCE, "net is better", "other is better"]
    assert table["difference"].iloc[1] == pytest.approx(errors["net"].mean() - errors["mean"].mean())


def test_one_variant_has_nothing_to_be_compared_with() -> None:
    table = pairwise.differences({"good": MODELS["good"]}, [])
    assert (len(table), tuple(table.columns)) == (0, COLUMNS)
    assert tuple(pairwise.error_differences({}, []).columns) == ERROR_COLUMNS
    assert pairwise.summary(table) == "There is one variant: nothing to compare."


def test_the_summary_counts_and_names_the_equals() -> None:
    table = pairwise.differences(MODELS, PAIRS)
    assert pairwise.summary(table) == (
        "Significant differences between variants: 2 of 3 in test accuracy, 2 of 3 in test cross-entropy "
        "(Holm's correction, 5 %)."
    )
    assert pairwise.level_with(table, "good") == ["alike"]
    assert pairwise.level_with(table, "alike") == ["good"]
    assert pairwise.level_with(table, "bad") == []
