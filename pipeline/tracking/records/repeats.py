"""Records of variants that were trained under several seeds, and of what the seeds change in a study."""

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
    RunRecord,
    attachment,
    child_record,
    damaged,
    existing,
    stage_record,
    table_metrics,
)

FILES = ("seeds.csv", "summary.csv", "differences.csv", "accuracy.png")


def repeat_record(workspace: Workspace, params: Params, name: str) -> RunRecord:
    """The repeats of a variant in its study, and below it a run per seed, of validation metrics alone."""
    item = require(params.repeated, name, "repeated variant")
    path = existing(workspace.repeated_training(item.study, name))
    table = _read(path, "seed")
    models = workspace.repeated_model(item.study, name, params.compute.seed).parent
    record = stage_record(
        workspace,
        params,
        "repeat",
        name,
        data=item.dataset,
        experiment=item.study,
        files=[path],
        outputs=[models, path],
        tags={"repeated": name},
        params={
            **flatten.section_params(params.variants[name], without=("study",)),
            "repeats": str(params.repeats[item.study].repeats),
        },
        metrics={
            "num_seeds": float(len(table)),
            **{f"mean_{metric}": float(value) for metric, value in table.drop(columns=["seed"]).mean().items()},
        },
        attachments=(attachment(workspace, "repeats", [path]),),
        datasets=dataset_versions(workspace, params, item.dataset, ("train", "validation")),
    )
    children = []
    for row in table.to_dict("records"):
        seed = str(int(row.pop("seed")))
        tags = {**record.tags, "seed": seed}
        children.append(child_record(record, seed, name=f"seed {seed}", tags=tags, params={"seed": seed}, values=row))
    return replace(record, children=tuple(children))


def repeats_evaluation_record(workspace: Workspace, params: Params, study: str) -> RunRecord:
    """What the seeds change in a study: every seed, means and intervals, differences and a plot."""
    spec = require(params.repeats, study, "study under repeats")
    paths = [existing(workspace.repeats(study) / name) for name in FILES]
    return stage_record(
        workspace,
        params,
        "evaluate_repeats",
        study,
        data=spec.dataset,
        experiment=study,
        files=paths,
        params={"repeats": str(spec.repeats)},
        metrics=table_metrics(_read(workspace.repeats(study) / "summary.csv", "variant")),
        attachments=(attachment(workspace, "repeats", paths),),
        datasets=dataset_versions(workspace, params, spec.dataset, ("test",)),
    )


def _read(path: Path, column: str) -> pd.DataFrame:
    table = storage.read_table(existing(path))
    if column not in table.columns:
        raise damaged(path, f"the column {column!r}", f"only {', '.join(map(str, table.columns))}")
    return table
