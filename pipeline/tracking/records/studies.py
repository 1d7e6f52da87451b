"""Records of what is made of the variants of a study together, of selections, and of the table of all variants."""

from collections.abc import Hashable, Mapping, Sequence
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
    SELECTION,
    SUMMARY,
    RunRecord,
    StageItem,
    damaged,
    embedded_first,
    entry_of,
    existing,
    files_of,
    registered_name,
    table_metrics,
)

# DVC's name of the stage that repeats a variant, by the variant's group.
REPEATED_BY = {"variants": "repeat", "swept": "repeat_swept", "derived": "repeat_derived"}
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
    item = StageItem(workspace, params, "compare", study, spec.dataset, study)
    return item.record(
        files,
        tags={"mlflow.note.content": _verdicts(pairs_path, pairs, list(ranking["variant"]))},
        metrics={**table_metrics(ranking), "num_pairs": float(len(pairs))},
        attachments=item.attached("comparison", files),
    )


def contrast_record(workspace: Workspace, params: Params, study: str) -> RunRecord:
    """The variants of a study against its baseline: gains, overfitting and plots."""
    spec = require(params.contrasts, study, "contrast")
    results = workspace.contrast(study)
    gains = storage.read_table(existing(results / "gains.csv"))
    overfitting_path = existing(results / "overfitting.json")
    overfitting = storage.read_json(overfitting_path)
    item = StageItem(workspace, params, "contrast", study, spec.dataset, study)
    return item.record(
        files_of([results]),
        tags={"mlflow.note.content": str(entry_of(overfitting_path, overfitting, "verdict"))},
        params={"baseline": spec.baseline},
        metrics={**table_metrics(gains), **flatten.numbers(overfitting.get("variants", {}))},
        attachments=item.attached_folder("contrast", results),
    )


def repeat_record(workspace: Workspace, params: Params, name: str) -> RunRecord:
    """The repeats of a variant in its study, and below it a run per seed, of validation metrics alone."""
    spec = require(params.all_repeated, name, "repeated variant")
    path = workspace.repeated_training(spec.repeats, name)
    table = _read_repeats(path, "seed")
    stage = REPEATED_BY[params.variant_group(name)]
    item = StageItem(workspace, params, stage, name, spec.dataset, spec.repeats)
    record = item.record(
        [path],
        outputs=[workspace.repeated_model(spec.repeats, name, params.seed_of(name)).parent, path],
        tags={"repeated": name},
        params={
            **flatten.section_params(params.classifiers[name], without=("study",)),
            "seeds": str(spec.seeds),
        },
        metrics={
            "num_seeds": float(len(table)),
            **{f"mean_{metric}": float(value) for metric, value in table.drop(columns=["seed"]).mean().items()},
        },
        attachments=item.attached("repeats", [path]),
        datasets=dataset_versions(workspace, params, spec.dataset, ("train", "validation")),
    )
    children = []
    for row in table.to_dict("records"):
        seed = str(int(row.pop("seed")))
        children.append(record.child(seed, f"seed {seed}", {**record.tags, "seed": seed}, {"seed": seed}, row))
    return replace(record, children=tuple(children))


def repeats_evaluation_record(workspace: Workspace, params: Params, study: str) -> RunRecord:
    """What the seeds change in a study: every seed, means and intervals, differences and a plot."""
    spec = require(params.repeats, study, "study under repeats")
    results = workspace.repeats(study)
    paths = [existing(results / name) for name in ("seeds.csv", "summary.csv", "differences.csv", "accuracy.png")]
    item = StageItem(workspace, params, "evaluate_repeats", study, spec.dataset, study)
    return item.record(
        paths,
        params={} if spec.baseline is None else {"baseline": spec.baseline},
        metrics=table_metrics(_read_repeats(results / "summary.csv", "variant")),
        attachments=item.attached("repeats", paths),
        datasets=dataset_versions(workspace, params, spec.dataset, ("test",)),
    )


def selection_record(workspace: Workspace, params: Params, task: str) -> RunRecord:
    """Which variant was selected for a task, by which rule, and why."""
    spec = require(params.tasks, task, "task")
    path = existing(workspace.selection(task))
    selection = storage.read_json(path)
    chosen = _selected_candidate(path, selection)
    rule = {key: str(entry_of(path, selection, key)) for key in ("metric", "tolerance", "prefer_fewer_parameters")}
    item = StageItem(workspace, params, "register", task, spec.dataset, SELECTION)
    return item.record(
        [path],
        tags={
            "task": task,
            "registered_model": registered_name(params, task),
            "mlflow.note.content": str(entry_of(path, selection, "reason")),
        },
        params={"selected": str(selection["selected"]), **rule},
        metrics={"num_candidates": float(len(selection["candidates"])), **flatten.numbers(chosen)},
        attachments=item.attached("selection", [path]),
    )


def summary_record(workspace: Workspace, params: Params, name: str) -> RunRecord:
    """The table of all variants of all studies."""
    path = existing(workspace.variants_table)
    table = storage.read_table(path)
    item = StageItem(workspace, params, "summarize", name, embedded_first(params, params.datasets), SUMMARY)
    return item.record(
        [path],
        metrics={
            "num_rows": float(len(table)),
            "num_variants": float(table["variant"].nunique()),
            "num_studies": float(table["study"].nunique()),
        },
        attachments=item.attached("summary", [path]),
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


def _read_repeats(path: Path, column: str) -> pd.DataFrame:
    table = storage.read_table(existing(path))
    if column not in table.columns:
        raise damaged(path, f"the column {column!r}", f"only {', '.join(map(str, table.columns))}")
    return table
