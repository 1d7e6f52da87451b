from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import metrics


@pytest.mark.parametrize(
    ("num_correct", "num_examples", "low", "high"),
    [
        # From the formula by hand, z = 1.959964: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).
        (0, 10, 0.0, 0.27753279),
        (10, 10, 0.72246721, 1.0),
        (5, 10, 0.23659309, 0.76340691),
        (9762, 10000, 0.97302463, 0.97900965),
    ],
)
def test_wilson_interval_matches_hand_computed_cases(
    num_correct: int, num_examples: int, low: float, high: float
) -> None:
    assert metrics.wilson_interval(num_correct, num_examples) == pytest.approx((low, high), abs=1e-7)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_proportion_and_stays_within_0_and_1(case: tuple[int, int]) -> None:
    low, high = metrics.wilson_interval(*case)
    assert 0 <= low <= case[0] / case[1] + 1e-12
    assert case[0] / case[1] - 1e-12 <= high <= 1


def test_wilson_interval_widens_with_confidence() -> None:
    low_95, high_95 = metrics.wilson_interval(90, 100)
    low_99, high_99 = metrics.wilson_interval(90, 100, confidence=0.99)
    assert low_99 < low_95 < high_95 < high_99


@pytest.mark.parametrize(("num_correct", "num_examples"), [(3, 2), (-1, 2), (0, 0)])
def test_wilson_interval_refuses_impossible_counts(num_correct: int, num_examples: int) -> None:
    with pytest.raises(ValueError, match=r"must (not )?be"):
        metrics.wilson_interval(num_correct, num_examples)


def test_confusion_matrix_has_a_row_per_true_class_even_without_examples() -> None:
    matrix = metrics.confusion_matrix(np.array([0, 0, 2]), np.array([0, 2, 2]), num_classes=4)
    assert matrix.tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_per_class_figures_match_hand_computed_ones() -> None:
    labels, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 0])
    scores = metrics.per_class(labels, predicted, num_classes=3)
    assert scores.precision == pytest.approx([2 / 4, 1 / 2, 0])
    assert scores.recall == pytest.approx([2 / 3, 1 / 2, 0])
    assert scores.f1 == pytest.approx([4 / 7, 1 / 2, 0])
    assert scores.support.tolist() == [3, 2, 1]
    assert scores.macro_f1 == pytest.approx((4 / 7 + 1 / 2) / 3)


def test_most_confidently_wrong_sorts_mistakes_only_and_keeps_the_order_of_equals() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.99, 0.01], [0.8, 0.2], [0.05, 0.95]])
    labels = np.array([1, 0, 0, 1, 0])
    assert metrics.most_confidently_wrong(probabilities, labels, 10).tolist() == [4, 0, 1, 3]
    assert metrics.most_confidently_wrong(probabilities, labels, 2).tolist() == [4, 0]


def test_most_confidently_wrong_of_a_perfect_model_is_empty() -> None:
    assert metrics.most_confidently_wrong(np.eye(3), np.arange(3), 5).tolist() == []
