"""Write the table of all configurations of all searches."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pipeline import tracking
from pipeline.config.models import Search, units_text
from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.studies.grid_search.reported import ReportedSearch, reported_searches

# There is one table: the name is there because every stage takes one.
NAME = "all"
# Sources print five digits; what floating point adds beyond says nothing.
DIFFERENCE_DECIMALS = 6


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Write one row per search and configuration: its accuracy on each fold, their mean, and the source's."""
    if name != NAME:
        raise PipelineError(f"tabulate: expected {NAME!r} as name, got {name!r}.")
    reported = reported_searches(workspace.reported_results, params)
    rows = [
        row
        for search, spec in params.searches.items()
        for row in search_rows(workspace, search, spec, reported.get(search, ReportedSearch()))
    ]
    num_folds = max((spec.folds for spec in params.searches.values()), default=0)
    storage.write_table(workspace.searches_table, pd.DataFrame(rows, columns=columns(num_folds)))
    tracking.publish_tabulate(workspace, params)


def columns(num_folds: int) -> list[str]:
    """The columns of the table; a search with fewer folds leaves the last ones empty."""
    return [
        "search",
        "units",
        *fold_columns(num_folds),
        "mean_accuracy",
        "std_accuracy",
        "reported_cv_accuracy",
        "difference",
    ]


def fold_columns(num_folds: int) -> list[str]:
    return [f"fold_{number}_accuracy" for number in range(1, num_folds + 1)]


def search_rows(workspace: Workspace, name: str, spec: Search, reported: ReportedSearch) -> list[dict[str, Any]]:
    """The configurations of one search in the order of its grid.

    Raises PipelineError naming the file when they are not those of params/searches.yaml.
    """
    path = workspace.search_results(name) / "folds.csv"
    # Units of one layer alone look like numbers.
    table = storage.read_table(path).astype({"units": str}, errors="ignore")
    kept = ["units", *fold_columns(spec.folds), "mean_accuracy", "std_accuracy"]
    missing = [column for column in kept if column not in table]
    expected = [units_text(units) for units in spec.configurations]
    if missing or list(table["units"]) != expected:
        problem = f"no column {missing[0]}" if missing else f"units {', '.join(table['units'])}"
        raise PipelineError(
            f"{path}: expected the {len(expected)} configurations of searches.{name} with {spec.folds} folds each, "
            f"got {problem}. Run `dvc repro search@{name}`."
        )
    return [
        {
            "search": name,
            **{column: row[column] for column in kept},
            **_reported(row["mean_accuracy"], reported.cv_accuracies.get(units)),
        }
        for units, row in zip(spec.configurations, table.to_dict("records"), strict=True)
    ]


def _reported(mean_accuracy: float, accuracy: float | None) -> dict[str, float | None]:
    difference = None if accuracy is None else round(mean_accuracy - accuracy, DIFFERENCE_DECIMALS)
    return {"reported_cv_accuracy": accuracy, "difference": difference}
