"""The results tables of README.md."""

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
from pipeline.report.words import NOTHING, interval, line, percent, points, table
from pipeline.studies.waves.scores import RegressorTest

BEGIN = "<!-- results:begin -->"
END = "<!-- results:end -->"
ACCURACIES = ("val_accuracy", "test_accuracy")
# So many differences between repeated variants are listed; of more the number is told.
MAX_PAIRS = 6


def results(workspace: Workspace, params: Params) -> str:
    """Markdown: every table of measured and reported results. Raises PipelineError when a result is missing."""
    parts = [
        results_table(
            storage.read_table(workspace.variants_table),
            params,
            reported_accuracies(workspace.reported_results, params),
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
    parts += [signal_table(workspace, params, name) for name in params.signals]
    return "\n\n".join(part for part in parts if part)


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
    parts = [pairwise.summary(table)]
    if level:
        parts.append(f"The best of the study, `{best}`, cannot be told in test accuracy from {', '.join(level)}.")
    else:
        parts.append(f"The best of the study, `{best}`, is better in test accuracy than every other of its variants.")
    if better := [f"`{name}`" for name in pairwise.better_than(table, best)]:
        parts.append(f"Better than it, of those shown beside: {', '.join(better)}.")
    return " ".join(parts)


def repeats_text(workspace: Workspace, study: str) -> str:
    """Markdown: of each repeated variant of a study the mean over its seeds, with its interval, and their differences.

    The standard deviations of accuracies are in points.
    """
    folder = workspace.repeats(study)
    rows = [
        [
            f"`{row['variant']}`",
            str(row["num_seeds"]),
            *(f"{percent(row[f'{name}_mean'])} ± {100 * row[f'{name}_std']:.2f}" for name in ACCURACIES),
            interval(row),
            f"{row['test_cross_entropy_mean']:.4f} ± {row['test_cross_entropy_std']:.4f}",
        ]
        for row in storage.read_table(folder / "summary.csv").to_dict("records")
    ]
    header = ["variant", "seeds", "validation", "test", "95 % interval of the test mean", "test cross-entropy"]
    pairs = storage.read_table(folder / "differences.csv")
    texts = [
        f"`{row['first']}` against `{row['second']}` {points(row['accuracy_difference'])}, {row['accuracy_verdict']}"
        for row in pairs.to_dict("records")
    ]
    listed = f" Test accuracy, in points: {'; '.join(texts)}." if 0 < len(texts) <= MAX_PAIRS else ""
    return "\n".join(
        [
            "Trained under several seeds, mean ± standard deviation:",
            "",
            *table(header, rows),
            "",
            f"{pairwise.summary(pairs)} Both the seeds and the test images are taken as a sample.{listed}",
        ]
    )


def signal_differences_text(workspace: Workspace, signal: str, num_regressors: int) -> str:
    """The differences between the regressors of a signal, and from always predicting the mean."""
    rows = storage.read_table(workspace.evaluation(signal) / "differences.csv").to_dict("records")
    texts = [
        f"`{row['first']}` against `{row['second']}` {row['difference']:+.4f} "
        f"({row['low']:+.4f} to {row['high']:+.4f}), {row['verdict']}"
        for row in rows
    ]
    alone = "There is one regressor, so no other to compare it with. " if num_regressors == 1 else ""
    return (
        f"{alone}Differences in the mean absolute test error (95 % interval, paired bootstrap, Holm's correction): "
        f"{'; '.join(texts) or 'none'}."
    )


def searches_table(searches: pd.DataFrame) -> str:
    """Markdown: of each search in `searches` (the table of all configurations) the best, and the source's best."""
    rows = []
    for name, group in searches.groupby("search", sort=False):
        best = group.iloc[int(group["mean_accuracy"].argmax())]
        reported = group.dropna(subset="reported_cv_accuracy")
        accuracy = f"{percent(best['mean_accuracy'])} ± {100 * best['std_accuracy']:.2f}"
        source = [NOTHING] * 3
        if not reported.empty:
            theirs = reported.iloc[int(reported["reported_cv_accuracy"].argmax())]
            source = [str(theirs["units"]), *(percent(theirs[f"{kind}_accuracy"]) for kind in ("reported_cv", "mean"))]
        rows.append([f"`{name}`", str(best["units"]), str(len(group)), accuracy, *source])
    header = ["search", "best units", "configurations", "accuracy over the folds", "the source's best"]
    header += ["its accuracy there", "and here"]
    return "\n".join(["### Grid searches, by cross-validation", "", *table(header, rows, num_text=2)])


def signal_table(workspace: Workspace, params: Params, signal: str) -> str:
    """Markdown: mean absolute errors of the regressors of a signal, in parameters and in curves."""
    tested = result_files.read_by_name(workspace.evaluation(signal) / "metrics.json", RegressorTest)
    rows = [
        [
            f"`{name}`",
            f"{test.validation_mean_absolute_error:.4f}",
            f"{test.mean_absolute_error:.4f}",
            NOTHING if test.reported_mean_absolute_error is None else f"{test.reported_mean_absolute_error:.4f}",
            f"{test.curve_error:.4f}",
            f"{test.extended.mean_absolute_error:.4f}",
            f"{test.extended.curve_error:.4f}",
        ]
        for name, test in tested.items()
    ]
    header = ["regressor", "validation", "test", "reported", "test curves", "extended rows", "extended curves"]
    note = "Mean absolute errors of the parameters, and of the curves that they imply."
    remark = signal_differences_text(workspace, signal, len(tested))
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
    # Without a tolerance nothing is judged, but a reported accuracy may still not be comparable.
    judged = "comparable" if tolerance is None else f"within {100 * tolerance:g} points"
    header = ["variant", "parameters", "epochs", "validation", "test (95 % interval)", "reported", "difference", judged]
    lines = [f"### {params.studies[study].title}", "", line(header), line(["---", *["--:"] * 6, ":-:"])]
    notes = []
    for row in rows:
        source = reported.get((study, row["variant"]))
        verdict = tables.within_tolerance(row["test_accuracy"], source, tolerance)
        word = {True: "yes", False: "**no**", None: NOTHING}[verdict]
        if source and source.fault:
            notes.append(f"`{row['variant']}`: {source.fault}")
            word = f"not comparable ({len(notes)})"
        told = [NOTHING, NOTHING]
        if source:
            difference = tables.difference(row["test_accuracy"], source.test_accuracy)
            told = [percent(source.test_accuracy), points(difference)]
        cells = [f"`{row['variant']}`", f"{row['params']:,}", str(row["epochs"]), percent(row["val_accuracy"])]
        lines.append(line([*cells, f"{percent(row['test_accuracy'])} ({interval(row)})", *told, word]))
    footnotes = [f"{number}. {note}" for number, note in enumerate(notes, start=1)]
    return "\n".join([*lines, *([""] if footnotes else []), *footnotes])
