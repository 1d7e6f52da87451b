"""The findings, docs/findings.md: a template whose every number comes from the results."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.evaluation import pairwise, tables
from pipeline.evaluation.reported import ReportedAccuracies, reported_accuracies, reported_rows
from pipeline.io import history, storage
from pipeline.io.paths import Workspace
from pipeline.report.words import environment, rows


def findings(workspace: Workspace, params: Params, template: str) -> str:
    """Fill a Jinja template with the results of the studies, so that no number in its text is typed by hand.

    The template sees `trained[variant]` and `tested[study][variant]` (metrics.json), `history[variant]` (a data frame
    with a row per epoch), `selected[task]`, `reported[study, variant]`, `outcome[search or sweep]`, `searches` (a data
    frame of all configurations), `closing[study]`, `conclusions[study]`, `gains[study]`, `overfitting[study]`,
    `signals[signal]` (its metrics.json), `answers[signal]`, `extended[regressor]`, `first_rows[regressor]` (of the test
    rows), `data[dataset]` (its statistics.json), `source(study, variant)` (its figures), `benchmark[name]`, `judged`
    (rows of the table of all variants with a reported accuracy to compare with; `reproduced` says whether they do),
    `repeated[study][variant]` (its means over seeds), `compared(study, first, second)` and `across_seeds(study, first,
    second)` (the difference of two variants trained once or under several seeds, the first less the second, with its
    interval and verdict), and the filters of report.words, `verdict` and `by_search`. Tables are lists of rows.
    Raises PipelineError when a result is missing, or when the template asks for what is not there.
    """
    with_results = environment()
    with_results.filters.update(verdict=_marked, by_search=lambda searches, name: searches[searches["search"] == name])
    trained = {name: workspace.training_results(name, variant) for name, variant in params.all_variants.items()}
    concluded = {study: workspace.conclusions(study) for study in params.conclusions}
    contrasts = {study: workspace.contrast(study) for study in params.contrasts}
    prepared = {name: workspace.dataset_results(name) for name in params.datasets}
    regressors = {name: workspace.evaluation_details(item.study, name) for name, item in params.regressors.items()}
    reported = reported_accuracies(workspace.reported_results, params)
    by_source = reported_rows(workspace.reported_results, params)
    try:
        return with_results.from_string(template).render(
            trained={name: storage.read_json(folder / "metrics.json") for name, folder in trained.items()},
            history={name: history.read(folder / "history.csv") for name, folder in trained.items()},
            outcome={name: storage.read_json(workspace.outcome(name)) for name in [*params.searches, *params.sweeps]},
            searches=storage.read_table(workspace.searches_table),
            closing={study: rows(folder / "closing_table.csv") for study, folder in concluded.items()},
            conclusions={study: storage.read_json(folder / "conclusions.json") for study, folder in concluded.items()},
            gains={study: rows(folder / "gains.csv") for study, folder in contrasts.items()},
            overfitting={study: storage.read_json(folder / "overfitting.json") for study, folder in contrasts.items()},
            signals={name: storage.read_json(workspace.evaluation(name) / "metrics.json") for name in params.signals},
            answers={name: storage.read_json(workspace.evaluation(name) / "answers.json") for name in params.signals},
            extended={name: rows(folder / "predictions.csv") for name, folder in regressors.items()},
            first_rows={name: rows(folder / "first_test_rows.csv") for name, folder in regressors.items()},
            data={name: storage.read_json(folder / "statistics.json") for name, folder in prepared.items()},
            source=lambda study, name: by_source[study, name].figures,
            benchmark={
                name: rows(workspace.root / "benchmarks" / f"{name}.csv") for name in ("block_costs", "updates")
            },
            tested={study: storage.read_json(workspace.evaluation(study) / "metrics.json") for study in params.studies},
            selected={task: storage.read_json(workspace.selection(task)) for task in params.tasks},
            reported=reported,
            repeated={
                study: {row["variant"]: row for row in rows(workspace.repeats(study) / "summary.csv")}
                for study in params.repeats
            },
            compared=lambda study, *pair: _difference(workspace.comparison(study) / "differences.csv", *pair),
            across_seeds=lambda study, *pair: _difference(workspace.repeats(study) / "differences.csv", *pair),
            judged=_judged(rows(workspace.variants_table), params, reported),
        )
    except TemplateError as error:
        raise PipelineError(
            f"docs/findings.md.jinja: {error}. Correct what it asks for, or empty it for a study of your own."
        ) from error


def _judged(
    variants: list[dict[Hashable, Any]], params: Params, reported: ReportedAccuracies
) -> list[dict[Hashable, Any]]:
    found = []
    for row in variants:
        source, tolerance = reported.get((row["study"], row["variant"])), params.studies[row["study"]].tolerance
        is_reproduced = tables.within_tolerance(row["test_accuracy"], source, tolerance)
        if is_reproduced is not None:
            found.append({**row, "reproduced": is_reproduced})
    return found


def _difference(path: Path, first: str, second: str) -> dict[str, Any]:
    """The row of a table of pairs about two variants: the first less the second, whichever order the table has."""
    pairs: dict[tuple[Any, Any], dict[Any, Any]] = {(row["first"], row["second"]): row for row in rows(path)}
    if (first, second) in pairs:
        return pairs[first, second]
    if (second, first) not in pairs:
        raise PipelineError(f"{path}: expected a row about {first} and {second}, got none. Run `dvc repro`.")
    row = pairs[second, first]
    for metric in ("accuracy", "cross_entropy"):
        low, high = row[f"{metric}_low"], row[f"{metric}_high"]
        row |= {f"{metric}_difference": -row[f"{metric}_difference"], f"{metric}_low": -high, f"{metric}_high": -low}
    return row


def _marked(verdict: str) -> str:
    """A verdict on a pair, with the variant's name as code."""
    better = verdict.removesuffix(pairwise.IS_BETTER)
    return verdict if better == verdict else f"`{better}`{pairwise.IS_BETTER}"
