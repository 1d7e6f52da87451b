"""What the sources report of grid searches and refits: shown beside our own results, never used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.config.models import DerivedVariant, Search
from pipeline.config.params import Params
from pipeline.evaluation import reported
from pipeline.evaluation.reported import Row

Units = tuple[int, ...]


@dataclass(frozen=True)
class ReportedSearch:
    """Mean accuracies over the folds by units of the hidden layers, the best units, and how long the search took."""

    cv_accuracies: Mapping[Units, float] = field(default_factory=dict)
    best_units: Units | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class ReportedRefit:
    """Metrics of a refit: fractions, losses in nats. The training loss is that of the last epoch, dropout active.

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
    return {name: _search(row) for name, row in _rows(path, params, params.searches).items()}


def reported_refits(path: Path, params: Params) -> dict[str, ReportedRefit]:
    """What the sources report of the variants under `derived` that take their layers from a search, by variant.

    Embedded data and errors are treated as by `reported_searches`.
    """
    refits = {name: spec for name, spec in params.derived.items() if spec.layers_from in params.searches}
    return {name: _refit(row) for name, row in _rows(path, params, refits).items()}


def _rows(path: Path, params: Params, specs: Mapping[str, Search | DerivedVariant]) -> dict[str, Row]:
    """The row of each name in its study; those on embedded data and those that the file lacks are left out."""
    wanted = {name: spec.study for name, spec in specs.items() if not params.is_embedded(spec.dataset)}
    if not wanted:
        return {}
    content = reported.read(path)
    rows = {name: content.row(study).row(name) for name, study in wanted.items()}
    return {name: row for name, row in rows.items() if row.fields}


def _search(row: Row) -> ReportedSearch:
    configurations = row.fields.get("cv_accuracy") or []
    if not isinstance(configurations, list):
        raise row.problem("cv_accuracy", f"expected a list, got {configurations!r}. Correct it.")
    accuracies: dict[Units, float] = {}
    for number, value in enumerate(configurations):
        place = f"cv_accuracy[{number}]"
        if not isinstance(value, dict):
            raise row.problem(place, f"expected units and accuracy, got {value!r}. Correct it.")
        configuration = Row(row.path, f"{row.key}.{place}", value)
        units = _units(configuration, "units")
        accuracy = configuration.fraction("accuracy")
        if accuracy is None:
            raise configuration.problem("accuracy", "required, but missing. Add it.")
        if units in accuracies:
            raise configuration.problem("units", f"expected units that are not listed yet, got {list(units)}.")
        accuracies[units] = accuracy
    summary = row.row("reported")
    best = None if summary.fields.get("best_units") is None else _units(summary, "best_units")
    return ReportedSearch(accuracies, best, summary.number("search_seconds"))


def _refit(row: Row) -> ReportedRefit:
    summary = row.row("reported")
    verdict = summary.fields.get("verdict")
    if not isinstance(verdict, str | None):
        raise summary.problem("verdict", f"expected text, got {verdict!r}.")
    return ReportedRefit(
        test_accuracy=summary.fraction("refit_test_accuracy"),
        test_loss=summary.number("refit_test_loss"),
        final_train_loss=summary.number("refit_final_train_loss"),
        verdict=verdict,
        closing_table_accuracy=summary.fraction("closing_table_accuracy"),
    )


def _units(row: Row, name: str) -> Units:
    value = row.fields.get(name)
    is_count = isinstance(value, list) and all(isinstance(item, int) and not isinstance(item, bool) for item in value)
    if not is_count or not value or min(value) < 1:
        raise row.problem(name, f"expected a list of whole numbers above 0, got {value!r}. Correct it.")
    return tuple(value)
