"""Records of searches with their configurations, of sweeps, and of what the searches of a study say together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.tracking import flatten
from pipeline.tracking.records.data import dataset_versions
from pipeline.tracking.records.record import (
    SUMMARY_EXPERIMENT,
    SUMMARY_NOTE,
    RunRecord,
    attachment,
    attachments_of,
    content_key,
    damaged,
    embedded_first,
    entry_of,
    existing,
    experiment_name,
    experiment_tags,
    files_of,
    output_tags,
    single_stage_tags,
    stage_name,
    stage_tags,
    time_of,
)

# Of folds.csv, what is no figure of the folds.
IDENTITY_COLUMNS = ("units", "parameters")
REQUIRED_COLUMNS = (*IDENTITY_COLUMNS, "mean_accuracy")


def search_record(workspace: Workspace, params: Params, name: str) -> RunRecord:
    """A search, and below it every configuration."""
    spec = require(params.searches, name, "search")
    outcome_path = existing(workspace.outcome(name))
    outcome = storage.read_json(outcome_path)
    folds = _folds(workspace.search_results(name) / "folds.csv")
    files = [*files_of([workspace.search_results(name)]), outcome_path]
    record = RunRecord(
        experiment=experiment_name(params, spec.dataset, spec.study),
        experiment_tags=experiment_tags(params, spec.dataset, params.title_of(spec.study)),
        name=search_run_name(name),
        key=content_key(workspace.root, files),
        time=time_of(files),
        tags={
            **search_tags(params, name),
            **output_tags(workspace, files),
            "selected": str(entry_of(outcome_path, outcome, "selected")),
            "mlflow.note.content": str(entry_of(outcome_path, outcome, "reason")),
        },
        params=search_params(params, name),
        figures={
            "best_mean_accuracy": float(folds["mean_accuracy"].max()),
            "num_configurations": float(len(folds)),
            "num_fits": float(len(folds) * spec.folds),
        },
        attachments=(attachment(workspace, "search", files),),
        datasets=dataset_versions(workspace, params, spec.dataset, ("train", "validation")),
    )
    return _with_configurations(params, name, record, folds)


def search_run_name(name: str) -> str:
    """The name of a search's run: a variant with the layers that it chose often has the name of the search itself."""
    return f"search: {name}"


def search_tags(params: Params, name: str) -> dict[str, str]:
    spec = params.searches[name]
    return {**stage_tags(params, spec.dataset, "search", name), "study": spec.study, "search": name}


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
    """Which member of a sweep was chosen, and the figures that it was chosen by."""
    spec = require(params.sweeps, name, "sweep")
    path = existing(workspace.outcome(name))
    outcome = storage.read_json(path)
    selected, accuracies = str(entry_of(path, outcome, "selected")), entry_of(path, outcome, "accuracies")
    if selected not in accuracies:
        raise damaged(path, f"{selected!r} among the accuracies", "none of that name")
    return RunRecord(
        experiment=experiment_name(params, spec.dataset, spec.study),
        experiment_tags=experiment_tags(params, spec.dataset, params.title_of(spec.study)),
        name=stage_name("sweep", name),
        key=content_key(workspace.root, [path]),
        time=time_of([path]),
        tags={
            **stage_tags(params, spec.dataset, "sweep", name),
            **output_tags(workspace, [path]),
            "study": spec.study,
            "sweep": name,
            "selected": selected,
            "mlflow.note.content": str(entry_of(path, outcome, "reason")),
        },
        params={"selected": selected},
        figures={
            "best_val_accuracy": float(accuracies[selected]),
            "num_members": float(len(accuracies)),
            **flatten.numbers(accuracies, "val_accuracy"),
        },
        attachments=(attachment(workspace, "sweep", [path]),),
    )


def tabulate_record(workspace: Workspace, params: Params, item: str) -> RunRecord:
    """The table of all configurations of all searches."""
    dataset = embedded_first(params, [search.dataset for search in params.searches.values()])
    path = existing(workspace.searches_table)
    table = storage.read_table(path)
    num_searches = {"num_searches": float(table["search"].nunique())} if "search" in table.columns else {}
    return RunRecord(
        experiment=experiment_name(params, dataset, SUMMARY_EXPERIMENT),
        experiment_tags=experiment_tags(params, dataset, SUMMARY_NOTE),
        name="tabulate",
        key=content_key(workspace.root, [path]),
        time=time_of([path]),
        tags={**single_stage_tags(params, dataset, "tabulate"), **output_tags(workspace, [path])},
        figures={"num_rows": float(len(table)), **num_searches},
        attachments=(attachment(workspace, "searches", [path]),),
    )


def conclusions_record(workspace: Workspace, params: Params, study: str) -> RunRecord:
    """What the searches of a study say about its source's conclusions: verdicts, tables and pictures."""
    spec = require(params.conclusions, study, "study with conclusions")
    results = workspace.conclusions(study)
    path = existing(results / "conclusions.json")
    content = storage.read_json(path)
    # By name, each with the claim, the verdict, and the numbers that it rests on.
    conclusions = {
        f"conclusion_{entry_of(path, item, 'number')}": item for item in entry_of(path, content, "conclusions")
    }
    files = files_of([results])
    return RunRecord(
        experiment=experiment_name(params, spec.dataset, study),
        experiment_tags=experiment_tags(params, spec.dataset, params.title_of(study)),
        name=stage_name("conclude", study),
        key=content_key(workspace.root, files),
        time=time_of(files),
        tags={
            **stage_tags(params, spec.dataset, "conclude", study),
            **output_tags(workspace, results.iterdir()),
            "study": study,
            "mlflow.note.content": "\n".join(
                f"- {entry_of(path, item, 'claim')} **{entry_of(path, item, 'verdict')}**"
                for item in conclusions.values()
            ),
        },
        params={name: str(item["verdict"]) for name, item in conclusions.items()},
        figures={
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


def _with_configurations(params: Params, name: str, search: RunRecord, folds: pd.DataFrame) -> RunRecord:
    children = tuple(_configuration(params, name, search, row) for row in folds.to_dict("records"))
    return replace(search, children=children)


def _configuration(params: Params, name: str, search: RunRecord, row: Mapping[Any, Any]) -> RunRecord:
    units = str(row["units"])
    figures = {str(column): value for column, value in row.items() if column not in IDENTITY_COLUMNS}
    return RunRecord(
        experiment=search.experiment,
        experiment_tags=search.experiment_tags,
        name=units,
        # Equal figures in two searches are two runs.
        key=hashlib.sha256(f"{search.key} {units}".encode()).hexdigest(),
        time=search.time,
        tags=configuration_tags(params, name, units),
        params={**configuration_params(units), "parameters": str(row["parameters"])},
        figures=flatten.numbers(figures),
    )
