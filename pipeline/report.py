"""What a person reads at the end: the results table of the README, and the summary in the terminal."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import storage, tables
from pipeline.errors import PipelineError
from pipeline.params import Params
from pipeline.paths import Workspace
from pipeline.reported import ReportedFigures, reported_figures

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Group
    from rich.table import Table

BEGIN = "<!-- results:begin -->"
END = "<!-- results:end -->"
NOTHING = "–"


def results_table(variants: pd.DataFrame, params: Params, reported: ReportedFigures) -> str:
    """Markdown: a table per study of `variants` (the table of all variants), reported against measured test accuracy.

    A reported figure that a fault of its source produced is shown, but not judged; the fault is told below the table.
    """
    studies = [study for study in params.studies if (variants["study"] == study).any()]
    sections = [
        _study_section(study, variants[variants["study"] == study].to_dict("records"), params, reported)
        for study in studies
    ]
    return "\n\n".join(sections)


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


def findings(workspace: Workspace, params: Params, template: str) -> str:
    """Fill a Jinja template with the study's figures, so that no number in its prose is typed.

    The template sees `trained[variant]` and `tested[study][variant]` (metrics.json), `history[variant]` (a data frame
    with a row per epoch), `selected[task]`, `reported[study, variant]`, and the filters `percent`, `points` and `nats`.
    Raises PipelineError when a result is missing, or when the template asks for what is not there.
    """
    from jinja2 import Environment, StrictUndefined, TemplateError

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters.update(percent=_percent, points=_unsigned_points, nats=_nats)
    variants = params.all_variants.items()
    try:
        return environment.from_string(template).render(
            trained={
                name: storage.read_json(workspace.training_results(name, variant) / "metrics.json")
                for name, variant in variants
            },
            history={
                name: storage.read_table(workspace.training_results(name, variant) / "history.csv")
                for name, variant in variants
            },
            tested={study: storage.read_json(workspace.evaluation(study) / "metrics.json") for study in params.studies},
            selected={task: storage.read_json(workspace.selection(task)) for task in params.tasks},
            reported=reported_figures(workspace.reported_results, params),
        )
    except TemplateError as error:
        raise PipelineError(f"template of the findings: {error}. Correct what it asks for.") from error


def summary(workspace: Workspace, params: Params, *, runs: str) -> Group:
    """For the terminal: the variants of each study with their accuracies, the selected models, and where to look next.

    `runs` says where MLflow shows the runs: a command or an address.
    Raises PipelineError when the results are not there yet.
    """
    from rich.console import Group

    variants = storage.read_table(workspace.variants_table)
    return Group(_variants_table(variants), _selections_table(workspace, params), _next(workspace, runs))


def _study_section(study: str, rows: list[dict[Hashable, Any]], params: Params, reported: ReportedFigures) -> str:
    tolerance = params.studies[study].tolerance
    judged = f"within {100 * tolerance:g} points"
    header = ["variant", "parameters", "epochs", "validation", "test (95 % interval)", "reported", "difference", judged]
    lines = [f"### {params.studies[study].title}", "", _line(header), _line(["---", *["--:"] * 6, ":-:"])]
    notes = []
    for row in rows:
        figure = reported.get((study, row["variant"]))
        verdict = tables.within_tolerance(row["test_accuracy"], figure, tolerance)
        word = {True: "yes", False: "**no**", None: NOTHING}[verdict]
        if figure and figure.fault:
            notes.append(f"`{row['variant']}`: {figure.fault}")
            word = f"not comparable ({len(notes)})"
        lines.append(
            _line(
                [
                    f"`{row['variant']}`",
                    f"{row['params']:,}",
                    str(row["epochs"]),
                    _percent(row["val_accuracy"]),
                    f"{_percent(row['test_accuracy'])} ({_interval(row)})",
                    _percent(figure.test_accuracy) if figure else NOTHING,
                    _points(tables.difference(row["test_accuracy"], figure.test_accuracy)) if figure else NOTHING,
                    word,
                ]
            )
        )
    footnotes = [f"{number}. {note}" for number, note in enumerate(notes, start=1)]
    return "\n".join([*lines, *([""] if footnotes else []), *footnotes])


def _variants_table(variants: pd.DataFrame) -> Table:
    from rich.table import Table

    has_reported = bool(variants["reported_test_accuracy"].notna().any())
    table = Table(title="Variants: accuracy of the last epoch's weights", title_justify="left")
    table.add_column("variant")
    for column in ("parameters", "validation", "test", "95 % interval", *(["reported"] if has_reported else [])):
        table.add_column(column, justify="right")
    for study, rows in variants.groupby("study", sort=False):
        table.add_section()
        table.add_row(str(study), style="bold")
        for row in rows.to_dict("records"):
            cells = [f"  {row['variant']}", f"{row['params']:,}", _percent(row["val_accuracy"])]
            cells += [_percent(row["test_accuracy"]), _interval(row)]
            if has_reported:
                figure = row["reported_test_accuracy"]
                cells.append(_percent(figure) if figure == figure else NOTHING)
            table.add_row(*cells)
    return table


def _selections_table(workspace: Workspace, params: Params) -> Table:
    from rich.table import Table

    table = Table(title="Selected on validation figures", title_justify="left")
    for column in ("task", "variant", "why"):
        table.add_column(column)
    for task in params.tasks:
        record = storage.read_json(workspace.selection(task))
        table.add_row(task, record["selected"], record["reason"])
    return table


def _next(workspace: Workspace, runs: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    root = workspace.root.resolve()
    shown = root.relative_to(Path.cwd()) if root.is_relative_to(Path.cwd()) else root
    table = Table.grid(padding=(0, 2))
    table.title, table.title_justify = "Where to look next", "left"
    for what, where in {
        "runs, curves, models": runs,
        "tables and pictures": str(shown / "results"),
        "all variants in a table": str(shown / workspace.variants_table.relative_to(workspace.root)),
        "what depends on what": "dvc dag" if shown == Path() else f"cd {shown} && dvc dag",
    }.items():
        table.add_row(what, Text(where, style="bold", overflow="fold"))
    return table


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}"


def _nats(cross_entropy: float) -> str:
    return f"{cross_entropy:.3f}"


def _unsigned_points(difference: float) -> str:
    return f"{100 * difference:.2f}"


def _interval(row: Mapping[Any, Any]) -> str:
    return f"{100 * row['test_accuracy_low']:.2f}–{100 * row['test_accuracy_high']:.2f}"
