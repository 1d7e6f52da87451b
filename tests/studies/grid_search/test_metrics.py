from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.studies.grid_search import metrics
from pipeline.studies.grid_search.data import Evidence

ACCURACIES = arrays(float, (4, 3), elements=st.floats(0.5, 1.0))


def test_the_interval_over_folds_is_that_of_nadeau_and_bengio() -> None:
    """One configuration, differences .01, .02 and .03: a standard deviation of .01, t of 2 degrees 4.3027."""
    found = metrics.over_folds(np.array([[0.91, 0.92, 0.93]]), np.array([[0.9, 0.9, 0.9]]))
    margin = 4.302653 * 0.01 * np.sqrt(1 / 3 + 1 / 2)
    assert (found.mean, found.low, found.high) == pytest.approx((0.02, 0.02 - margin, 0.02 + margin))


def test_units_that_disagree_widen_the_interval() -> None:
    """Folds agree to the last digit, units do not: .00 and .02, a standard deviation .0141, t of 1 degree 12.706."""
    first, second = np.array([[0.9] * 3, [0.92] * 3]), np.full((2, 3), 0.9)
    found = metrics.over_folds(first, second)
    assert found.mean == pytest.approx(0.01)
    assert found.high - found.mean == pytest.approx(12.7062 * 0.0141421 / np.sqrt(2), rel=1e-4)


@given(ACCURACIES, ACCURACIES)
def test_the_other_way_round_is_the_opposite(first: np.ndarray, second: np.ndarray) -> None:
    one, other = metrics.over_folds(first, second), metrics.over_folds(second, first)
    assert (one.mean, one.low, one.high) == pytest.approx((-other.mean, -other.high, -other.low))
    assert one.low <= one.mean <= one.high


@given(ACCURACIES, ACCURACIES, st.floats(-0.1, 0.1))
def test_what_folds_have_in_common_does_not_count(first: np.ndarray, second: np.ndarray, shift: float) -> None:
    hard = np.array([shift, 0, -shift])
    plain, shifted = metrics.over_folds(first, second), metrics.over_folds(first + hard, second + hard)
    assert (plain.mean, plain.low) == pytest.approx((shifted.mean, shifted.low))


@pytest.mark.parametrize("shapes", [((2, 3), (3, 3)), ((2, 1), (2, 1)), ((0, 3), (0, 3))])
def test_what_cannot_be_compared_is_refused(shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="expected the same units and folds"):
        metrics.over_folds(*(np.zeros(shape) for shape in shapes))


def test_images_that_both_get_right_or_wrong_do_not_count_as_a_difference(
    make_evidence: Callable[..., Evidence],
) -> None:
    refit = make_evidence({"2_bn": 0.95}).refits["2_bn"]
    first = replace(refit, correct=np.array([True] * 960 + [False] * 40))
    second = replace(refit, correct=np.array([True] * 920 + [False] * 80))
    found = metrics.of_tests(first, second).difference
    assert found.mean == pytest.approx(0.04)
    assert 0.02 < found.low < 0.04 < found.high < 0.06
    assert found.sign() == 1
    assert metrics.of_tests(first, first).difference.sign() == 0


def test_losses_are_compared_image_by_image() -> None:
    base = np.linspace(0, 5, 100)
    found = metrics.by_t(base + np.tile([0.1, 0.3], 50), base)
    assert found.mean == pytest.approx(0.2)
    assert found.high - found.low == pytest.approx(2 * 1.98422 * 0.100504 / 10, rel=1e-4)


def test_one_unit_has_no_interval_over_units(make_evidence: Callable[..., Evidence]) -> None:
    evidence = make_evidence({"1_bn": 0.95, "1_dropout": 0.94})
    (both,) = metrics.at_equal_units(evidence, "1_bn", "1_dropout")
    assert both.reported == pytest.approx({"difference": 0.01, "low": 0.01, "high": 0.01})
    one_unit = {**evidence.scores, "1_bn": evidence.scores["1_bn"].head(1)}
    (one,) = metrics.at_equal_units(replace(evidence, scores=one_unit), "1_bn", "1_dropout")
    assert (one.num_pairs, one.reported) == (3, None)
