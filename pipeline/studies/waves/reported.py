"""What the source of a signal's study reports: shown beside our own results, never used."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.config.data import Signal
from pipeline.config.params import Params
from pipeline.evaluation import reported
from pipeline.evaluation.reported import Row
from pipeline.studies.waves import data
from pipeline.studies.waves.data import PARAMETERS
from pipeline.studies.waves.metrics import WavePredictions, absolute_errors

# The key of a study that holds predictions instead of a regressor.
EXTENDED_TEST = "extended_test"

Wave = tuple[float, ...]


@dataclass(frozen=True)
class ReportedWaves:
    """Mean absolute test errors by regressor, and predicted parameters (a, b, c, d) by the true ones."""

    mean_absolute_errors: Mapping[str, float] = field(default_factory=dict)
    predictions: Mapping[Wave, Wave] = field(default_factory=dict)


def reported_waves(path: Path, params: Params, signal: str) -> ReportedWaves:
    """What the source reports of a signal. Of a demonstration it reports nothing, and the file is not read.

    Raises PipelineError naming the file and key when something is missing or malformed.
    """
    if params.signals[signal].demonstration:
        return ReportedWaves()
    study = reported.read(path).row(signal)
    regressors = [name for name, regressor in params.regressors.items() if regressor.dataset == signal]
    errors = {name: study.row(name).row("reported").number("test_mae", "an error of 0 or more") for name in regressors}
    return ReportedWaves({name: error for name, error in errors.items() if error is not None}, _predictions(study))


def _predictions(study: Row) -> dict[Wave, Wave]:
    rows = study.fields.get(EXTENDED_TEST) or []
    if not isinstance(rows, list):
        raise study.problem(EXTENDED_TEST, f"expected a list of rows, got {rows!r}. Correct it.")
    found = {}
    for number, value in enumerate(rows):
        row = Row.of(study.path, f"{study.key}.{EXTENDED_TEST}[{number}]", value)
        # YAML reads an unquoted key `true` as a boolean.
        row = replace(row, fields={str(name).lower(): parameters for name, parameters in row.fields.items()})
        found[_wave(row, "true")] = _wave(row, "reported_prediction")
    return found


def _wave(row: Row, name: str) -> Wave:
    values = row.fields.get(name)
    if not isinstance(values, list) or len(values) != 4 or not all(map(reported.is_number, values)):
        raise row.problem(name, f"expected four numbers (a, b, c, d), got {values!r}. Correct it.")
    return tuple(map(float, values))


def prediction_table(extended: WavePredictions, reported_by_source: ReportedWaves, signal: Signal) -> pd.DataFrame:
    """A row per extended wave: true and predicted parameters, those that the source predicted, and the curve errors.

    The source's columns are empty where it reports no prediction.
    """
    theirs = [reported_by_source.predictions.get(wave, (np.nan,) * len(PARAMETERS)) for wave in signal.extended]
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
