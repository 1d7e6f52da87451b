"""The test metrics of regressors of waves, as an evaluation stores them."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.config.data import Signal
from pipeline.evaluation import statistics
from pipeline.evaluation.reported import ReportedRow
from pipeline.evaluation.result_files import Count, Number, Record, RegressorTraining
from pipeline.evaluation.scoring import absolute_errors
from pipeline.studies.waves import data, metrics
from pipeline.studies.waves.data import PARAMETERS
from pipeline.studies.waves.metrics import WavePredictions, named


class MeanAndSpread(Record):
    """Mean and standard deviation of one parameter."""

    mean: Number
    std: Number


class SignalStatistics(Record):
    """Of statistics.json of a signal: how the parameters of the training rows are distributed, by name."""

    train_parameters: dict[str, MeanAndSpread]


class WaveScores(Record):
    """Mean absolute errors on a set of rows.

    Of parameters as predicted, with the signs that are nearest to the true ones, and of those parameters that the curve
    determines; of curves over all of x, and over its first and last 2 pi.
    """

    mean_absolute_error: Number
    parameters: dict[str, Number]
    sign_fixed_mean_absolute_error: Number
    sign_fixed: dict[str, Number]
    determined: dict[str, Number]
    curve_error: Number
    curve_error_first_period: Number
    curve_error_last_period: Number
    num_examples: Count


class RegressorTest(WaveScores):
    """What metrics.json of an evaluation holds of one regressor: its scores on the test rows, and beside them others.

    `low` and `high` are the 95 % bootstrap interval of the mean error, the gap is the training less the test error.
    """

    extended: WaveScores
    mean_absolute_error_low: Number
    mean_absolute_error_high: Number
    train_mean_absolute_error: Number
    mean_absolute_error_gap: Number
    validation_mean_absolute_error: Number
    reported_mean_absolute_error: Number | None = None
    model_sha256: str


def regressor_test(
    test: WavePredictions,
    extended: WavePredictions,
    x: NDArray[np.float64],
    trained: RegressorTraining,
    *,
    reported: float | None,
    model_sha256: str,
) -> RegressorTest:
    """The test metrics of one regressor; `reported` is the source's mean absolute error."""
    errors, train_error = metrics.row_errors(test.true, test.predicted), trained.train_evaluated.mean_absolute_error
    low, high = statistics.mean_interval(errors)
    return RegressorTest(
        **score(test, x).model_dump(),
        extended=score(extended, x),
        mean_absolute_error_low=low,
        mean_absolute_error_high=high,
        train_mean_absolute_error=train_error,
        mean_absolute_error_gap=train_error - float(errors.mean()),
        validation_mean_absolute_error=trained.validation.last.mean_absolute_error,
        reported_mean_absolute_error=reported,
        model_sha256=model_sha256,
    )


def score(rows: WavePredictions, x: NDArray[np.float64]) -> WaveScores:
    """The scores of predictions of waves at x (num_points,), in radians."""
    plain = absolute_errors(rows.true, rows.predicted)
    fixed = absolute_errors(rows.true, metrics.with_nearest_signs(rows.true, rows.predicted))
    first, last = metrics.first_and_last_period(rows.curve_errors, x)
    return WaveScores(
        mean_absolute_error=float(plain.mean()),
        parameters=named(plain.mean(axis=0)),
        sign_fixed_mean_absolute_error=float(fixed.mean()),
        sign_fixed=named(fixed.mean(axis=0)),
        determined={
            name: float(errors[is_told].mean())
            for name, errors, is_told in zip(PARAMETERS, fixed.T, metrics.is_determined(rows.true).T, strict=True)
            if is_told.any()
        },
        curve_error=float(rows.curve_errors.mean()),
        curve_error_first_period=first,
        curve_error_last_period=last,
        num_examples=len(rows.true),
    )


def parameter_table(rows: WavePredictions) -> pd.DataFrame:
    """A row per wave: its true and predicted parameters, and the mean error of the implied curve."""
    parameters = {**_columns("true", rows.true), **_columns("predicted", rows.predicted)}
    return pd.DataFrame({**parameters, "curve_error": rows.curve_errors.mean(axis=1)})


def prediction_table(extended: WavePredictions, reported: ReportedRow, signal: Signal) -> pd.DataFrame:
    """A row per extended wave: true and predicted parameters, those that the source predicted, and the curve errors.

    The source's columns are empty where it reports no prediction.
    """
    predictions = {item.wave: item.predicted for item in reported.extended_test}
    theirs = [predictions.get(wave, (np.nan,) * len(PARAMETERS)) for wave in signal.extended]
    implied = data.waves(theirs, data.axis(signal))
    return pd.DataFrame(
        {
            # As params/data.yaml has them: rounded to float32, 0.1 would read 0.10000000149.
            **_columns("true", np.array(signal.extended)),
            **_columns("predicted", extended.predicted),
            **_columns("reported", np.array(theirs)),
            "curve_error": extended.curve_errors.mean(axis=1),
            "reported_curve_error": absolute_errors(extended.true_curves, implied).mean(axis=1),
        }
    )


def _columns(prefix: str, parameters: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {f"{prefix}_{name}": values for name, values in zip(PARAMETERS, parameters.T, strict=True)}
