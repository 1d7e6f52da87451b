"""The first page: all studies at a glance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from pipeline.plots import overview as plots
from pipeline.report import readme
from pipeline.report.site import tables, texts
from pipeline.report.site.effects import is_significant, shown
from pipeline.report.site.files import Site, rows_of
from pipeline.report.site.pictures import Picture, drawn
from pipeline.report.site.tables import Table

OVERVIEW = "tables/overview.csv"
EFFECTS = "tables/effects.csv"


def add_page(site: Site, effects: pd.DataFrame, problem: str) -> None:
    """Add the first page; `problem` says why there are no findings, where their template does not fit the study."""
    variants = site.table(site.workspace.variants_table)
    best = None if variants is None else readme.best_of_each_study(site.workspace, site.params)
    selections = {task: site.record(site.workspace.selection(task)) for task in sorted(site.params.tasks)}
    site.add_page(
        "index.html",
        "index.html.jinja",
        num_configurations=sum(len(search.configurations) for search in site.params.searches.values()),
        best=texts.html(site, best, "", caption="The best variant of each study by test accuracy") if best else None,
        pictures=[*_pictures(site), *_effects(site, effects)],
        effects=Table("What each technique bought", tables.EFFECTS, shown(effects), EFFECTS) if len(effects) else None,
        variants=None
        if variants is None
        else Table("Every variant", tables.VARIANTS, rows_of(variants), site.copy(site.workspace.variants_table)),
        selections={task: record for task, record in selections.items() if record},
        problem=problem,
        is_demonstration=any(site.params.is_embedded(data) for data in (*site.params.datasets, *site.params.signals)),
    )


def _pictures(site: Site) -> Iterator[Picture]:
    parts = list(_rankings(site))
    if not parts:
        return
    table = pd.concat(parts, ignore_index=True)
    link = site.add_table(OVERVIEW, table)
    yield drawn(
        "gaps",
        plots.gaps(table),
        "Train-test gap against the number of parameters",
        "the higher a point, the more its network knows of the training images alone; regularization moves it down.",
        link,
    )
    yield drawn(
        "costs",
        plots.accuracies(table),
        "Test accuracy against cost",
        "cost is parameters times epochs. Points further right than others at the same height pay for nothing.",
        link,
    )


def _rankings(site: Site) -> Iterator[pd.DataFrame]:
    """Of each study the variants that belong to it, once each."""
    for study, spec in site.params.studies.items():
        ranking = site.table(site.workspace.comparison(study) / "ranking.csv")
        if ranking is not None:
            home = [name for name in spec.variants if site.params.classifiers[name].study == study]
            own = ranking[ranking["variant"].isin(home)]
            yield pd.DataFrame(
                {
                    "study": study,
                    "variant": own["variant"],
                    "parameters": own["params"],
                    "epochs": own["epochs"],
                    "cost": own["params"] * own["epochs"],
                    **{name: own[name] for name in ("train_accuracy", "test_accuracy", "test_accuracy_low")},
                    **{name: own[name] for name in ("test_accuracy_high", "accuracy_gap")},
                }
            )


def _effects(site: Site, effects: pd.DataFrame) -> Sequence[Picture]:
    if effects.empty:
        return []
    site.add_table(EFFECTS, effects)
    # Where all are compared with one network, it is named once.
    has_one = effects.groupby("study")["without"].transform("nunique") == 1
    chart = pd.DataFrame(
        {
            "group": (effects["study"] + " − " + effects["without"]).where(has_one, effects["study"]),
            "label": effects["with"].where(has_one, effects["with"] + " − " + effects["without"]),
            "difference": effects["accuracy_difference"],
            "low": effects["accuracy_low"],
            "high": effects["accuracy_high"],
            "is_significant": effects["accuracy_verdict"].map(is_significant),
        }
    )
    caption = (
        "each row is a network with a technique less one without it, with the 95 % interval. Full points are "
        "significant after Holm's correction, hollow ones may be chance. Beyond one point the scale is logarithmic."
    )
    return [drawn("effects", plots.effects(chart), "What each technique bought in test accuracy", caption, EFFECTS)]
