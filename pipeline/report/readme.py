"""The results tables of README.md."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.evaluation import pairwise, tables
from pipeline.evaluation.reported import ReportedAccuracies, reported_accuracies
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.report.words import NOTHING, interval, line, percent, points, table

BEGIN = "<!-- results:begin -->"
END = "<!-- results:end -->"
ACCURACIES = ("val_accuracy", "test_accuracy")


def results(workspace: Workspace, params: Params) -> str:
    """Markdown: every table of measured against reported figures. Raises PipelineError when a result is missing."""
    parts = [
        results_table(
            storage.read_table(workspace.variants_table),
            params,
            reported_accuracies(workspace.reported_results, params),
            remarks={study: _remarks(workspace, params, study) for study in params.studies},
        )
    ]
    if params.searches:
        parts.append(searches_table(storage.read_table(workspace.searches_table)))
    parts += [signal_table(workspace, params, name) for name in params.signals]
    return "\n\n".join(part for part in parts if part)


def results_table(
    variants: pd.DataFrame,
    params: Params,
    reported: ReportedAccuracies,
    remarks: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> str:
    """Markdown: a table per study of `variants` (the table of all variants), reported against measured test accuracy.

    A reported figure that a fault of its source produced is shown, but not judged; the fault is told below the table,
    and after it the study's `remarks`, a paragraph each.
    """
    studies = [study for study in params.studies if (variants["study"] == study).any()]
    sections = [
        _study_section(study, variants[variants["study"] == study].to_dict("records"), params, reported)
        for study in studies
    ]
    return "\n\n".join(
        "\n\n".join([section, *remarks.get(study, ())]) for study, section in zip(studies, sections, strict=True)
    )


def differences_text(workspace: Workspace, params: Params, study: str) -> str:
    """Which differences between the variants of a study are real, in a few sentences.

    Of the study's own variants the one with the best test accuracy is named, and which of them cannot be told from it.
    """
    folder = workspace.comparison(study)
    table = storage.read_table(folder / "differences.csv")
    ranking = storage.read_table(folder / "ranking.csv")
    own = ranking[ranking["variant"].isin(list(params.variants_of(study)))].to_dict("records")
    if len(own) < 2:
        return pairwise.summary(table)
    best = str(max(own, key=lambda row: row["test_accuracy"])["variant"])
    names = {row["variant"] for row in own}
    level = [f"`{name}`" for name in pairwise.level_with(table, best) if name in names]
    told = ", ".join(level) if level else "none: it is better than every other"
    return f"{pairwise.summary(table)} No significant difference from the best, `{best}`: {told}."


def repeats_text(workspace: Workspace, params: Params, study: str) -> str:
    """Markdown: of each repeated variant of a study the mean over its seeds, with its interval, and what remains real.

    The standard deviations are in points.
    """
    folder = workspace.repeats(study)
    rows = [
        [
            f"`{row['variant']}`",
            *(f"{percent(row[f'{name}_mean'])} ± {100 * row[f'{name}_std']:.2f}" for name in ACCURACIES),
            f"{100 * row['test_accuracy_low']:.2f}–{100 * row['test_accuracy_high']:.2f}",
        ]
        for row in storage.read_table(folder / "summary.csv").to_dict("records")
    ]
    header = ["variant", "validation ± standard deviation", "test ± standard deviation", "95 % interval of the mean"]
    pairs = storage.read_table(folder / "differences.csv").to_dict("records")
    told = [
        f"`{row['first']}` against `{row['second']}` {points(row['test_accuracy_difference'])}, {row['verdict']}"
        for row in pairs
    ]
    return "\n".join(
        [
            f"Trained under {params.repeats[study].repeats} seeds each:",
            "",
            *table(header, rows),
            "",
            "Differences in the mean test accuracy, in points (Welch's t test over the seeds, Holm's correction): "
            f"{'; '.join(told) or 'none'}.",
        ]
    )


def _remarks(workspace: Workspace, params: Params, study: str) -> list[str]:
    repeated = [repeats_text(workspace, params, study)] if study in params.repeats else []
    return [differences_text(workspace, params, study), *repeated]


def signal_differences_text(workspace: Workspace, signal: str, num_regressors: int) -> str:
    """Which differences between the regressors of a signal are real, and from always predicting the mean."""
    rows = storage.read_table(workspace.evaluation(signal) / "differences.csv").to_dict("records")
    told = [
        f"`{row['first']}` against `{row['second']}` {row['difference']:+.4f} "
        f"({row['low']:+.4f} to {row['high']:+.4f}), {row['verdict']}"
        for row in rows
    ]
    alone = "There is one regressor, so no other to compare it with. " if num_regressors == 1 else ""
    return (
        f"{alone}Differences in the mean absolute test error (95 % interval, paired bootstrap, Holm's correction): "
        f"{'; '.join(told) or 'none'}."
    )


def searches_table(searches: pd.DataFrame) -> str:
    """Markdown: of each search in `searches` (the table of all configurations) the best, and the source's best."""
    rows = []
    for name, group in searches.groupby("search", sort=False):
        configurations = group.to_dict("records")
        best = max(configurations, key=lambda item: item["mean_accuracy"])
        reported = [item for item in configurations if not pd.isna(item["reported_cv_accuracy"])]
        theirs = max(reported, key=lambda item: item["reported_cv_accuracy"], default=None)
        rows.append(
            [
                f"`{name}`",
                str(best["units"]),
                str(len(group)),
                f"{percent(best['mean_accuracy'])} ± {100 * best['std_accuracy']:.2f}",
                NOTHING if theirs is None else str(theirs["units"]),
                NOTHING if theirs is None else percent(theirs["reported_cv_accuracy"]),
                NOTHING if theirs is None else percent(theirs["mean_accuracy"]),
            ]
        )
    header = [
        "search",
        "best units",
        "configurations",
        "accuracy over the folds",
        "the source's best",
        "its accuracy there",
        "and here",
    ]
    return "\n".join(["### Grid searches, by cross-validation", "", *table(header, rows, num_text=2)])


def signal_table(workspace: Workspace, params: Params, signal: str) -> str:
    """Markdown: mean absolute errors of the regressors of a signal, in parameters and in curves."""
    scores = storage.read_json(workspace.evaluation(signal) / "metrics.json")
    rows = []
    for name, score in scores.items():
        reported = score.get("reported_mean_absolute_error")
        rows.append(
            [
                f"`{name}`",
                f"{score['validation_mean_absolute_error']:.4f}",
                f"{score['mean_absolute_error']:.4f}",
                NOTHING if reported is None else f"{reported:.4f}",
                f"{score['curve_error']:.4f}",
                f"{score['extended']['mean_absolute_error']:.4f}",
                f"{score['extended']['curve_error']:.4f}",
            ]
        )
    header = ["regressor", "validation", "test", "reported", "test curves", "extended rows", "extended curves"]
    note = "Mean absolute errors of the parameters, and of the curves that they imply."
    remark = signal_differences_text(workspace, signal, len(scores))
    return "\n".join([f"### {params.title_of(signal)}", "", note, "", *table(header, rows), "", remark])


def update_readme(text: str, table: str) -> str:
    """The text with `table` between the two marker comments, in place of what stood there.

    Raises PipelineError unless each marker is there once, the beginning first.
    """
    problem = f"README: expected one line {BEGIN} and, below it, one line {END}, "
    for marker in (BEGIN, END):
        if text.count(marker) != 1:
            raise PipelineError(f"{problem}got {text.count(marker)} of {marker}. Put them around the results table.")
    before, rest = text.split(BEGIN)
    if END not in rest:
        raise PipelineError(f"{problem}got them the other way round. Swap them.")
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


def _study_section(study: str, rows: list[dict[Hashable, Any]], params: Params, reported: ReportedAccuracies) -> str:
    tolerance = params.studies[study].tolerance
    # Without a tolerance nothing is judged, but a figure may still not be comparable.
    judged = "comparable" if tolerance is None else f"within {100 * tolerance:g} points"
    header = ["variant", "parameters", "epochs", "validation", "test (95 % interval)", "reported", "difference", judged]
    lines = [f"### {params.studies[study].title}", "", line(header), line(["---", *["--:"] * 6, ":-:"])]
    notes = []
    for row in rows:
        figure = reported.get((study, row["variant"]))
        verdict = tables.within_tolerance(row["test_accuracy"], figure, tolerance)
        word = {True: "yes", False: "**no**", None: NOTHING}[verdict]
        if figure and figure.fault:
            notes.append(f"`{row['variant']}`: {figure.fault}")
            word = f"not comparable ({len(notes)})"
        lines.append(
            line(
                [
                    f"`{row['variant']}`",
                    f"{row['params']:,}",
                    str(row["epochs"]),
                    percent(row["val_accuracy"]),
                    f"{percent(row['test_accuracy'])} ({interval(row)})",
                    percent(figure.test_accuracy) if figure else NOTHING,
                    points(tables.difference(row["test_accuracy"], figure.test_accuracy)) if figure else NOTHING,
                    word,
                ]
            )
        )
    footnotes = [f"{number}. {note}" for number, note in enumerate(notes, start=1)]
    return "\n".join([*lines, *([""] if footnotes else []), *footnotes])
