"""Records of what is made of the variants of a study side by side, of selections, and of the table of all."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.tracking import flatten
from pipeline.tracking.records.record import (
    SELECTION,
    SUMMARY,
    RunRecord,
    attachment,
    attachments_of,
    damaged,
    embedded_first,
    entry_of,
    existing,
    files_of,
    registered_name,
    stage_record,
    table_metrics,
)

# How the verdict on a pair ends if its difference is significant.
IS_BETTER = " is better"


def comparison_record(workspace: Workspace, params: Params, study: str) -> RunRecord:
    """The ranking of a study, which differences between its variants are real, and its plots."""
    spec = require(params.studies, study, "study")
    results = workspace.comparison(study)
    ranking = storage.read_table(existing(results / "ranking.csv"))
    pairs_path = existing(results / "differences.csv")
    pairs = storage.read_table(pairs_path).to_dict("records")
    files = files_of([results])
    return stage_record(
        workspace,
        params,
        "compare",
        study,
        data=spec.dataset,
        experiment=study,
        files=files,
        tags={"mlflow.note.content": _verdicts(pairs_path, pairs, list(ranking["variant"]))},
        metrics={**table_metrics(ranking), "num_pairs": float(len(pairs))},
        attachments=(attachment(workspace, "comparison", files),),
    )


def contrast_record(workspace: Workspace, params: Params, study: str) -> RunRecord:
    """The variants of a study against its baseline: gains, overfitting and plots."""
    spec = require(params.contrasts, study, "contrast")
    results = workspace.contrast(study)
    gains = storage.read_table(existing(results / "gains.csv"))
    overfitting_path = existing(results / "overfitting.json")
    overfitting = storage.read_json(overfitting_path)
    return stage_record(
        workspace,
        params,
        "contrast",
        study,
        data=spec.dataset,
        experiment=study,
        files=files_of([results]),
        tags={"mlflow.note.content": str(entry_of(overfitting_path, overfitting, "verdict"))},
        params={"baseline": spec.baseline},
        metrics={**table_metrics(gains), **flatten.numbers(overfitting.get("variants", {}))},
        attachments=attachments_of(workspace, "contrast", results),
    )


def selection_record(workspace: Workspace, params: Params, task: str) -> RunRecord:
    """Which variant was selected for a task, by which rule, and why."""
    spec = require(params.tasks, task, "task")
    path = existing(workspace.selection(task))
    selection = storage.read_json(path)
    chosen = _selected_candidate(path, selection)
    rule = {key: str(entry_of(path, selection, key)) for key in ("metric", "tolerance", "prefer_fewer_parameters")}
    return stage_record(
        workspace,
        params,
        "register",
        task,
        data=spec.dataset,
        experiment=SELECTION,
        files=[path],
        tags={
            "task": task,
            "registered_model": registered_name(params, task),
            "mlflow.note.content": str(entry_of(path, selection, "reason")),
        },
        params={"selected": str(selection["selected"]), **rule},
        metrics={"num_candidates": float(len(selection["candidates"])), **flatten.numbers(chosen)},
        attachments=(attachment(workspace, "selection", [path]),),
    )


def summary_record(workspace: Workspace, params: Params, item: str) -> RunRecord:
    """The table of all variants of all studies."""
    path = existing(workspace.variants_table)
    table = storage.read_table(path)
    return stage_record(
        workspace,
        params,
        "summarize",
        item,
        data=embedded_first(params, params.datasets),
        experiment=SUMMARY,
        files=[path],
        metrics={
            "num_rows": float(len(table)),
            "num_variants": float(table["variant"].nunique()),
            "num_studies": float(table["study"].nunique()),
        },
        attachments=(attachment(workspace, "summary", [path]),),
    )


def _verdicts(path: Path, pairs: Sequence[Mapping[Hashable, Any]], variants: Sequence[str]) -> str:
    """Of each variant, in the order given, from which others its test accuracy does not differ significantly."""
    level: dict[str, list[str]] = {name: [] for name in variants}
    for pair in pairs:
        if not {"first", "second", "accuracy_verdict"} <= pair.keys():
            raise damaged(path, "the columns first, second and accuracy_verdict", ", ".join(map(str, pair)))
        if not str(pair["accuracy_verdict"]).endswith(IS_BETTER):
            level[pair["first"]].append(pair["second"])
            level[pair["second"]].append(pair["first"])
    if not pairs:
        return "One variant: nothing to compare."
    lines = [f"- {name}: {', '.join(others) or 'none'}" for name, others in level.items()]
    return "\n".join(["Test accuracies that do not differ significantly:", "", *lines])


def _selected_candidate(path: Path, selection: Mapping[str, Any]) -> Mapping[str, Any]:
    selected = entry_of(path, selection, "selected")
    for candidate in entry_of(path, selection, "candidates"):
        if candidate["variant"] == selected:
            return dict(candidate)
    raise damaged(path, f"{selected!r} among the candidates", "none of that name")
