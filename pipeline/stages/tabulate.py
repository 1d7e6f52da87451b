"""Write the table of all configurations of all searches."""

import pandas as pd

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.evaluation.reported import reported_rows
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.studies.grid_search import data

# There is one table: the name is there because every stage takes one.
NAME = "all"


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Write one row per search and configuration: its accuracy on each fold, their mean, and the source's."""
    if name != NAME:
        raise PipelineError(f"tabulate: expected {NAME!r} as name, got {name!r}.")
    reported = reported_rows(workspace.reported_results, params)
    rows = [
        row
        for search, spec in params.searches.items()
        for row in data.score_rows(
            workspace.search_results(search) / "folds.csv",
            search,
            spec,
            reported[spec.study, search],
        )
    ]
    num_folds = max((spec.folds for spec in params.searches.values()), default=0)
    storage.write_table(workspace.searches_table, pd.DataFrame(rows, columns=data.score_columns(num_folds)))
