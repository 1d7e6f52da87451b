"""The page of a search: accuracies over its grid, every configuration, and what its source reports."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from pipeline.report.site import tables
from pipeline.report.site.files import Site, rows_of
from pipeline.report.site.pictures import Picture, drawn
from pipeline.report.site.tables import Column, Table
from pipeline.studies.grid_search import metrics, plots


def add_page(site: Site, name: str) -> None:
    """Add the page of a search."""
    search, path = site.params.searches[name], site.workspace.searches_table
    every = site.table(path)
    scores = None if every is None else every[every["search"] == name].reset_index(drop=True)
    site.add_page(
        f"searches/{name}.html",
        "search.html.jinja",
        name=name,
        search=search,
        outcome=site.record(site.workspace.outcome(name)),
        refits=[variant for variant, item in site.params.derived.items() if item.layers_from == name],
        pictures=[] if scores is None or scores.empty else list(_pictures(site, name, scores)),
        configurations=None if scores is None or scores.empty else _configurations(site, scores),
        reported=site.reported_rows[search.study, name],
    )


def _configurations(site: Site, scores: pd.DataFrame) -> Table:
    folds = [column for column in map(str, scores) if column.startswith("fold_") and scores[column].notna().any()]
    by_fold = [Column(fold, fold.removesuffix("_accuracy").replace("_", " "), "percent") for fold in folds]
    return Table(
        "Every configuration, by cross-validation",
        [*tables.CONFIGURATIONS, *by_fold],
        rows_of(scores),
        site.copy(site.workspace.searches_table),
    )


def _pictures(site: Site, name: str, scores: pd.DataFrame) -> Iterator[Picture]:
    link = site.copy(site.workspace.searches_table)
    yield drawn(
        "heat",
        plots.heat_map(scores, site.params.searches[name].grid, title=""),
        "Accuracy over the grid, in percent",
        "whether more units help, and in which layer; the best is outlined.",
        link,
        adapts=False,
    )
    if scores["reported_cv_accuracy"].notna().any():
        correlation = metrics.rank_correlation(scores)
        figure = plots.reported_against_measured(
            scores, correlations={name: correlation}, correlation=correlation, title=name
        )
        caption = "points near the dashed line score here what they scored in the source."
        yield drawn("reported", figure, "Reported against measured", caption, link)
