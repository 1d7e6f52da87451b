from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.evaluation.scoring import absolute_errors
from pipeline.studies.waves import data, metrics

X = np.linspace(0, 4 * np.pi, 41)
SIGNS = [(1, 1, 1, 1), (-1, -1, 1, 1), (1, 1, 1, -1), (-1, -1, 1, -1)]

rows = arrays.arrays(np.float64, (5, 4), elements=st.floats(-3, 3))


def test_errors_match_hand_computed_ones() -> None:
    true, predicted = np.array([[1, 2, 3, 4.0]]), np.array([[1.5, 0, 3, -4.0]])
    assert absolute_errors(true, predicted).tolist() == [[0.5, 2, 0, 8]]
    assert metrics.with_nearest_signs(true, predicted).tolist() == [[1.5, 0, 3, 4]]


@pytest.mark.parametrize(
    ("true", "predicted", "fixed"),
    [
        ((-1, 1, 0, 0), (1, -1, 0, 0), (-1, 1, 0, 0)),
        # Neither both nor one alone may change.
        ((1, 1, 0, 0), (-1, 1, 0, 0), (-1, 1, 0, 0)),
        # A frequency near 0 stays on its side: turned positive, it would take a along.
        ((0.5, 0.01, 0, 0), (0.5, -0.01, 0, 0), (0.5, -0.01, 0, 0)),
        ((0, 0, 1, -2), (0, 0, 1, 1.5), (0, 0, 1, -1.5)),
    ],
)
def test_the_nearest_signs(true: list[float], predicted: list[float], fixed: list[float]) -> None:
    found = metrics.with_nearest_signs(np.array([true]), np.array([predicted]))
    np.testing.assert_array_equal(found, [fixed])


@given(rows, rows)
def test_signs_change_no_curve_and_are_the_best_of_all_four(true: np.ndarray, predicted: np.ndarray) -> None:
    fixed = metrics.with_nearest_signs(true, predicted)
    np.testing.assert_array_equal(data.waves(fixed, X), data.waves(predicted, X))
    errors = absolute_errors(true, fixed).sum(axis=1)
    best = np.min([absolute_errors(true, predicted * signs).sum(axis=1) for signs in SIGNS], axis=0)
    np.testing.assert_allclose(errors, best, atol=1e-12)


@given(rows, st.lists(st.sampled_from(SIGNS), min_size=5, max_size=5))
def test_equivalent_parameters_have_no_error(true: np.ndarray, signs: list[tuple[int, ...]]) -> None:
    fixed = metrics.with_nearest_signs(true, true * np.array(signs))
    np.testing.assert_array_equal(absolute_errors(true, fixed), 0)


@given(rows, st.floats(-3, 3))
def test_a_parameter_that_is_not_determined_changes_no_curve(true: np.ndarray, other: float) -> None:
    # Half of the waves with a zero each.
    true = true.copy()
    true[np.arange(3), [0, 1, 2]] = 0
    is_determined = metrics.is_determined(true)
    for row, place in zip(*np.nonzero(~is_determined), strict=True):
        changed = true[[row]].copy()
        changed[0, place] = other
        np.testing.assert_allclose(data.waves(changed, X), data.waves(true[[row]], X), atol=1e-12)
    assert not is_determined[0, 1]
    assert not is_determined[1, 0]
    assert not is_determined[2, 3]


def test_what_the_curve_determines() -> None:
    true = np.array([[1, 1, 1, 1], [0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]], np.float32)
    assert metrics.is_determined(true).tolist() == [
        [True, True, True, True],
        [True, False, True, True],
        [False, True, True, True],
        [True, True, True, False],
        [True, True, True, True],
    ]


@given(rows, rows)
def test_curve_errors_are_zero_for_the_same_curve_and_symmetric(true: np.ndarray, predicted: np.ndarray) -> None:
    first, second = data.waves(true, X), data.waves(predicted, X)
    np.testing.assert_array_equal(absolute_errors(first, first), 0)
    errors = absolute_errors(first, second)
    np.testing.assert_array_equal(errors, absolute_errors(second, first))
    assert errors.shape == (5, 41)
    assert (errors >= 0).all()


def test_the_first_and_the_last_period() -> None:
    x = np.array([0, np.pi, 2 * np.pi, 3 * np.pi, 4 * np.pi, 5 * np.pi])
    errors = np.array([[0.0, 1, 2, 10, 20, 30], [0, 3, 6, 10, 20, 30]])
    assert metrics.first_and_last_period(errors, x) == (2.0, 20.0)
    # Shorter than a period, both are all of it.
    assert metrics.first_and_last_period(errors[:, :2], x[:2]) == (1.0, 1.0)
