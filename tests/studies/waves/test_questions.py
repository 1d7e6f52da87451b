from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.runtime import backend
from pipeline.studies.waves import questions
from pipeline.studies.waves.metrics import WavePredictions


def predictions(
    true: Sequence[Sequence[float]], predicted: Sequence[Sequence[float]], curve_errors: Sequence[float]
) -> WavePredictions:
    """Rows of true curves 0 and implied curves that are off by the same everywhere."""
    implied = np.repeat(np.array(curve_errors)[:, None], 6, axis=1)
    return WavePredictions(
        np.array(true, np.float32),
        np.array(predicted, np.float32),
        np.zeros((len(true), 6), np.float32),
        implied.astype(np.float32),
    )


def test_the_first_layer_has_a_weight_per_point_and_unit_and_a_bias_per_unit() -> None:
    backend.configure("jax", threads=1)
    import keras

    signal = keras.Input((1000,), name="signal")
    hidden = keras.layers.Dense(16, name="second")(keras.layers.Dense(64, name="first")(signal))
    assert questions.first_layer(keras.Model(signal, hidden)) == {
        "points": 1000,
        "units": 64,
        "weights": 64000,
        "biases": 64,
        "parameters": 64064,
    }


def test_it_fails_most_on_the_rows_with_the_largest_curve_errors() -> None:
    test = predictions([[0.5] * 4] * 2, [[0.5] * 4] * 2, [0.1, 0.3])
    true = [[0, 0, 1, 1], [1, 1, 0, 0], [2, 1, 0, 0], [-1, 1, 0, 0], [0, 0, 1, 2]]
    answer = questions.fails_on(test, predictions(true, [[9.0] * 4] * 5, [0.25, 0.75, 3, 5, 4]))
    assert answer["mean_curve_error"] == {
        "test": pytest.approx(0.2),
        "extended_at_the_edge": 0.5,
        "extended_beyond": 4,
    }
    assert [row["true"] for row in answer["worst_extended"]] == [
        {"a": -1, "b": 1, "c": 0, "d": 0},
        {"a": 0, "b": 0, "c": 1, "d": 2},
        {"a": 2, "b": 1, "c": 0, "d": 0},
    ]
    assert answer["worst_extended"][0]["curve_error"] == 5
    assert answer["worst_extended"][0]["predicted"] == {"a": 9, "b": 9, "c": 9, "d": 9}


def test_parameters_are_told_apart_by_whether_their_factor_is_small() -> None:
    true = [[0.5, 0.05, 0.5, 0.5], [0.05, 0.5, 0.5, 0.5], [0.5, 0.5, 0.05, 0.5]]
    # Off by 1 in a of the first row, b of the second and d of the third, and by 0.25 in what is left.
    off = np.array([[1, 0.25, 0, 0.25], [0.25, 1, 0, 0.25], [0.25, 0.25, 0, 1]])
    test = predictions(true, (np.array(true) + off).tolist(), [0, 0, 0])
    answer = questions.fails_on(test, predictions([[1, 1, 1, 1]], [[1, 1, 1, 1]], [0]))
    told = answer["test_error_where_the_factor_is_small"]
    assert {name: row["factor"] for name, row in told.items()} == {"a": "b", "b": "a", "d": "c"}
    for row in told.values():
        assert (row["small"], row["else"]) == (pytest.approx(1, rel=1e-6), pytest.approx(0.25, rel=1e-6))


def test_rows_that_are_not_there_have_no_figure() -> None:
    inside = predictions([[0.5] * 4], [[0.5] * 4], [0.1])
    answer = questions.fails_on(inside, inside)
    assert answer["mean_curve_error"]["extended_beyond"] is None
    assert answer["test_error_where_the_factor_is_small"]["a"]["small"] is None


@pytest.mark.parametrize(
    ("test", "extended", "verdict"),
    [
        (0.5, 1.0, "yes"),
        (0.5, 1.25, "within the training range only"),
        (0.75, 0.75, "no"),
    ],
)
def test_the_transform_is_learned_if_the_curves_are_right_beyond_the_range(
    test: float, extended: float, verdict: str
) -> None:
    answer = questions.learned_the_transform(
        predictions([[0.5] * 4], [[0.5] * 4], [test]),
        predictions([[2.0] * 4], [[2.0] * 4], [extended]),
        {"test": np.ones((1, 6)), "extended": np.full((1, 6), 3.0)},
    )
    assert answer["verdict"] == verdict
    assert answer["curve_error"] == {"test": test, "extended": extended}
    assert answer["curve_error_of_always_the_mean"] == {"test": 1, "extended": 3}


@pytest.mark.parametrize(
    ("train", "validation", "test", "verdict"),
    [
        (0.04, 0.05, 0.05, "neither"),
        (0.04, 0.051, 0.04, "overfit"),
        (0.04, 0.04, 0.051, "overfit"),
        (0.125, 0.125, 0.125, "neither"),
        (0.126, 0.126, 0.126, "underfit"),
    ],
)
def test_the_verdict_on_the_fit(train: float, validation: float, test: float, verdict: str) -> None:
    answer = questions.fit(train=train, validation=validation, test=test, always_mean=0.25)
    assert answer["verdict"] == verdict
    assert answer["mean_absolute_error"] == {
        "train": train,
        "validation": validation,
        "test": test,
        "always_the_mean": 0.25,
    }
