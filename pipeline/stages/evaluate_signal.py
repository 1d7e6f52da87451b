"""Score the regressors of a signal on its test and extended test rows, which no other stage reads."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.config.data import Signal
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.data.examples import Examples, read_rows
from pipeline.errors import PipelineError
from pipeline.evaluation import pairwise, result_files, scoring
from pipeline.evaluation.layers import layer_table
from pipeline.evaluation.reported import reported_rows
from pipeline.evaluation.result_files import RegressorTraining
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.runtime import backend
from pipeline.studies.waves import data, metrics, plots, questions, scores
from pipeline.studies.waves.metrics import WavePredictions

if TYPE_CHECKING:
    import keras

NUM_TEST_CURVES = 5
NUM_COLUMNS = 2
# What every regressor is compared with: a prediction that does not look at the signal.
ALWAYS_MEAN = "always_the_mean"


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Score every regressor of a signal on every test row, by parameters and by curves, and plot its errors."""
    signal = require(params.signals, name, "signal")
    backend.configure("jax", threads=params.compute.threads)
    x = data.axis(signal)
    rows = {split: read_rows(workspace.prepared(name, split), signal) for split in ("test", "extended")}
    mean = _mean_parameters(workspace, name)
    mean_curve = data.waves([mean], x)
    always_mean = {split: scoring.absolute_errors(split_rows.inputs, mean_curve) for split, split_rows in rows.items()}
    reported = reported_rows(workspace.reported_results, params)
    tested, answers, errors = {}, {}, {}
    for regressor_name, regressor in params.regressors.items():
        if regressor.dataset != name:
            continue
        path = workspace.model(regressor_name, regressor)
        model = storage.read_model(path)
        _check_shapes(model, path, signal)
        by_source = reported[name, regressor_name]
        trained = result_files.read(
            workspace.training_results(regressor_name, regressor) / "metrics.json", RegressorTraining
        )
        test, extended = (predict(model, split_rows, x) for split_rows in rows.values())
        tested[regressor_name] = scores.regressor_test(
            test,
            extended,
            x,
            trained,
            reported=by_source.figures.test_mae,
            model_sha256=storage.sha256(path),
        ).model_dump(exclude_none=True)
        answers[regressor_name] = questions.answer(model, test, extended, mean, always_mean, trained)
        errors[regressor_name] = metrics.row_errors(test.true, test.predicted)
        errors.setdefault(ALWAYS_MEAN, metrics.row_errors(test.true, mean))
        storage.write_arrays(
            workspace.predictions(name) / f"{regressor_name}.npz",
            predicted=test.predicted,
            targets=test.true,
            extended_predicted=extended.predicted,
            extended_targets=extended.true,
        )
        folder = workspace.evaluation_details(name, regressor_name)
        storage.write_table(folder / "layers.csv", layer_table(model))
        storage.write_table(folder / "predictions.csv", scores.prediction_table(extended, by_source, signal))
        storage.write_table(folder / "first_test_rows.csv", scores.parameter_table(test).head(NUM_TEST_CURVES))
        _save_plots(folder, regressor_name, test, extended, always_mean, x)
    storage.write_json(workspace.evaluation(name) / "metrics.json", tested)
    storage.write_json(workspace.evaluation(name) / "answers.json", answers)
    pairs = list(itertools.combinations([*tested, ALWAYS_MEAN], 2)) if tested else []
    storage.write_table(workspace.evaluation(name) / "differences.csv", pairwise.error_differences(errors, pairs))


def predict(model: keras.Model, rows: Examples, x: NDArray[np.float64]) -> WavePredictions:
    """The parameters that a model reads from rows, and the curves that these imply at x (num_points,)."""
    predicted, _ = scoring.predict_in_batches(model, rows.inputs)
    return WavePredictions(rows.targets, predicted, rows.inputs, data.waves(predicted, x))


def _mean_parameters(workspace: Workspace, name: str) -> NDArray[np.float64]:
    statistics = result_files.read(workspace.dataset_results(name) / "statistics.json", scores.SignalStatistics)
    return np.array([statistics.train_parameters[parameter].mean for parameter in data.PARAMETERS])


def _check_shapes(model: keras.Model, path: Path, signal: Signal) -> None:
    expected = ((None, signal.num_points), (None, len(data.PARAMETERS)))
    if (model.input_shape, model.output_shape) != expected:
        raise PipelineError(
            f"{path}: expected a model from {expected[0]} to {expected[1]}, got one from {model.input_shape} to "
            f"{model.output_shape}. Run `dvc repro` to train it again."
        )


def _save_plots(
    folder: Path,
    name: str,
    test: WavePredictions,
    extended: WavePredictions,
    always_mean: dict[str, NDArray[np.float64]],
    x: NDArray[np.float64],
) -> None:
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
            always_mean,
            title=f"{name}: error of the implied curves",
        ),
    }
    for figure_name, figure in figures.items():
        storage.write_figure(folder / f"{figure_name}.png", figure)
