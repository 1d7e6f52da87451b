"""The questions that the source asks of a signal's regressor, answered from its metrics by stated rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.result_files import RegressorTraining
from pipeline.evaluation.scoring import absolute_errors
from pipeline.studies.waves.data import PARAMETERS
from pipeline.studies.waves.metrics import WavePredictions, named, with_nearest_signs

if TYPE_CHECKING:
    import keras

NUM_WORST = 3
# A factor of a wave below this is small: what it multiplies hardly shows in the curve.
SMALL = 0.1
# Which factor must not be small for a parameter to show.
FACTORS = {"a": "b", "b": "a", "d": "c"}
# See the rules below.
AT_MOST_OF_ALWAYS_MEAN, AT_MOST_OF_TEST, AT_MOST_OF_TRAINING = 0.5, 2.0, 1.25
LEARNED_RULE = (
    f"yes: the mean test curve error is at most {AT_MOST_OF_ALWAYS_MEAN:g} times that of always predicting the mean "
    f"training parameters, and the mean curve error on the extended rows at most {AT_MOST_OF_TEST:g} times the one on "
    "the test rows; within the training range only: just the first holds; no: otherwise"
)
FIT_RULE = (
    f"underfit: the mean absolute error on the training rows is above {AT_MOST_OF_ALWAYS_MEAN:g} times that of always "
    f"predicting the mean training parameters; overfit: the validation or the test error is above "
    f"{AT_MOST_OF_TRAINING:g} times the training one; neither: otherwise"
)


def answer(
    model: keras.Model,
    test: WavePredictions,
    extended: WavePredictions,
    mean: NDArray[np.float64],
    always_mean: Mapping[str, NDArray[np.float64]],
    trained: RegressorTraining,
) -> dict[str, Any]:
    """The answers to the questions about one regressor.

    `mean` are the mean training parameters (4,), `always_mean` the curve errors (n, num_points) of always predicting
    them, on the test and on the extended rows.
    """
    return {
        "first_layer": first_layer(model),
        "fails_on": fails_on(test, extended),
        "learned_the_transform": learned_the_transform(test, extended, always_mean),
        "fit": fit(
            train=trained.train_evaluated.mean_absolute_error,
            validation=trained.validation.last.mean_absolute_error,
            test=float(absolute_errors(test.true, test.predicted).mean()),
            always_mean=float(absolute_errors(test.true, mean).mean()),
        ),
    }


def first_layer(model: keras.Model) -> dict[str, int]:
    """Where the parameters of the first layer come from: a weight per point and unit, and a bias per unit."""
    layer = next(layer for layer in model.layers if layer.weights)
    points, units = layer.weights[0].shape
    total = layer.count_params()
    biases = total - points * units
    return {"points": points, "units": units, "weights": points * units, "biases": biases, "parameters": total}


def fails_on(test: WavePredictions, extended: WavePredictions) -> dict[str, Any]:
    """The mean curve errors at the edge of the training range and beyond it, the worst rows, and what hardly shows."""
    errors = extended.curve_errors.mean(axis=1)
    is_beyond = ((extended.true < 0) | (extended.true > 1)).any(axis=1)
    worst = np.argsort(-errors, kind="stable")[:NUM_WORST]
    return {
        "mean_curve_error": {
            "test": float(test.curve_errors.mean()),
            "extended_at_the_edge": _mean(errors[~is_beyond]),
            "extended_beyond": _mean(errors[is_beyond]),
        },
        "worst_extended": [
            {
                "true": named(extended.true[row]),
                "predicted": named(extended.predicted[row]),
                "curve_error": float(errors[row]),
            }
            for row in worst
        ],
        "test_error_where_the_factor_is_small": _by_factor(test),
    }


def learned_the_transform(
    test: WavePredictions, extended: WavePredictions, always_mean: Mapping[str, NDArray[np.float64]]
) -> dict[str, Any]:
    """Whether implied curves are right in the training range, and beyond it; `always_mean` as in `answer`."""
    measured = {"test": float(test.curve_errors.mean()), "extended": float(extended.curve_errors.mean())}
    reference = {split: float(errors.mean()) for split, errors in always_mean.items()}
    learned = measured["test"] <= AT_MOST_OF_ALWAYS_MEAN * reference["test"]
    extrapolates = measured["extended"] <= AT_MOST_OF_TEST * measured["test"]
    return {
        "curve_error": measured,
        "curve_error_of_always_the_mean": reference,
        "rule": LEARNED_RULE,
        "verdict": "no" if not learned else "yes" if extrapolates else "within the training range only",
    }


def fit(*, train: float, validation: float, test: float, always_mean: float) -> dict[str, Any]:
    """Whether a network over- or underfits, from mean absolute errors of its last weights, dropout off.

    `always_mean` is that of always predicting the mean training parameters, on the test rows.
    """
    if train > AT_MOST_OF_ALWAYS_MEAN * always_mean:
        verdict = "underfit"
    else:
        verdict = "overfit" if max(validation, test) > AT_MOST_OF_TRAINING * train else "neither"
    return {
        "mean_absolute_error": {"train": train, "validation": validation, "test": test, "always_the_mean": always_mean},
        "rule": FIT_RULE,
        "verdict": verdict,
    }


def _by_factor(test: WavePredictions) -> dict[str, dict[str, Any]]:
    """The mean errors of a, b and d, signs fixed, where the factor that they need to show is small, and elsewhere."""
    errors = absolute_errors(test.true, with_nearest_signs(test.true, test.predicted))
    true_by_name, errors_by_name = (dict(zip(PARAMETERS, values.T, strict=True)) for values in (test.true, errors))
    found = {}
    for name, factor in FACTORS.items():
        is_small, own = np.abs(true_by_name[factor]) < SMALL, errors_by_name[name]
        found[name] = {"factor": factor, "below": SMALL, "small": _mean(own[is_small]), "else": _mean(own[~is_small])}
    return found


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None
