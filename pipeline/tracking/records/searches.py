"""Records of searches with their configurations, of sweeps, and of what the searches of a study say together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.tracking import flatten
from pipeline.tracking.records.data import dataset_versions
from pipeline.tracking.records.record import (
    SUMMARY,
    RunRecord,
    attachment,
    attachments_of,
    child_record,
    damaged,
    embedded_first,
    entry_of,
    existing,
    files_of,
    stage_record,
    stage_tags,
)

# Columns of folds.csv that are no metrics of the folds.
IDENTITY_COLUMNS = ("units", "parameters")
REQUIRED_COLUMNS = (*IDENTITY_COLUMNS, "mean_accuracy")


def search_record(workspace: Workspace, params: Params, name: str) -> RunRecord:
    """A search, and below it every configuration."""
    spec = require(params.searches, name, "search")
    outcome_path = existing(workspace.outcome(name))
    outcome = storage.read_json(outcome_path)
    folds = _folds(workspace.search_results(name) / "folds.csv")
    files = [*files_of([workspace.search_results(name)]), outcome_path]
    record = stage_record(
        workspace,
        params,
        "search",
        name,
        data=spec.dataset,
        experiment=spec.study,
        files=files,
        name=search_run_name(name),
        tags={
            "search": name,
            "selected": str(entry_of(outcome_path, outcome, "selected")),
            "mlflow.note.content": str(entry_of(outcome_path, outcome, "reason")),
        },
        params=search_params(params, name),
        metrics={
            "best_mean_accuracy": float(folds["mean_accuracy"].max()),
            "num_configurations": float(len(folds)),
            "num_fits": float(len(folds) * spec.folds),
        },
        attachments=(attachment(workspace, "search", files),),
        datasets=dataset_versions(workspace, params, spec.dataset, ("train", "validation")),
    )
    children = []
    for row in folds.to_dict("records"):
        units, parameters = str(row.pop("units")), str(row.pop("parameters"))
        settings = {**configuration_params(units), "parameters": parameters}
        tags = configuration_tags(params, name, units)
        children.append(child_record(record, units, name=units, tags=tags, params=settings, values=row))
    return replace(record, children=tuple(children))


def search_run_name(name: str) -> str:
    """The name of a search's run: a variant with the layers that it chose often has the name of the search itself."""
    return f"search: {name}"


def search_tags(params: Params, name: str) -> dict[str, str]:
    """Tags of a search's run that are known before it has run."""
    spec = params.searches[name]
    return {**stage_tags(params, "search", name, data=spec.dataset, experiment=spec.study), "search": name}


def search_params(params: Params, name: str) -> dict[str, str]:
    """The settings of a search, as MLflow parameters."""
    spec = params.searches[name]
    return {
        **flatten.section_params(spec, without=("study", "grid")),
        **{f"grid.{layer}": ", ".join(map(str, units)) for layer, units in enumerate(spec.grid, start=1)},
        "seed": str(params.compute.seed),
    }


def configuration_tags(params: Params, search: str, units: str) -> dict[str, str]:
    """Tags of one configuration of a search; `units` is like `512-128`."""
    return {**search_tags(params, search), "units": units}


def configuration_params(units: str) -> dict[str, str]:
    """The units of each hidden layer as MLflow parameters."""
    return {f"units_{layer}": number for layer, number in enumerate(units.split("-"), start=1)}


def sweep_record(workspace: Workspace, params: Params, name: str) -> RunRecord:
    """Which member of a sweep was chosen, and the accuracies that it was chosen by."""
    spec = require(params.sweeps, name, "sweep")
    path = existing(workspace.outcome(name))
    outcome = storage.read_json(path)
    selected, accuracies = str(entry_of(path, outcome, "selected")), entry_of(path, outcome, "accuracies")
    if selected not in accuracies:
        raise damaged(path, f"{selected!r} among the accuracies", "none of that name")
    return stage_record(
        workspace,
        params,
        "sweep",
        name,
        data=spec.dataset,
        experiment=spec.study,
        files=[path],
        tags={
            "sweep": name,
            "selected": selected,
            "mlflow.note.content": str(entry_of(path, outcome, "reason")),
        },
        params={"selected": selected},
        metrics={
            "best_val_accuracy": float(accuracies[selected]),
            "num_members": float(len(accuracies)),
            **flatten.numbers(accuracies, "val_accuracy"),
        },
        attachments=(attachment(workspace, "sweep", [path]),),
    )


def tabulate_record(workspace: Workspace, params: Params, item: str) -> RunRecord:
    """The table of all configurations of all searches."""
    path = existing(workspace.searches_table)
    table = storage.read_table(path)
    num_searches = {"num_searches": float(table["search"].nunique())} if "search" in table.columns else {}
    return stage_record(
        workspace,
        params,
        "tabulate",
        item,
        data=embedded_first(params, [search.dataset for search in params.searches.values()]),
        experiment=SUMMARY,
        files=[path],
        metrics={"num_rows": float(len(table)), **num_searches},
        attachments=(attachment(workspace, "searches", [path]),),
    )


def conclusions_record(workspace: Workspace, params: Params, study: str) -> RunRecord:
    """What the searches of a study say about its source's conclusions: verdicts, tables and plots."""
    spec = require(params.conclusions, study, "study with conclusions")
    results = workspace.conclusions(study)
    path = existing(results / "conclusions.json")
    content = storage.read_json(path)
    # By name, each with the claim, the verdict, and the numbers that it rests on.
    conclusions = {
        f"conclusion_{entry_of(path, item, 'number')}": item for item in entry_of(path, content, "conclusions")
    }
    lines = [
        f"- {entry_of(path, item, 'claim')} **{entry_of(path, item, 'verdict')}**" for item in conclusions.values()
    ]
    return stage_record(
        workspace,
        params,
        "conclude",
        study,
        data=spec.dataset,
        experiment=study,
        files=files_of([results]),
        outputs=results.iterdir(),
        tags={"mlflow.note.content": "\n".join(lines)},
        params={name: str(item["verdict"]) for name, item in conclusions.items()},
        metrics={
            **flatten.numbers({name: item.get("numbers", {}) for name, item in conclusions.items()}),
            **flatten.numbers(content.get("agreement_with_reported") or {}, "agreement_with_reported"),
        },
        attachments=attachments_of(workspace, "conclusions", results),
    )


def _folds(path: Path) -> pd.DataFrame:
    """A row per configuration, its units as text."""
    table = storage.read_table(existing(path))
    missing = [column for column in REQUIRED_COLUMNS if column not in table.columns]
    if missing or table.empty:
        raise damaged(path, f"rows with {', '.join(REQUIRED_COLUMNS)}", f"columns {', '.join(table.columns)}")
    # With a single layer, CSV reads numbers.
    return table.astype({"units": str})
