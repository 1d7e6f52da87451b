"""The summary that a terminal shows at the end."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from pipeline.config.params import Params
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.report.words import NOTHING, interval, percent
from pipeline.tracking.queries import TrackedVersion


def summary(workspace: Workspace, params: Params, *, runs: str) -> Group:
    """For the terminal: the variants of each study with their accuracies, the selected models, and where to look next.

    `runs` says where MLflow shows the runs: a command or an address.
    Raises PipelineError when the results are not there yet.
    """
    variants = storage.read_table(workspace.variants_table)
    return Group(_variants_table(variants), _selections_table(workspace, params), _next(workspace, runs))


def report(workspace: Workspace) -> str:
    """For the terminal: where the report begins, as an address that terminals open at a click."""
    first = (workspace.site / "index.html").resolve()
    return f"The report: {first.as_uri()}" if first.is_file() else "There is no report yet: run `make report`."


def registered(versions: Sequence[TrackedVersion]) -> Group:
    """For the terminal: every version of every registered model, and the commands to go on with."""
    table = Table("model", "version", "variant", "aliases", title="Registered models", title_justify="left")
    for item in versions:
        table.add_row(item.model, str(item.version), item.variant, ", ".join(item.aliases) or NOTHING)
    commands = Table.grid(padding=(0, 2))
    for what, command in {
        "make a challenger the champion": "python -m pipeline promote TASK",
        "predict pictures with the champion": "python -m pipeline predict TASK FILE...",
        "runs, curves, models": "make ui",
    }.items():
        commands.add_row(what, Text(command, style="bold"))
    return Group(table, commands)


def _variants_table(variants: pd.DataFrame) -> Table:
    has_reported = bool(variants["reported_test_accuracy"].notna().any())
    columns = ("parameters", "validation", "test", "95 % interval", *(["reported"] if has_reported else []))
    numbers = [Column(name, justify="right") for name in columns]
    table = Table("variant", *numbers, title="Variants: accuracy of the last epoch's weights", title_justify="left")
    for study, rows in variants.groupby("study", sort=False):
        table.add_section()
        table.add_row(str(study), style="bold")
        for row in rows.to_dict("records"):
            cells = [f"  {row['variant']}", f"{row['params']:,}", percent(row["val_accuracy"])]
            cells += [percent(row["test_accuracy"]), interval(row)]
            if has_reported:
                reported = row["reported_test_accuracy"]
                cells.append(NOTHING if math.isnan(reported) else percent(reported))
            table.add_row(*cells)
    return table


def _selections_table(workspace: Workspace, params: Params) -> Table:
    table = Table("task", "variant", "why", title="Selected on validation figures", title_justify="left")
    for task in params.tasks:
        record = storage.read_json(workspace.selection(task))
        table.add_row(task, record["selected"], record["reason"])
    return table


def _next(workspace: Workspace, runs: str) -> Table:
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
