"""The results tables of docs/results.md, and the best of each study for README.md."""

from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.evaluation import pairwise, result_files, tables
from pipeline.evaluation.reported import ReportedAccuracies, reported_accuracies
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.report.words import filled, rows
from pipeline.studies.waves.scores import RegressorTest

BEGIN = "<!-- results:begin -->"
END = "<!-- results:end -->"
# So many differences between repeated variants are listed; of more the number is told.
MAX_PAIRS = 6


def results(workspace: Workspace, params: Params) -> str:
    """Markdown: every table of measured and reported results. Raises PipelineError when a result is missing."""
    parts = [
        results_table(
            storage.read_table(workspace.variants_table),
            params,
            _reported(workspace, params),
            remarks={
                study: [
                    differences_text(workspace, params, study),
                    *([repeats_text(workspace, study)] if study in params.repeats else []),
                ]
                for study in params.studies
            },
        )
    ]
    if params.searches:
        parts.append(searches_table(storage.read_table(workspace.searches_table)))
    for signal in params.signals:
        folder = workspace.evaluation(signal)
        tested = result_files.read_by_name(folder / "metrics.json", RegressorTest)
        parts.append(signal_table(params.title_of(signal), tested, storage.read_table(folder / "differences.csv")))
    return "\n\n".join(part for part in parts if part)


def best_of_each_study(workspace: Workspace, params: Params) -> str:
    """Markdown: of each study the variant with the best test accuracy, and whether it reproduces its source."""
    variants, reported = storage.read_table(workspace.variants_table), _reported(workspace, params)
    studies = []
    for study, spec in params.studies.items():
        rows = variants[variants["study"] == study]
        row = rows.iloc[int(rows["test_accuracy"].argmax())].to_dict()
        source = reported.get((study, row["variant"]))
        row["is_reproduced"] = tables.within_tolerance(row["test_accuracy"], source, spec.tolerance)
        studies.append({"title": spec.title, "tolerance": spec.tolerance, "row": row, "reported": source})
    return filled("best.md.jinja", studies=studies)


def results_table(
    variants: pd.DataFrame,
    params: Params,
    reported: ReportedAccuracies,
    remarks: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> str:
    """Markdown: a table per study of `variants` (the table of all variants), reported against measured test accuracy.

    A reported accuracy that a fault of its source produced is shown, but not judged. Footnotes below the table explain
    such faults, and the study's `remarks` follow, a paragraph each.
    """
    parts = []
    for study in params.studies:
        rows = variants[variants["study"] == study].to_dict("records")
        if rows:
            parts += [_study_section(study, rows, params, reported), *remarks.get(study, ())]
    return "\n\n".join(parts)


def differences_text(workspace: Workspace, params: Params, study: str) -> str:
    """Which differences between the variants of a study are significant, in a few sentences.

    They name the best of the study's own variants by test accuracy, those of them that do not differ significantly from
    it, and those shown beside the study that are significantly better.
    """
    folder = workspace.comparison(study)
    table = storage.read_table(folder / "differences.csv")
    ranking = storage.read_table(folder / "ranking.csv")
    accuracies = ranking[ranking["variant"].isin(list(params.variants_of(study)))].set_index("variant")["test_accuracy"]
    if len(accuracies) < 2:
        return pairwise.summary(table)
    best = str(accuracies.idxmax())
    level = [f"`{name}`" for name in pairwise.level_with(table, best) if name in accuracies]
    told = "is better in test accuracy than every other of its variants"
    if level:
        told = f"cannot be told in test accuracy from {', '.join(level)}"
    better = ", ".join(f"`{name}`" for name in pairwise.better_than(table, best))
    beside = f" Of the variants that the study is set beside, better than it are {better}." if better else ""
    return f"{pairwise.summary(table)} The best of the study, `{best}`, {told}.{beside}"


def repeats_text(workspace: Workspace, study: str) -> str:
    """Markdown: of each repeated variant of a study the mean over its seeds, with its interval, and their differences.

    The standard deviations of accuracies are in points.
    """
    folder = workspace.repeats(study)
    pairs = storage.read_table(folder / "differences.csv")
    return filled(
        "repeats.md.jinja",
        rows=rows(folder / "summary.csv"),
        pairs=pairs.to_dict("records"),
        summary=pairwise.summary(pairs),
        max_pairs=MAX_PAIRS,
    )


def searches_table(searches: pd.DataFrame) -> str:
    """Markdown: of each search in `searches` (the table of all configurations) the best, and the source's best."""
    best_of = []
    for name, group in searches.groupby("search", sort=False):
        best = group.iloc[int(group["mean_accuracy"].argmax())]
        reported = group.dropna(subset="reported_cv_accuracy")
        theirs = None if reported.empty else reported.iloc[int(reported["reported_cv_accuracy"].argmax())].to_dict()
        best_of.append({"name": name, "best": best.to_dict(), "num_configurations": len(group), "theirs": theirs})
    return filled("searches.md.jinja", searches=best_of)


def signal_table(title: str, tested: Mapping[str, RegressorTest], differences: pd.DataFrame) -> str:
    """Markdown: mean absolute errors of the regressors of a signal, in parameters and in curves.

    `differences` are those between the regressors, and from always predicting the mean.
    """
    return filled("signal.md.jinja", title=title, tested=tested, differences=differences.to_dict("records"))


def update(text: str, table: str, name: str) -> str:
    """The text of the file of that name with `table` between the two marker comments, in place of what stood there.

    Raises PipelineError unless each marker is there once, the beginning first.
    """
    problem = f"{name}: expected one line {BEGIN} and, below it, one line {END}, "
    for marker in (BEGIN, END):
        if text.count(marker) != 1:
            raise PipelineError(f"{problem}got {text.count(marker)} of {marker}. Put them around the results table.")
    before, rest = text.split(BEGIN)
    if END not in rest:
        raise PipelineError(f"{problem}got them the other way round. Swap them.")
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


def _reported(workspace: Workspace, params: Params) -> ReportedAccuracies:
    return reported_accuracies(workspace.reported_results, params)


def _study_section(study: str, rows: list[dict[Hashable, Any]], params: Params, reported: ReportedAccuracies) -> str:
    spec, sources = params.studies[study], {row["variant"]: reported.get((study, row["variant"])) for row in rows}
    for row in rows:
        source = sources[row["variant"]]
        row["is_reproduced"] = tables.within_tolerance(row["test_accuracy"], source, spec.tolerance)
        row["difference"] = tables.difference(row["test_accuracy"], source.test_accuracy) if source else None
    faulty = [name for name, source in sources.items() if source and source.fault]
    # Without a tolerance nothing is judged, but a reported accuracy may still not be comparable.
    judged = "comparable" if spec.tolerance is None else f"within {100 * spec.tolerance:g} points"
    return filled("study.md.jinja", title=spec.title, judged=judged, rows=rows, reported=sources, faulty=faulty)
