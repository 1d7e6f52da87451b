"""Records of variants that were trained under several seeds, and of what the seeds change in a study."""

from __future__ import annotations

import hashlib
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
    RunRecord,
    attachment,
    content_key,
    damaged,
    existing,
    experiment_name,
    experiment_tags,
    output_tags,
    stage_name,
    stage_tags,
    table_figures,
    time_of,
)

FILES = ("seeds.csv", "summary.csv", "differences.csv", "accuracy.png")


def repeat_record(workspace: Workspace, params: Params, name: str) -> RunRecord:
    """The repeats of a variant in its study, and below it a run per seed, of validation figures alone."""
    item = require(params.repeated, name, "repeated variant")
    path = existing(workspace.repeated_training(item.study, name))
    table = _read(path, "seed")
    models = workspace.repeated_model(item.study, name, params.compute.seed).parent
    tags = {
        **stage_tags(params, item.dataset, "repeat", name),
        **output_tags(workspace, [models, path]),
        "study": item.study,
        "repeated": name,
    }
    record = RunRecord(
        experiment=experiment_name(params, item.dataset, item.study),
        experiment_tags=experiment_tags(params, item.dataset, params.title_of(item.study)),
        name=stage_name("repeat", name),
        key=content_key(workspace.root, [path]),
        time=time_of([path]),
        tags=tags,
        params={
            **flatten.section_params(params.variants[name], without=("study",)),
            "repeats": str(params.repeats[item.study].repeats),
        },
        figures={"num_seeds": float(len(table)), **_means(table)},
        attachments=(attachment(workspace, "repeats", [path]),),
        datasets=dataset_versions(workspace, params, item.dataset, ("train", "validation")),
    )
    return _with_seeds(record, table)


def repeats_evaluation_record(workspace: Workspace, params: Params, study: str) -> RunRecord:
    """What the seeds change in a study: every seed, means and intervals, differences and a picture."""
    spec = require(params.repeats, study, "study under repeats")
    paths = [existing(workspace.repeats(study) / name) for name in FILES]
    return RunRecord(
        experiment=experiment_name(params, spec.dataset, study),
        experiment_tags=experiment_tags(params, spec.dataset, params.title_of(study)),
        name=stage_name("evaluate_repeats", study),
        key=content_key(workspace.root, paths),
        time=time_of(paths),
        tags={
            **stage_tags(params, spec.dataset, "evaluate_repeats", study),
            **output_tags(workspace, paths),
            "study": study,
        },
        params={"repeats": str(spec.repeats)},
        figures=table_figures(_read(workspace.repeats(study) / "summary.csv", "variant")),
        attachments=(attachment(workspace, "repeats", paths),),
        datasets=dataset_versions(workspace, params, spec.dataset, ("test",)),
    )


def _with_seeds(record: RunRecord, table: pd.DataFrame) -> RunRecord:
    children = []
    for row in table.to_dict("records"):
        seed = str(int(row.pop("seed")))
        # Of the parent's content and the seed: a child belongs to its parent alone.
        key = hashlib.sha256(f"{record.key} {seed}".encode()).hexdigest()
        child = RunRecord(
            experiment=record.experiment,
            experiment_tags=record.experiment_tags,
            name=f"seed {seed}",
            key=key,
            time=record.time,
            tags={**record.tags, "seed": seed},
            params={"seed": seed},
            figures=flatten.numbers({str(name): value for name, value in row.items()}),
        )
        children.append(child)
    return replace(record, children=tuple(children))


def _means(table: pd.DataFrame) -> dict[str, float]:
    figures = table.drop(columns=["seed"])
    return {f"mean_{name}": float(value) for name, value in figures.mean().items()}


def _read(path: Path, column: str) -> pd.DataFrame:
    table = storage.read_table(existing(path))
    if column not in table.columns:
        raise damaged(path, f"the column {column!r}", f"only {', '.join(map(str, table.columns))}")
    return table
