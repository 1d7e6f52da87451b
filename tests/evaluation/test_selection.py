from __future__ import annotations

import dataclasses
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.selection import Candidate, Metric, gap, select


def candidate(variant: str, parameters: int, val_accuracy: float, val_cross_entropy: float = 0.1) -> Candidate:
    return Candidate(
        variant, "study", parameters, {"val_accuracy": val_accuracy, "val_cross_entropy": val_cross_entropy}
    )


LARGE = candidate("large", 437_310, 0.9830, 0.070)
SMALL = candidate("small", 55_050, 0.9760, 0.090)
MIDDLE = candidate("middle", 100_000, 0.9810, 0.060)

candidates = st.lists(
    st.builds(
        Candidate,
        variant=st.text("abcdef", min_size=1, max_size=4),
        study=st.just("study"),
        parameters=st.integers(1, 5),
        metrics=st.fixed_dictionaries(
            {
                # On a coarse grid, so that ties and exact tolerances come up.
                "val_accuracy": st.integers(9700, 9720).map(lambda count: count / 10_000),
                "val_cross_entropy": st.integers(50, 70).map(lambda count: count / 1000),
            }
        ),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda item: item.variant,
)
metrics = st.sampled_from(["val_accuracy", "val_cross_entropy"])
tolerances = st.integers(0, 20).map(lambda count: count / 10_000)


def test_the_best_wins_without_the_flag_whatever_the_tolerance() -> None:
    selection = select([SMALL, LARGE, MIDDLE], metric="val_accuracy", tolerance=0.5, prefer_fewer_parameters=False)
    assert selection.selected == LARGE
    assert [item.variant for item in selection.ranked] == ["large", "middle", "small"]


def test_lower_cross_entropy_is_better() -> None:
    selection = select([SMALL, LARGE, MIDDLE], metric="val_cross_entropy", tolerance=0, prefer_fewer_parameters=True)
    assert selection.selected == MIDDLE
    assert [item.variant for item in selection.ranked] == ["middle", "large", "small"]


@pytest.mark.parametrize(
    # 0.983 - 0.981 is 0.0020000000000000018 in floating point; the tolerance is inclusive all the same.
    ("tolerance", "selected"),
    [(0.0, LARGE), (0.0019, LARGE), (0.002, MIDDLE), (0.0069, MIDDLE), (0.007, SMALL)],
)
def test_fewer_parameters_win_within_the_tolerance(tolerance: float, selected: Candidate) -> None:
    selection = select([SMALL, LARGE, MIDDLE], metric="val_accuracy", tolerance=tolerance, prefer_fewer_parameters=True)
    assert selection.selected == selected


def test_equals_in_size_go_to_the_better_metric_then_to_the_name() -> None:
    worse, second, first = candidate("a", 10, 0.97), candidate("c", 10, 0.98), candidate("b", 10, 0.98)
    selection = select([worse, second, first], metric="val_accuracy", tolerance=0.05, prefer_fewer_parameters=True)
    assert selection.selected == first


@given(candidates, metrics, tolerances)
def test_selected_is_within_tolerance_and_none_within_has_fewer_parameters(
    items: list[Candidate], metric: Metric, tolerance: float
) -> None:
    selection = select(items, metric=metric, tolerance=tolerance, prefer_fewer_parameters=True)
    best = selection.ranked[0]
    assert gap(selection.selected, best, metric) <= tolerance
    within = [item for item in items if gap(item, best, metric) <= tolerance]
    assert selection.selected.parameters == min(item.parameters for item in within)


@given(candidates, metrics)
def test_the_first_ranked_is_the_best(items: list[Candidate], metric: Metric) -> None:
    best = select(items, metric=metric, tolerance=0, prefer_fewer_parameters=False).selected
    values = [item.metrics[metric] for item in items]
    assert best.metrics[metric] == (max(values) if metric == "val_accuracy" else min(values))


@given(candidates, metrics, tolerances, st.booleans(), st.randoms(use_true_random=False))
def test_order_of_candidates_does_not_matter(
    items: list[Candidate], metric: Metric, tolerance: float, flag: bool, generator: random.Random
) -> None:
    shuffled = list(items)
    generator.shuffle(shuffled)
    assert select(items, metric=metric, tolerance=tolerance, prefer_fewer_parameters=flag) == select(
        shuffled, metric=metric, tolerance=tolerance, prefer_fewer_parameters=flag
    )


def test_candidates_hold_no_test_figures() -> None:
    assert not [field.name for field in dataclasses.fields(Candidate) if "test" in field.name]


@pytest.mark.parametrize(
    ("tolerance", "flag", "reason"),
    [
        (0.002, False, "It has the best validation accuracy of 98.30 % among 3 variants."),
        (
            0.001,
            True,
            "It has the best validation accuracy of 98.30 % among 3 variants; no other is within the tolerance of "
            "0.1 points.",
        ),
        (
            0.0075,
            True,
            "Of the 3 variants within the tolerance of 0.75 points of the best it has the fewest parameters: 55,050 at "
            "a validation accuracy of 97.60 %, against 437,310 of large at 98.30 %.",
        ),
    ],
)
def test_reason_tells_what_decided(tolerance: float, flag: bool, reason: str) -> None:
    selection = select([SMALL, LARGE, MIDDLE], metric="val_accuracy", tolerance=tolerance, prefer_fewer_parameters=flag)
    assert selection.reason == reason


def test_reason_when_the_best_is_also_the_smallest() -> None:
    best = dataclasses.replace(SMALL, variant="best", metrics={**SMALL.metrics, "val_accuracy": 0.9831})
    selection = select([LARGE, best], metric="val_accuracy", tolerance=0.002, prefer_fewer_parameters=True)
    assert selection.reason == (
        "It has the best validation accuracy of 98.31 % among 2 variants, and of the 2 within the tolerance of "
        "0.2 points none has fewer parameters (55,050)."
    )


def test_nothing_to_select_from_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one candidate"):
        select([], metric="val_accuracy", tolerance=0, prefer_fewer_parameters=True)


def test_a_metric_that_is_not_a_number_is_refused() -> None:
    diverged = candidate("diverged", 1, 0.1, math.nan)
    with pytest.raises(ValueError, match="diverged: expected a finite val_cross_entropy, got nan"):
        select([LARGE, diverged], metric="val_cross_entropy", tolerance=0, prefer_fewer_parameters=True)
