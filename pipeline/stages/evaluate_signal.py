"""Score the regressors of a signal on its test and extended test rows, which no other stage reads."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import tracking
from pipeline.config.data import Signal
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.errors import PipelineError
from pipeline.evaluation import pairwise, scoring
from pipeline.evaluation import statistics as metrics
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.runtime import backend
from pipeline.studies.waves import data as waves
from pipeline.studies.waves import metrics as wave_metrics
from pipeline.studies.waves import plots
from pipeline.studies.waves import questions as wave_answers
from pipeline.studies.waves.questions import Predictions
from pipeline.studies.waves.reported import ReportedWaves, reported_waves

if TYPE_CHECKING:
    import keras

NUM_TEST_CURVES = 5
NUM_COLUMNS = 3
# What every regressor is compared with: a prediction that does not look at the signal.
ALWAYS_MEAN = "always_the_mean"


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Score every regressor of a signal on every test row, by parameters and by curves, and show what it gets wrong."""
    signal = require(params.signals, name, "signal")
    backend.configure("jax", threads=params.compute.threads)
    rows = {
        split: waves.read(workspace.prepared(name, split), num_points=signal.num_points)
        for split in ("test", "extended")
    }
    mean = _mean_parameters(workspace, name)
    reported = reported_waves(workspace.reported_results, params, name)
    scores, answers, errors = {}, {}, {}
    for regressor_name, regressor in params.regressors.items():
        if regressor.dataset != name:
            continue
        path = workspace.model(regressor_name, regressor)
        model = storage.read_model(path)
        _check_shapes(model, path, signal)
        trained = storage.read_json(workspace.training_results(regressor_name, regressor) / "metrics.json")
        test, extended = (predict(model, split_rows, waves.axis(signal)) for split_rows in rows.values())
        scores[regressor_name] = {
            **score(test, extended, waves.axis(signal)),
            **uncertainty(test, train=trained["train_evaluated"]["mean_absolute_error"]),
            "validation_mean_absolute_error": trained["validation"]["last"]["mean_absolute_error"],
            **_reported_error(reported, regressor_name),
            "model_sha256": storage.sha256(path),
        }
        answers[regressor_name] = answer(model, test, extended, mean, signal, trained)
        errors[regressor_name] = row_errors(test.true, test.predicted)
        errors.setdefault(ALWAYS_MEAN, row_errors(test.true, mean))
        storage.write_arrays(
            workspace.predictions(name) / f"{regressor_name}.npz",
            predicted=test.predicted,
            targets=test.true,
            extended_predicted=extended.predicted,
            extended_targets=extended.true,
        )
        folder = workspace.evaluation_details(name, regressor_name)
        storage.write_table(folder / "predictions.csv", prediction_table(extended, reported, signal))
        _save_figures(folder, regressor_name, test, extended, mean, signal)
    storage.write_json(workspace.evaluation(name) / "metrics.json", scores)
    storage.write_json(workspace.evaluation(name) / "answers.json", answers)
    pairs = list(itertools.combinations([*scores, ALWAYS_MEAN], 2)) if scores else []
    storage.write_table(workspace.evaluation(name) / "differences.csv", pairwise.error_differences(errors, pairs))
    tracking.publish_signal_evaluation(workspace, params, name)


def predict(model: keras.Model, rows: waves.Rows, x: NDArray[np.float64]) -> Predictions:
    """The parameters that a model reads from rows, and the curves that these imply at x (num_points,)."""
    inputs, targets = rows
    predicted, _ = scoring.predict_in_batches(model, inputs)
    return Predictions(targets, predicted, inputs, waves.waves(predicted, x))


def row_errors(true: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.float64]:
    """The mean absolute error (n,) of each row's parameters (n, 4)."""
    return wave_metrics.parameter_errors(true, predicted).mean(axis=1)


def uncertainty(test: Predictions, *, train: float) -> dict[str, float]:
    """The bootstrap interval of the mean absolute error on the test rows, and how it compares with that in training."""
    errors = row_errors(test.true, test.predicted)
    (found,) = metrics.paired_bootstrap(np.stack([errors, np.zeros_like(errors)]), [(0, 1)])
    return {
        "mean_absolute_error_low": found.low,
        "mean_absolute_error_high": found.high,
        "train_mean_absolute_error": train,
        "mean_absolute_error_gap": metrics.train_test_gap(train, found.difference),
    }


def score(test: Predictions, extended: Predictions, x: NDArray[np.float64]) -> dict[str, Any]:
    """The figures of metrics.json on the test rows and, under `extended`, on those."""
    return {**_score(test, x), "extended": _score(extended, x)}


def _score(rows: Predictions, x: NDArray[np.float64]) -> dict[str, Any]:
    """Errors of parameters, plain, with signs fixed, and of those that the curve determines; errors of the curve."""
    plain = wave_metrics.parameter_errors(rows.true, rows.predicted)
    fixed = wave_metrics.parameter_errors(rows.true, wave_metrics.with_nearest_signs(rows.true, rows.predicted))
    is_determined = wave_metrics.is_determined(rows.true)
    first, last = wave_metrics.first_and_last_period(rows.curve_errors, x)
    return {
        "mean_absolute_error": float(plain.mean()),
        "parameters": wave_answers.named(plain.mean(axis=0)),
        "sign_fixed_mean_absolute_error": float(fixed.mean()),
        "sign_fixed": wave_answers.named(fixed.mean(axis=0)),
        "determined": {
            name: float(errors[is_told].mean())
            for name, errors, is_told in zip(waves.PARAMETERS, fixed.T, is_determined.T, strict=True)
            if is_told.any()
        },
        "curve_error": float(rows.curve_errors.mean()),
        "curve_error_first_period": first,
        "curve_error_last_period": last,
        "num_examples": len(rows.true),
    }


def answer(
    model: keras.Model,
    test: Predictions,
    extended: Predictions,
    mean: NDArray[np.float64],
    signal: Signal,
    trained: dict[str, Any],
) -> dict[str, Any]:
    """The source's questions of one regressor, for answers.json. `mean` are the mean training parameters (4,)."""
    return {
        "first_layer": wave_answers.first_layer(model),
        "fails_on": wave_answers.fails_on(test, extended),
        "learned_the_transform": wave_answers.learned_the_transform(
            test, extended, _errors_of_always_mean(test, extended, mean, signal)
        ),
        "fit": wave_answers.fit(
            train=trained["train_evaluated"]["mean_absolute_error"],
            validation=trained["validation"]["last"]["mean_absolute_error"],
            test=float(wave_metrics.parameter_errors(test.true, test.predicted).mean()),
            always_mean=float(wave_metrics.parameter_errors(test.true, mean).mean()),
        ),
    }


def prediction_table(extended: Predictions, reported: ReportedWaves, signal: Signal) -> pd.DataFrame:
    """A row per extended wave: true and predicted parameters, those that the source predicted, and the curve errors.

    Where the source tells no prediction its columns are empty.
    """
    told = [reported.predictions.get(wave, (np.nan,) * len(waves.PARAMETERS)) for wave in signal.extended]
    implied = waves.waves(told, waves.axis(signal))
    return pd.DataFrame(
        {
            # As params/data.yaml has them: rounded to float32, 0.1 would read 0.10000000149.
            **_columns("true", np.array(signal.extended)),
            **_columns("predicted", extended.predicted),
            **_columns("reported", np.array(told)),
            "curve_error": extended.curve_errors.mean(axis=1),
            "reported_curve_error": wave_metrics.curve_errors(extended.true_curves, implied).mean(axis=1),
        }
    )


def _columns(prefix: str, parameters: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {f"{prefix}_{name}": values for name, values in zip(waves.PARAMETERS, parameters.T, strict=True)}


def _mean_parameters(workspace: Workspace, name: str) -> NDArray[np.float64]:
    statistics = storage.read_json(workspace.dataset_results(name) / "statistics.json")
    return np.array([statistics["train_parameters"][parameter]["mean"] for parameter in waves.PARAMETERS])


def _errors_of_always_mean(
    test: Predictions, extended: Predictions, mean: NDArray[np.float64], signal: Signal
) -> dict[str, NDArray[np.float64]]:
    curve = waves.waves([mean], waves.axis(signal))
    return {
        "test": wave_metrics.curve_errors(test.true_curves, curve),
        "extended": wave_metrics.curve_errors(extended.true_curves, curve),
    }


def _reported_error(reported: ReportedWaves, name: str) -> dict[str, float]:
    error = reported.mean_absolute_errors.get(name)
    return {} if error is None else {"reported_mean_absolute_error": error}


def _check_shapes(model: keras.Model, path: Path, signal: Signal) -> None:
    expected = ((None, signal.num_points), (None, len(waves.PARAMETERS)))
    if (model.input_shape, model.output_shape) != expected:
        raise PipelineError(
            f"{path}: expected a model from {expected[0]} to {expected[1]}, got one from {model.input_shape} to "
            f"{model.output_shape}. Run `dvc repro` to train it again."
        )


def _save_figures(
    folder: Path, name: str, test: Predictions, extended: Predictions, mean: NDArray[np.float64], signal: Signal
) -> None:
    x = waves.axis(signal)
    first = slice(NUM_TEST_CURVES)
    figures = {
        "test_curves": plots.true_and_implied(
            x,
            (test.true_curves[first], test.implied_curves[first]),
            (test.true[first], test.predicted[first]),
            title=f"{name}: the first {len(test.true[first])} test rows",
            num_columns=1,
        ),
        "extended_curves": plots.true_and_implied(
            x,
            (extended.true_curves, extended.implied_curves),
            (extended.true, extended.predicted),
            title=f"{name}: waves at and beyond the edge of what it was trained on",
            num_columns=NUM_COLUMNS,
        ),
        "curve_error": plots.curve_error(
            x,
            {"test": test.curve_errors, "extended": extended.curve_errors},
            _errors_of_always_mean(test, extended, mean, signal),
            title=f"{name}: error of the implied curves",
        ),
    }
    for figure_name, figure in figures.items():
        storage.write_figure(folder / f"{figure_name}.png", figure)
