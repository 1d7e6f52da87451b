"""What the sources report of grid searches and refits, from reported_results.yaml: set beside our own, never used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.evaluation import reported_file

Units = tuple[int, ...]


@dataclass(frozen=True)
class ReportedSearch:
    """Mean accuracies over the folds by units of the hidden layers, the best units, and how long the search took."""

    cv_accuracies: Mapping[Units, float] = field(default_factory=dict)
    best_units: Units | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class ReportedRefit:
    """Figures of a refit: fractions, losses in nats. The loss in training is that of the last epoch, dropout active.

    `closing_table_accuracy` is what the closing table of the source says where that is not what it measured.
    """

    test_accuracy: float | None = None
    test_loss: float | None = None
    final_train_loss: float | None = None
    verdict: str | None = None
    closing_table_accuracy: float | None = None


def reported_searches(path: Path, params: Params) -> dict[str, ReportedSearch]:
    """What the sources report of the searches in params/searches.yaml, by search.

    Searches on embedded data have nothing, and where all are the file is not read. Raises PipelineError naming the
    file and key when something is missing or malformed.
    """
    wanted = {name: spec for name, spec in params.searches.items() if not params.is_embedded(spec.dataset)}
    rows = _rows(path, {name: spec.study for name, spec in wanted.items()})
    return {name: _search(row, f"{wanted[name].study}.{name}", path) for name, row in rows.items()}


def reported_refits(path: Path, params: Params) -> dict[str, ReportedRefit]:
    """What the sources report of the variants under `derived` that take their layers from a search, by variant.

    Of embedded data and errors the same holds as for `reported_searches`.
    """
    wanted = {
        name: spec.study
        for name, spec in params.derived.items()
        if spec.layers_from in params.searches and not params.is_embedded(spec.dataset)
    }
    return {name: _refit(row, f"{wanted[name]}.{name}", path) for name, row in _rows(path, wanted).items()}


def _rows(path: Path, studies: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The row of each name in its study; those that the file lacks are left out."""
    content = reported_file.read(path) if studies else {}
    rows = {
        name: reported_file.mapping(reported_file.mapping(content, study, path), name, path)
        for name, study in studies.items()
    }
    return {name: row for name, row in rows.items() if row}


def _search(row: dict[str, Any], key: str, path: Path) -> ReportedSearch:
    configurations = row.get("cv_accuracy") or []
    if not isinstance(configurations, list):
        raise PipelineError(f"{path}: {key}.cv_accuracy: expected a list, got {configurations!r}. Correct it.")
    accuracies: dict[Units, float] = {}
    for number, configuration in enumerate(configurations):
        place = f"{key}.cv_accuracy[{number}]"
        if not isinstance(configuration, dict):
            raise PipelineError(f"{path}: {place}: expected units and accuracy, got {configuration!r}. Correct it.")
        units = _units(configuration.get("units"), f"{place}.units", path)
        accuracy = reported_file.fraction(configuration, "accuracy", place, path)
        if accuracy is None:
            raise PipelineError(f"{path}: {place}.accuracy: required, but missing. Add it.")
        if units in accuracies:
            raise PipelineError(f"{path}: {place}.units: expected units that are not listed yet, got {list(units)}.")
        accuracies[units] = accuracy
    reported = reported_file.mapping(row, "reported", path)
    best = reported.get("best_units")
    return ReportedSearch(
        accuracies,
        None if best is None else _units(best, f"{key}.reported.best_units", path),
        _not_negative(reported, "search_seconds", f"{key}.reported", path),
    )


def _refit(row: dict[str, Any], key: str, path: Path) -> ReportedRefit:
    reported, place = reported_file.mapping(row, "reported", path), f"{key}.reported"
    verdict = reported.get("verdict")
    if not isinstance(verdict, str | None):
        raise PipelineError(f"{path}: {place}.verdict: expected text, got {verdict!r}.")
    return ReportedRefit(
        test_accuracy=reported_file.fraction(reported, "refit_test_accuracy", place, path),
        test_loss=_not_negative(reported, "refit_test_loss", place, path),
        final_train_loss=_not_negative(reported, "refit_final_train_loss", place, path),
        verdict=verdict,
        closing_table_accuracy=reported_file.fraction(reported, "closing_table_accuracy", place, path),
    )


def _units(value: Any, key: str, path: Path) -> Units:
    is_count = isinstance(value, list) and all(isinstance(item, int) and not isinstance(item, bool) for item in value)
    if not is_count or not value or min(value) < 1:
        raise PipelineError(f"{path}: {key}: expected a list of whole numbers above 0, got {value!r}. Correct it.")
    return tuple(value)


def _not_negative(row: dict[str, Any], name: str, key: str, path: Path) -> float | None:
    value = row.get(name)
    if value is None:
        return None
    if not reported_file.is_number(value) or not value >= 0:
        raise PipelineError(f"{path}: {key}.{name}: expected a number of 0 or more, got {value!r}.")
    return float(value)
