"""What MLflow should hold, read from the outputs of the stages. Nothing here knows MLflow.

A record is a function of the files on disk and of params.yaml alone, so that a deleted database comes back the same.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import storage
from pipeline.errors import PipelineError
from pipeline.params import Dataset, IdxFiles, Params, VariantBase, require
from pipeline.paths import Workspace
from pipeline.tracking import flatten

DEMO_FOLDER = "demo/"
DEMO_MODEL = "demo-"
DATA_EXPERIMENT = "data"
DATA_NOTE = "The datasets: raw files, splits and statistics."
SELECTION_EXPERIMENT = "model-selection"
SELECTION_NOTE = "Which variant becomes a version of a registered model, on validation figures only."
SUMMARY_EXPERIMENT = "summary"
SUMMARY_NOTE = "Every variant of every study in one table."

# MLflow's UI draws no more than 320 points of a curve, and a point costs 0.1 ms to log: 7 of them for each of 1,000
# epochs of 5 ms would be 15 % of the training time. Longer runs log every n-th epoch; history.csv has them all.
MAX_CURVE_POINTS = 250

# DVC's names of the stages that train.
STAGE_OF_GROUP = {"variants": "train", "warm_started": "warm_start"}

CONTEXT_OF_SPLIT = {"train": "training", "validation": "validation", "test": "testing"}


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
class DatasetVersion:
    """One split of a dataset as it was used, by the hash of its content."""

    name: str
    digest: str
    num_rows: int
    context: str
    source_kind: str
    source: Mapping[str, str]


@dataclass(frozen=True)
class ModelFile:
    """A trained `.keras` file and what it gives."""

    name: str
    path: Path
    num_classes: int


@dataclass(frozen=True)
class RunRecord:
    """One run as it should be. `time` is in milliseconds since 1970, of when the outputs were written here."""

    experiment: str
    experiment_tags: Mapping[str, str]
    name: str
    key: str
    time: int
    tags: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    curves: tuple[CurvePoint, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    datasets: tuple[DatasetVersion, ...] = ()
    model: ModelFile | None = None


def content_key(root: Path, outputs: Iterable[Path]) -> str:
    """A hash over the names and contents of files and folders.

    Raises NotMadeYetError when one of them is missing.
    """
    digest = hashlib.sha256()
    for path in _files(outputs):
        digest.update(f"{path.relative_to(root).as_posix()} {storage.sha256(path)}\n".encode())
    return digest.hexdigest()


def is_embedded(params: Params, dataset: str) -> bool:
    """Whether a dataset is made for demonstration, so that its figures must not mix with real ones."""
    return not isinstance(params.datasets[dataset].source, IdxFiles)


def experiment_name(params: Params, dataset: str, name: str) -> str:
    return f"{DEMO_FOLDER}{name}" if is_embedded(params, dataset) else name


def registered_name(params: Params, task: str) -> str:
    """The registered model of a task; demonstration models have names of their own."""
    return f"{DEMO_MODEL}{task}" if is_embedded(params, params.tasks[task].dataset) else task


def experiment_tags(params: Params, dataset: str, note: str) -> dict[str, str]:
    return {"mlflow.note.content": note, "data": _origin(params, dataset)}


def stage_name(stage: str, item: str) -> str:
    return f"{stage}@{item}"


def fetch_record(workspace: Workspace, params: Params, dataset: str) -> RunRecord:
    """The raw files of a dataset: their sizes, hashes and origin."""
    spec: Dataset = require(params.datasets, dataset, "dataset")
    files = _files([workspace.raw(dataset)])
    return RunRecord(
        experiment=experiment_name(params, dataset, DATA_EXPERIMENT),
        experiment_tags=experiment_tags(params, dataset, DATA_NOTE),
        name=stage_name("fetch", dataset),
        key=content_key(workspace.root, files),
        time=_time(files),
        tags=_tags(params, dataset, "fetch", dataset),
        params=flatten.section_params(spec.source, without=("sha256",)),
        figures={f"bytes/{path.name}": float(path.stat().st_size) for path in files},
    )


def prepare_record(workspace: Workspace, params: Params, dataset: str) -> RunRecord:
    """The splits of a dataset: statistics, pictures and digests."""
    spec: Dataset = require(params.datasets, dataset, "dataset")
    results = workspace.dataset_results(dataset)
    splits = [workspace.prepared(dataset, split) for split in CONTEXT_OF_SPLIT]
    statistics = storage.read_json(_existing(results / "statistics.json"))
    files = _files([results])
    return RunRecord(
        experiment=experiment_name(params, dataset, DATA_EXPERIMENT),
        experiment_tags=experiment_tags(params, dataset, DATA_NOTE),
        name=stage_name("prepare", dataset),
        key=content_key(workspace.root, [*splits, *files]),
        time=_time(files),
        tags=_tags(params, dataset, "prepare", dataset),
        params={"title": spec.title, **flatten.section_params(spec.split)},
        figures=flatten.numbers(statistics),
        attachments=(_attachment(workspace, "data", files),),
        datasets=dataset_versions(workspace, params, dataset, tuple(CONTEXT_OF_SPLIT)),
    )


def variant_records(workspace: Workspace, params: Params, name: str) -> list[RunRecord]:
    """A trained variant's run in each study that lists it."""
    variant: VariantBase = require(params.all_variants, name, "variant")
    return [variant_record(workspace, params, name, study) for study in variant.studies]


def variant_record(workspace: Workspace, params: Params, name: str, study: str) -> RunRecord:
    """A trained variant: parameters, curves, figures and model, and its evaluation if it is of this very model."""
    variant: VariantBase = require(params.all_variants, name, "variant")
    results, model = workspace.training_results(name, variant), workspace.model(name, variant)
    files = _files([results])
    metrics = storage.read_json(_existing(results / "metrics.json"))
    history = storage.read_table(_existing(results / "history.csv"))
    evaluation = _evaluation(workspace, name, study, _existing(model))
    splits = ("train", "validation") if evaluation is None else tuple(CONTEXT_OF_SPLIT)
    return RunRecord(
        experiment=experiment_name(params, variant.dataset, study),
        experiment_tags=experiment_tags(params, variant.dataset, params.studies[study].title),
        name=name,
        key=content_key(workspace.root, [model, *files]),
        time=_time([results / "metrics.json"]),
        tags=variant_tags(params, name, study),
        params={
            **variant_params(params, name),
            **{f"parameters.{kind}": str(count) for kind, count in metrics["parameters"].items()},
        },
        figures={**_training_figures(metrics), **(evaluation.figures if evaluation else {})},
        curves=curve_points(history),
        attachments=(
            _attachment(workspace, "training", files),
            *((evaluation.attachment,) if evaluation else ()),
        ),
        datasets=dataset_versions(workspace, params, variant.dataset, splits),
        model=ModelFile(name, model, num_classes=len(params.datasets[variant.dataset].classes)),
    )


def variant_params(params: Params, name: str) -> dict[str, str]:
    """What params.yaml says of a variant, as MLflow parameters."""
    variant = params.all_variants[name]
    return {
        **flatten.section_params(variant, without=("study", "also_in")),
        **flatten.section_params(params.compute),
    }


def variant_tags(params: Params, name: str, study: str) -> dict[str, str]:
    variant = params.all_variants[name]
    stage = STAGE_OF_GROUP[params.variant_group(name)]
    return {**_tags(params, variant.dataset, stage, name), "study": study, "variant": name}


def evaluation_records(workspace: Workspace, params: Params, study: str) -> list[RunRecord]:
    """The evaluation of a study, and the variants that it makes complete."""
    record = evaluation_record(workspace, params, study)
    return [record, *(variant_record(workspace, params, name, study) for name in params.variants_of(study))]


def evaluation_record(workspace: Workspace, params: Params, study: str) -> RunRecord:
    """The test figures of all variants of a study side by side."""
    spec = require(params.studies, study, "study")
    results = workspace.evaluation(study)
    metrics = storage.read_json(_existing(results / "metrics.json"))
    return RunRecord(
        experiment=experiment_name(params, spec.dataset, study),
        experiment_tags=experiment_tags(params, spec.dataset, spec.title),
        name=stage_name("evaluate", study),
        key=content_key(workspace.root, [results, workspace.predictions(study)]),
        time=_time([results / "metrics.json"]),
        tags={**_tags(params, spec.dataset, "evaluate", study), "study": study},
        figures=flatten.numbers(metrics),
        attachments=(_attachment(workspace, "evaluation", [results / "metrics.json"]),),
        datasets=dataset_versions(workspace, params, spec.dataset, ("test",)),
    )


def comparison_record(workspace: Workspace, params: Params, study: str) -> RunRecord:
    """The ranking of a study and its pictures."""
    spec = require(params.studies, study, "study")
    results = workspace.comparison(study)
    ranking = storage.read_table(_existing(results / "ranking.csv"))
    files = _files([results])
    return RunRecord(
        experiment=experiment_name(params, spec.dataset, study),
        experiment_tags=experiment_tags(params, spec.dataset, spec.title),
        name=stage_name("compare", study),
        key=content_key(workspace.root, files),
        time=_time(files),
        tags={**_tags(params, spec.dataset, "compare", study), "study": study},
        figures=_table_figures(ranking),
        attachments=(_attachment(workspace, "comparison", files),),
    )


def selection_record(workspace: Workspace, params: Params, task: str) -> RunRecord:
    """Which variant was selected for a task, by which rule, and why."""
    spec = require(params.tasks, task, "task")
    path = _existing(workspace.selection(task))
    selection = storage.read_json(path)
    chosen = _selected_candidate(path, selection)
    return RunRecord(
        experiment=experiment_name(params, spec.dataset, SELECTION_EXPERIMENT),
        experiment_tags=experiment_tags(params, spec.dataset, SELECTION_NOTE),
        name=stage_name("register", task),
        key=content_key(workspace.root, [path]),
        time=_time([path]),
        tags={
            **_tags(params, spec.dataset, "register", task),
            "task": task,
            "registered_model": registered_name(params, task),
            "mlflow.note.content": str(selection["reason"]),
        },
        params={
            "selected": str(selection["selected"]),
            **{key: str(selection[key]) for key in ("metric", "tolerance", "prefer_fewer_parameters")},
        },
        figures={"num_candidates": float(len(selection["candidates"])), **flatten.numbers(chosen)},
        attachments=(_attachment(workspace, "selection", [path]),),
    )


def summary_record(workspace: Workspace, params: Params) -> RunRecord:
    """The table of all variants of all studies."""
    # A single embedded dataset makes the whole table one that must not mix with real figures.
    dataset = next((name for name in params.datasets if is_embedded(params, name)), next(iter(params.datasets)))
    path = _existing(workspace.variants_table)
    table = storage.read_table(path)
    return RunRecord(
        experiment=experiment_name(params, dataset, SUMMARY_EXPERIMENT),
        experiment_tags=experiment_tags(params, dataset, SUMMARY_NOTE),
        name="summarize",
        key=content_key(workspace.root, [path]),
        time=_time([path]),
        tags={
            "stage": "summarize",
            "dvc_stage": "summarize",
            "data": _origin(params, dataset),
            "mlflow.source.name": "dvc repro summarize",
            "mlflow.source.type": "LOCAL",
        },
        figures={
            "num_rows": float(len(table)),
            "num_variants": float(table["variant"].nunique()),
            "num_studies": float(table["study"].nunique()),
        },
        attachments=(_attachment(workspace, "summary", [path]),),
    )


def dataset_versions(
    workspace: Workspace, params: Params, dataset: str, splits: tuple[str, ...]
) -> tuple[DatasetVersion, ...]:
    """The named splits with the digests that `prepare` computed; none if it has not run here."""
    path = workspace.dataset_results(dataset) / "statistics.json"
    if not path.is_file():
        return ()
    statistics = storage.read_json(path)
    source = params.datasets[dataset].source
    return tuple(
        DatasetVersion(
            name=f"{dataset}-{split}",
            digest=statistics["sha256"][split],
            num_rows=statistics["num_examples"][split],
            context=CONTEXT_OF_SPLIT[split],
            source_kind="http" if isinstance(source, IdxFiles) else "code",
            source={"url": source.urls[0]} if isinstance(source, IdxFiles) else {"images": source.images},
        )
        for split in splits
    )


def curve_points(history: pd.DataFrame) -> tuple[CurvePoint, ...]:
    """The curves of history.csv, thinned like those of a live run."""
    num_epochs = len(history)
    return tuple(
        CurvePoint(str(name), int(row["epoch"]), float(row[name]))
        for row in history.to_dict("records")
        if is_logged(int(row["epoch"]), num_epochs)
        for name in history.columns
        if name != "epoch"
    )


def is_logged(epoch: int, num_epochs: int) -> bool:
    """Whether an epoch (from 1) is a point of the curves in MLflow: the last one always is."""
    stride = -(-num_epochs // MAX_CURVE_POINTS)
    return (num_epochs - epoch) % stride == 0


def _selected_candidate(path: Path, selection: Mapping[str, Any]) -> Mapping[str, Any]:
    for candidate in selection["candidates"]:
        if candidate["variant"] == selection["selected"]:
            return dict(candidate)
    raise PipelineError(
        f"{path}: expected {selection['selected']!r} among the candidates, got none of that name. "
        "Delete the file, then run `dvc repro` to make it again."
    )


@dataclass(frozen=True)
class _Evaluation:
    figures: dict[str, float]
    attachment: Attachment


def _evaluation(workspace: Workspace, name: str, study: str, model: Path) -> _Evaluation | None:
    """The evaluation of a variant; None if there is none, or if it is of a model that was since trained anew."""
    path = workspace.evaluation(study) / "metrics.json"
    if not path.is_file():
        return None
    figures = storage.read_json(path).get(name)
    if figures is None or figures["model_sha256"] != storage.sha256(model):
        return None
    files = _files([workspace.evaluation_details(study, name)])
    attachment = _attachment(workspace, "evaluation", files)
    key = hashlib.sha256(f"{sorted(figures.items())} {attachment.key}".encode()).hexdigest()
    return _Evaluation(
        {f"test_{figure}": value for figure, value in flatten.numbers(figures).items()},
        Attachment(attachment.folder, attachment.files, key),
    )


def _training_figures(metrics: dict[str, dict[str, dict[str, float]]]) -> dict[str, float]:
    best = {
        **{f"best_val_{name}": value for name, value in metrics["validation"]["best"].items()},
        **{f"best_train_{name}": value for name, value in metrics["train"]["best"].items()},
    }
    evaluated = {f"train_evaluated_{name}": value for name, value in metrics["train_evaluated"].items()}
    return flatten.numbers({**best, **evaluated, "best_epoch": metrics["best_epoch"], "epochs": metrics["epochs"]})


def _table_figures(table: pd.DataFrame) -> dict[str, float]:
    if "variant" not in table.columns:
        return {}
    rows = table.dropna(axis="columns", how="all").to_dict("records")
    return {
        name: value
        for row in rows
        for name, value in flatten.numbers({str(row.pop("variant")): row}).items()
        # A cell without a figure.
        if not math.isnan(value)
    }


def _tags(params: Params, dataset: str, stage: str, item: str) -> dict[str, str]:
    return {
        "dataset": dataset,
        "stage": stage,
        "dvc_stage": stage_name(stage, item),
        "data": _origin(params, dataset),
        "mlflow.source.name": f"dvc repro {stage_name(stage, item)}",
        "mlflow.source.type": "LOCAL",
    }


def _origin(params: Params, dataset: str) -> str:
    return "embedded" if is_embedded(params, dataset) else "real"


def _attachment(workspace: Workspace, folder: str, files: list[Path]) -> Attachment:
    return Attachment(folder, tuple(files), content_key(workspace.root, files))


def _existing(path: Path) -> Path:
    if not path.exists():
        raise NotMadeYetError(f"{path}: missing, because its stage has not run here. Run `dvc repro` or `dvc pull`.")
    return path


def _files(outputs: Iterable[Path]) -> list[Path]:
    """All files of the outputs in a fixed order, without temporary ones."""
    files: list[Path] = []
    for output in outputs:
        below = sorted(_existing(output).rglob("*")) if output.is_dir() else [_existing(output)]
        files += [path for path in below if path.is_file() and not path.name.startswith(".")]
    return files


def _time(files: Iterable[Path]) -> int:
    return int(max(path.stat().st_mtime for path in files) * 1000)
