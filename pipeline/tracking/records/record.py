"""A run as MLflow should have it, and how each is made from a stage's outputs: names, tags, keys and times."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import pandas as pd

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io import dvc_lock, storage
from pipeline.io.paths import Workspace
from pipeline.tracking import flatten

DEMO_FOLDER = "demo/"
DEMO_MODEL = "demo-"
# The tag by which a run is found from an output in dvc.lock, and the other way round.
OUTPUTS = "dvc_outputs"
# What a stage without items is run on, because every stage takes a name.
NO_ITEM = "all"

# Experiments that are about no study or signal, with their descriptions.
DATA = "data"
SUMMARY = "summary"
SELECTION = "model-selection"
NOTES = {
    DATA: "The datasets: raw files, splits and statistics; the signals; the weights and features of frozen networks.",
    SUMMARY: "Every variant of every study in one table, and every configuration of every search in another.",
    SELECTION: "Which variant becomes a version of a registered model, on validation figures only.",
}


class NotMadeYetError(PipelineError):
    """An output is missing because its stage has not run here."""


@dataclass(frozen=True)
class CurvePoint:
    """One value of a curve at an epoch."""

    name: str
    step: int
    value: float


@dataclass(frozen=True)
class Attachment:
    """Files of one artifact folder; `key` changes when their content does."""

    folder: str
    files: tuple[Path, ...]
    key: str


@dataclass(frozen=True)
class Tensor:
    """An array's number type, and its shape after the first dimension, which counts examples."""

    dtype: str
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class DatasetVersion:
    """One split of a dataset as it was used, by the hash of its content."""

    name: str
    digest: str
    num_rows: int
    context: str
    source_kind: str
    source: Mapping[str, str]
    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True)
class ModelFile:
    """A trained `.keras` file, what it takes and what it gives."""

    name: str
    path: Path
    kind: Literal["classifier", "regressor"]
    inputs: Tensor
    outputs: Tensor


class RunContent(TypedDict, total=False):
    """What a run shows, beside what it is of: fields of RunRecord."""

    params: Mapping[str, str]
    metrics: Mapping[str, float]
    curves: tuple[CurvePoint, ...]
    attachments: tuple[Attachment, ...]
    datasets: tuple[DatasetVersion, ...]
    model: ModelFile | None


@dataclass(frozen=True)
class RunRecord:
    """One run as it should be. `time` is in milliseconds since 1970, of when the outputs were written here.

    `children` are runs below it, of parameters, metrics and tags alone.
    """

    experiment: str
    experiment_tags: Mapping[str, str]
    name: str
    key: str
    time: int
    tags: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: tuple[CurvePoint, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    datasets: tuple[DatasetVersion, ...] = ()
    model: ModelFile | None = None
    children: tuple[RunRecord, ...] = ()


def stage_record(
    workspace: Workspace,
    params: Params,
    stage: str,
    item: str,
    /,
    *,
    data: str,
    experiment: str,
    files: Sequence[Path],
    outputs: Iterable[Path] | None = None,
    dated: Iterable[Path] | None = None,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
    **content: Unpack[RunContent],
) -> RunRecord:
    """The run of a stage's item, about a dataset or signal, in the experiment of a study, a signal, or one of NOTES.

    Its key is of `files`; of those `dated`, by default the same, the youngest gives the time. `outputs` are the files
    and folders that dvc.yaml declares, by default the files. `content` are further fields of RunRecord. Raises
    NotMadeYetError when an output is missing.
    """
    return RunRecord(
        experiment=experiment_name(params, data, experiment),
        experiment_tags=experiment_tags(params, data, experiment),
        name=name or stage_name(stage, item),
        key=content_key(workspace.root, files),
        time=time_of(files if dated is None else dated),
        tags={
            **stage_tags(params, stage, item, data=data, experiment=experiment),
            **output_tags(workspace, files if outputs is None else outputs),
            **(tags or {}),
        },
        **content,
    )


def child_record(
    parent: RunRecord, identity: str, *, name: str, tags: Mapping[str, str], params: Mapping[str, str], values: Any
) -> RunRecord:
    """A run below another one, which `identity` distinguishes from the others; `values` hold its metrics by name.

    Its key is of the parent's content and that identity: equal metrics below two parents are two runs.
    """
    return RunRecord(
        experiment=parent.experiment,
        experiment_tags=parent.experiment_tags,
        name=name,
        key=hashlib.sha256(f"{parent.key} {identity}".encode()).hexdigest(),
        time=parent.time,
        tags=tags,
        params=params,
        metrics=flatten.numbers(values),
    )


def content_key(root: Path, outputs: Iterable[Path]) -> str:
    """A hash over the names and contents of files and folders.

    Raises NotMadeYetError when one of them is missing.
    """
    digest = hashlib.sha256()
    for path in files_of(outputs):
        digest.update(f"{path.relative_to(root).as_posix()} {storage.sha256(path)}\n".encode())
    return digest.hexdigest()


def experiment_name(params: Params, data: str, experiment: str) -> str:
    """The experiment of that name for a dataset or signal; what is for demonstration has experiments of its own."""
    return f"{DEMO_FOLDER}{experiment}" if params.is_embedded(data) else experiment


def experiment_tags(params: Params, data: str, experiment: str) -> dict[str, str]:
    """The tags of an experiment: its description, and whether its data are real or for demonstration."""
    note = params.title_of(experiment) if _is_study(params, experiment) else NOTES[experiment]
    return {"mlflow.note.content": note, "data": _origin(params, data)}


def registered_name(params: Params, task: str) -> str:
    """The registered model of a task; demonstration models have names of their own."""
    return f"{DEMO_MODEL}{task}" if params.is_embedded(params.tasks[task].dataset) else task


def stage_name(stage: str, item: str) -> str:
    """A stage's item as DVC names it: STAGE@ITEM, or STAGE alone if it has no items."""
    return stage if item == NO_ITEM else f"{stage}@{item}"


def stage_tags(params: Params, stage: str, item: str, *, data: str, experiment: str) -> dict[str, str]:
    """Tags of the run of a stage's item: which it is, its study or signal, and its data unless those are of several."""
    name = stage_name(stage, item)
    return {
        **({} if item == NO_ITEM else {"dataset": data}),
        **({"study": experiment} if _is_study(params, experiment) else {}),
        "stage": stage,
        "dvc_stage": name,
        "data": _origin(params, data),
        "mlflow.source.name": f"dvc repro {name}",
        "mlflow.source.type": "LOCAL",
    }


def embedded_first(params: Params, datasets: Iterable[str]) -> str:
    """The dataset that decides about a table of several: one for demonstration makes the whole table such a one."""
    names = list(datasets) or list(params.datasets)
    return next((name for name in names if params.is_embedded(name)), names[0])


def output_tags(workspace: Workspace, outputs: Iterable[Path]) -> dict[str, str]:
    """The tag that names the outputs of a run's stage, files and folders as dvc.yaml declares them, by DVC's hashes."""
    hashes = {
        path.relative_to(workspace.root).as_posix(): dvc_lock.hash_of(existing(path))
        for path in sorted(outputs)
        if not path.name.startswith(".")
    }
    return {OUTPUTS: json.dumps(hashes)}


def attachment(workspace: Workspace, folder: str, files: Sequence[Path]) -> Attachment:
    """Files as artifacts of a run, in a folder."""
    return Attachment(folder, tuple(files), content_key(workspace.root, files))


def attachments_of(workspace: Workspace, folder: str, results: Path) -> tuple[Attachment, ...]:
    """The files of a folder of results, those of its subfolders in subfolders of the artifacts."""
    by_parent = groupby(sorted(files_of([results]), key=lambda path: (path.parent, path)), key=lambda path: path.parent)
    return tuple(
        attachment(workspace, "/".join((folder, *parent.relative_to(results).parts)), list(files))
        for parent, files in by_parent
    )


def table_metrics(table: pd.DataFrame, column: str = "variant") -> dict[str, float]:
    """The numbers of a table as `row/column`, rows named by a column; none without that column."""
    if column not in table.columns:
        return {}
    rows = table.dropna(axis="columns", how="all").to_dict("records")
    return {
        name: value
        for row in rows
        for name, value in flatten.numbers({str(row.pop(column)): row}).items()
        # An empty cell.
        if not math.isnan(value)
    }


def damaged(path: Path, expected: str, received: object) -> PipelineError:
    """The error about an output that can be read, but is not as its stage writes it."""
    return PipelineError(
        f"{path}: expected {expected}, got {received}. Delete the file, then run `dvc repro` to make it again."
    )


def entry_of(path: Path, content: Mapping[str, Any], key: str) -> Any:
    """The value of a key of a JSON object that was read from a file. Raises PipelineError naming both."""
    if key not in content:
        raise damaged(path, f"the key {key!r}", f"only {', '.join(map(str, content)) or '(none)'}")
    return content[key]


def existing(path: Path) -> Path:
    """The path of an output. Raises NotMadeYetError when it is missing."""
    if not path.exists():
        raise NotMadeYetError(f"{path}: missing, because its stage has not run here. Run `dvc repro` or `dvc pull`.")
    return path


def files_of(outputs: Iterable[Path]) -> list[Path]:
    """All files of the outputs in a fixed order, without temporary ones. Raises NotMadeYetError when one is missing."""
    files: list[Path] = []
    for output in outputs:
        below = sorted(existing(output).rglob("*")) if output.is_dir() else [existing(output)]
        files += [path for path in below if path.is_file() and not path.name.startswith(".")]
    return files


def time_of(files: Iterable[Path]) -> int:
    """When the youngest of files was written here, in milliseconds since 1970."""
    return int(max(path.stat().st_mtime for path in files) * 1000)


def _origin(params: Params, data: str) -> str:
    return "embedded" if params.is_embedded(data) else "real"


def _is_study(params: Params, experiment: str) -> bool:
    """Whether an experiment is about a study, or a signal, which is its own study."""
    return experiment in params.studies or experiment in params.signals
