from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.evaluation.statistics import Difference
from pipeline.studies.grid_search import metrics
from pipeline.studies.grid_search.data import Evidence
from pipeline.studies.grid_search.metrics import Contrast

ACCURACIES = arrays(float, (4, 3), elements=st.floats(0.5, 1.0))


def test_the_interval_over_folds_is_that_of_nadeau_and_bengio() -> None:
    """One configuration, differences .01, .02 and .03: a standard deviation of .01, t of 2 degrees 4.3027."""
    found = metrics.over_folds(np.array([[0.91, 0.92, 0.93]]), np.array([[0.9, 0.9, 0.9]]))
    margin = 4.302653 * 0.01 * np.sqrt(1 / 3 + 1 / 2)
    assert (found.mean, *found.interval) == pytest.approx((0.02, 0.02 - margin, 0.02 + margin))


def test_units_that_disagree_widen_the_interval() -> None:
    """Folds agree to the last digit, units do not: .00 and .02, a standard deviation .0141, t of 1 degree 12.706."""
    first, second = np.array([[0.9] * 3, [0.92] * 3]), np.full((2, 3), 0.9)
    found = metrics.over_folds(first, second)
    assert found.mean == pytest.approx(0.01)
    assert found.interval[1] - found.mean == pytest.approx(12.7062 * 0.0141421 / np.sqrt(2), rel=1e-4)


@given(ACCURACIES, ACCURACIES)
def test_the_other_way_round_is_the_opposite(first: np.ndarray, second: np.ndarray) -> None:
    one, other = metrics.over_folds(first, second), metrics.over_folds(second, first)
    (low, high), (other_low, other_high) = one.interval, other.interval
    assert (one.mean, low, high) == pytest.approx((-other.mean, -other_high, -other_low))
    assert low <= one.mean <= high
    assert one.p_value() == pytest.approx(other.p_value())


@given(ACCURACIES, ACCURACIES, st.floats(-0.1, 0.1))
def test_what_folds_have_in_common_does_not_count(first: np.ndarray, second: np.ndarray, shift: float) -> None:
    hard = np.array([shift, 0, -shift])
    plain, shifted = metrics.over_folds(first, second), metrics.over_folds(first + hard, second + hard)
    assert (plain.mean, *plain.interval) == pytest.approx((shifted.mean, *shifted.interval))


@pytest.mark.parametrize("shapes", [((2, 3), (3, 3)), ((2, 1), (2, 1)), ((0, 3), (0, 3))])
def test_what_cannot_be_compared_is_refused(shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="expected the same units and folds"):
        metrics.over_folds(*(np.zeros(shape) for shape in shapes))


@given(ACCURACIES, ACCURACIES)
def test_the_interval_leaves_out_what_is_significant(first: np.ndarray, second: np.ndarray) -> None:
    found = metrics.over_folds(first, second)
    low, high = found.interval
    assume(abs(found.p_value() - 0.05) > 1e-9)
    assert (found.p_value() < 0.05) == (low > 0 or high < 0)


def test_a_family_is_corrected_for_its_size_and_tested_against_the_limit() -> None:
    """A difference of 2.5 standard errors is significant alone (p .02), not as one of three like it."""
    contrast = Contrast("first", "second", "test accuracy", Difference(0.0025, ((0.001, 20.0),)))
    (alone,) = metrics.judged([contrast])
    assert (alone.sign, alone.holm_p_value) == (1, pytest.approx(0.0212, abs=1e-4))
    assert [item.sign for item in metrics.judged([contrast] * 3)] == [0, 0, 0]
    assert [item.sign for item in metrics.judged([contrast], limit=0.01)] == [-1]
    assert [item.sign for item in metrics.judged([contrast], limit=0.0025)] == [0]


def test_refits_are_compared_in_either_order_over_their_seeds(make_evidence: Callable[..., Evidence]) -> None:
    evidence = make_evidence({"2_bn": 0.95, "2_dropout": 0.93}, entropies={"2_bn": 0.3})
    for first, second, sign in (("2_bn", "2_dropout", 1), ("2_dropout", "2_bn", -1)):
        (accuracy,) = metrics.over_seeds(evidence, first, second, "accuracy")
        (entropy,) = metrics.over_seeds(evidence, first, second, "cross_entropy")
        assert (accuracy.difference.mean, entropy.difference.mean) == pytest.approx((sign * 0.02, sign * 0.2))
        assert (accuracy.basis, entropy.basis) == ("test accuracy", "test cross-entropy")
    assert metrics.over_seeds(evidence, "2_bn", "3_bn", "accuracy") == []


def test_the_source_is_compared_at_the_same_units(make_evidence: Callable[..., Evidence]) -> None:
    evidence = make_evidence({"1_bn": 0.95, "1_dropout": 0.94})
    (both,) = metrics.at_equal_units(evidence, "1_bn", "1_dropout")
    assert both.reported == pytest.approx({"difference": 0.01})
    unknown = {**evidence.scores, "1_bn": evidence.scores["1_bn"].assign(reported_cv_accuracy=None)}
    (none,) = metrics.at_equal_units(replace(evidence, scores=unknown), "1_bn", "1_dropout")
    assert none.reported is None
