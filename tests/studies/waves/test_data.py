from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.data import Signal
from pipeline.data import preprocessing
from pipeline.studies.waves import data

X = np.linspace(0, 10 * np.pi, 60)
EDGES = ((0.0, 0.0, 0.0, 0.0), (2.0, 1.0, -1.0, 0.0))


def signal(**changes: Any) -> Signal:
    content = {
        "title": "Waves",
        "num_points": 50,
        "length_in_pi": 10,
        "train_size": 300,
        "validation_size": 80,
        "test_size": 70,
        "seed": 7,
        "example": [0.1, 0.2, 0.3, 0.4],
        "extended": EDGES,
    }
    return Signal.model_validate({**content, **changes})


def test_the_axis_holds_both_ends() -> None:
    x = data.axis(signal(num_points=5, length_in_pi=2))
    np.testing.assert_allclose(x, [0, np.pi / 2, np.pi, 1.5 * np.pi, 2 * np.pi])


@pytest.mark.parametrize(
    ("parameters", "values"),
    [
        # At 0, pi/2 and pi.
        ((0, 1, 0, 1), (0, 0, 0)),
        ((1, 1, 0, 0), (0, 1, 0)),
        ((0, 0, 1, 1), (1, 0, -1)),
        ((2, 3, 0, 0), (0, -2, 0)),
        ((1, 1, 3, 2), (3, -2, 3)),
        # The cosine of nothing is a constant.
        ((0, 0, 0.5, 0), (0.5, 0.5, 0.5)),
    ],
)
def test_waves_match_hand_computed_ones(parameters: tuple[float, ...], values: tuple[float, ...]) -> None:
    curves = data.waves([parameters], np.array([0, np.pi / 2, np.pi]))
    np.testing.assert_allclose(curves, [values], atol=1e-12)


@given(st.tuples(*[st.floats(-3, 3)] * 4))
def test_signs_that_make_no_difference(wave: tuple[float, float, float, float]) -> None:
    a, b, c, d = wave
    expected, *same = data.waves([(a, b, c, d), (-a, -b, c, d), (a, b, c, -d)], X)
    np.testing.assert_array_equal(same, [expected, expected])


def test_rows_have_the_sizes_and_types_of_the_signal() -> None:
    splits = data.generate(signal())
    assert {name: (inputs.shape, targets.shape) for name, (inputs, targets) in splits.items()} == {
        "train": ((300, 50), (300, 4)),
        "validation": ((80, 50), (80, 4)),
        "test": ((70, 50), (70, 4)),
        "extended": ((2, 50), (2, 4)),
    }
    assert {array.dtype for arrays in splits.values() for array in arrays} == {np.dtype(np.float32)}
    assert splits["extended"][1].tolist() == [list(wave) for wave in EDGES]


def test_inputs_are_the_waves_of_their_targets() -> None:
    for inputs, targets in data.generate(signal()).values():
        np.testing.assert_allclose(inputs, data.waves(targets, data.axis(signal())), atol=1e-6)


def test_parameters_are_uniform_and_no_row_is_in_two_splits() -> None:
    splits = data.generate(signal(train_size=4000))
    train = splits["train"][1].astype(np.float64)
    assert (train >= 0).all()
    assert (train <= 1).all()
    # Four standard errors of a mean, and of a quarter's share, over 4,000 draws.
    np.testing.assert_allclose(train.mean(axis=0), 0.5, atol=4 * 0.289 / 4000**0.5)
    np.testing.assert_allclose((train < 0.25).mean(axis=0), 0.25, atol=4 * 0.433 / 4000**0.5)
    np.testing.assert_allclose(np.corrcoef(train.T), np.eye(4), atol=0.07)
    drawn = np.concatenate([splits[split][1] for split in ("train", "validation", "test")])
    assert len(np.unique(drawn, axis=0)) == len(drawn) == 4150


def test_equal_seeds_give_equal_rows() -> None:
    def digests(**changes: Any) -> list[str]:
        return [preprocessing.digest(*rows) for rows in data.generate(signal(**changes)).values()]

    assert digests() == digests()
    other = digests(seed=8)
    assert [same == changed for same, changed in zip(digests(), other, strict=True)] == [False, False, False, True]


def test_training_rows_do_not_depend_on_the_other_splits() -> None:
    full, less = (data.generate(signal(test_size=size))["train"] for size in (70, 20))
    np.testing.assert_array_equal(full[1], less[1])
