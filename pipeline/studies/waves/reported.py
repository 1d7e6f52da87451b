"""What the source of a signal's study reports, from reported_results.yaml: only set beside our own, never used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.evaluation import reported_file

# Keys of a study that hold something else than a model.
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
    study = _mapping(reported_file.read(path).get(signal), signal, path)
    regressors = [name for name, regressor in params.regressors.items() if regressor.dataset == signal]
    errors = {name: _error(study.get(name), f"{signal}.{name}", path) for name in regressors}
    return ReportedWaves(
        {name: error for name, error in errors.items() if error is not None},
        _predictions(study.get(EXTENDED_TEST), f"{signal}.{EXTENDED_TEST}", path),
    )


def _error(row: Any, key: str, path: Path) -> float | None:
    reported = _mapping(_mapping(row, key, path).get("reported"), f"{key}.reported", path)
    value = reported.get("test_mae")
    if value is None:
        return None
    if not reported_file.is_number(value) or not value >= 0:
        raise PipelineError(f"{path}: {key}.reported.test_mae: expected an error of 0 or more, got {value!r}.")
    return float(value)


def _predictions(rows: Any, key: str, path: Path) -> dict[Wave, Wave]:
    if not isinstance(rows or [], list):
        raise PipelineError(f"{path}: {key}: expected a list of rows, got {rows!r}. Correct it.")
    predictions = {}
    for number, row in enumerate(rows or []):
        # To YAML an unquoted key `true` is a boolean.
        fields = {str(name).lower(): value for name, value in _mapping(row, f"{key}[{number}]", path).items()}
        true, predicted = (
            _wave(fields.get(name), f"{key}[{number}].{name}", path) for name in ("true", "reported_prediction")
        )
        predictions[true] = predicted
    return predictions


def _wave(values: Any, key: str, path: Path) -> Wave:
    if not isinstance(values, list) or len(values) != 4 or not all(map(reported_file.is_number, values)):
        raise PipelineError(f"{path}: {key}: expected four numbers (a, b, c, d), got {values!r}. Correct it.")
    return tuple(float(value) for value in values)


def _mapping(child: Any, key: str, path: Path) -> dict[str, Any]:
    child = {} if child is None else child
    if not isinstance(child, dict):
        raise PipelineError(f"{path}: {key}: expected a mapping, got {child!r}. Correct it.")
    return child
