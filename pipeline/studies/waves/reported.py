"""What the source of a signal's study reports: shown beside our own results, never used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.config.params import Params
from pipeline.evaluation import reported
from pipeline.evaluation.reported import Row

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
    return ReportedWaves(
        {name: error for name, error in errors.items() if error is not None}, dict(_predictions(study))
    )


def _predictions(study: Row) -> list[tuple[Wave, Wave]]:
    rows = study.fields.get(EXTENDED_TEST) or []
    if not isinstance(rows, list):
        raise study.problem(EXTENDED_TEST, f"expected a list of rows, got {rows!r}. Correct it.")
    found = []
    for number, value in enumerate(rows):
        row = Row.of(study.path, f"{study.key}.{EXTENDED_TEST}[{number}]", value)
        # YAML reads an unquoted key `true` as a boolean.
        fields = {str(name).lower(): parameters for name, parameters in row.fields.items()}
        row = Row(row.path, row.key, fields)
        found.append((_wave(row, "true"), _wave(row, "reported_prediction")))
    return found


def _wave(row: Row, name: str) -> Wave:
    values = row.fields.get(name)
    if not isinstance(values, list) or len(values) != 4 or not all(map(reported.is_number, values)):
        raise row.problem(name, f"expected four numbers (a, b, c, d), got {values!r}. Correct it.")
    return tuple(map(float, values))
