"""Records of the data: raw files, weights, splits of datasets and signals, features."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.data import IdxFiles
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.tracking import flatten
from pipeline.tracking.records.record import (
    DatasetVersion,
    RunRecord,
    Tensor,
    attachment,
    content_key,
    damaged,
    existing,
    experiment_name,
    experiment_tags,
    files_of,
    output_tags,
    stage_name,
    stage_tags,
    time_of,
)

DATA_EXPERIMENT = "data"
DATA_NOTE = "The datasets: raw files, splits and statistics; the signals; the weights and features of frozen networks."
CONTEXT_OF_SPLIT = {
    "train": "training",
    "validation": "validation",
    "test": "testing",
    "extended": "extended_testing",
}
DATASET_SPLITS = ("train", "validation", "test")
SIGNAL_SPLITS = (*DATASET_SPLITS, "extended")
FEATURE_SPLITS = ("train", "validation")

IMAGES = Tensor("uint8", (28, 28))
LABELS = Tensor("uint8")
# a, b, c and d.
NUM_WAVE_PARAMETERS = 4
WAVE_PARAMETERS = Tensor("float32", (NUM_WAVE_PARAMETERS,))


def fetch_record(workspace: Workspace, params: Params, source: str) -> RunRecord:
    """The raw files of a source: their sizes, hashes and origin."""
    spec = require(params.sources, source, "source")
    files = files_of([workspace.raw(source)])
    # Whatever dataset is made of it has the same origin.
    users = [name for name, item in params.datasets.items() if item.source == source]
    dataset = next(iter(users or params.datasets))
    return RunRecord(
        experiment=experiment_name(params, dataset, DATA_EXPERIMENT),
        experiment_tags=experiment_tags(params, dataset, DATA_NOTE),
        name=stage_name("fetch", source),
        key=content_key(workspace.root, files),
        time=time_of(files),
        tags={
            **stage_tags(params, dataset, "fetch", source),
            **output_tags(workspace, [workspace.raw(source)]),
        },
        params=flatten.section_params(spec, without=("sha256",)),
        figures={f"bytes/{path.name}": float(path.stat().st_size) for path in files},
    )


def fetch_weights_record(workspace: Workspace, params: Params, name: str) -> RunRecord:
    """The weights of a frozen network: their size, hash and origin."""
    spec = require(params.weights, name, "weights")
    path = existing(workspace.weights(name))
    users = [features.dataset for features in params.features.values() if features.weights == name]
    dataset = next(iter(users or params.datasets))
    return RunRecord(
        experiment=experiment_name(params, dataset, DATA_EXPERIMENT),
        experiment_tags=experiment_tags(params, dataset, DATA_NOTE),
        name=stage_name("fetch_weights", name),
        key=content_key(workspace.root, [path]),
        time=time_of([path]),
        tags={
            **stage_tags(params, dataset, "fetch_weights", name),
            **output_tags(workspace, [path]),
            "weights": spec.kind,
        },
        params={**flatten.section_params(spec), "sha256": storage.sha256(path)},
        figures={"bytes": float(path.stat().st_size)},
    )


def features_record(workspace: Workspace, params: Params, name: str) -> RunRecord:
    """What a frozen network made of a dataset's images: how, and how much of it."""
    spec = require(params.features, name, "features")
    paths = {split: existing(workspace.features(name, split)) for split in FEATURE_SPLITS}
    shapes = {split: array_shape(path, "features") for split, path in paths.items()}
    return RunRecord(
        experiment=experiment_name(params, spec.dataset, DATA_EXPERIMENT),
        experiment_tags=experiment_tags(params, spec.dataset, DATA_NOTE),
        name=stage_name("features", name),
        key=content_key(workspace.root, paths.values()),
        time=time_of(paths.values()),
        tags={
            **stage_tags(params, spec.dataset, "features", name),
            **output_tags(workspace, paths.values()),
            "weights": params.weights[spec.weights].kind,
        },
        params={
            **flatten.section_params(spec),
            **{f"shape.{split}": " x ".join(map(str, shape)) for split, shape in shapes.items()},
        },
        figures={
            **{f"num_examples/{split}": float(shape[0]) for split, shape in shapes.items()},
            **{f"bytes/{path.name}": float(path.stat().st_size) for path in paths.values()},
        },
        datasets=dataset_versions(workspace, params, spec.dataset, FEATURE_SPLITS),
    )


def prepare_record(workspace: Workspace, params: Params, dataset: str) -> RunRecord:
    """The splits of a dataset: statistics, pictures and digests."""
    spec = require(params.datasets, dataset, "dataset")
    described = {
        "title": spec.title,
        "source": spec.source,
        **({"keep": ", ".join(map(str, spec.keep))} if spec.keep else {}),
        **flatten.section_params(spec.split),
    }
    return _splits_record(workspace, params, dataset, "prepare", DATASET_SPLITS, described)


def generate_record(workspace: Workspace, params: Params, signal: str) -> RunRecord:
    """The rows of a signal: statistics, pictures and digests."""
    spec = require(params.signals, signal, "signal")
    described = {
        **flatten.section_params(spec, without=("example", "extended")),
        "example": ", ".join(map(str, spec.example)),
        "num_extended": str(len(spec.extended)),
    }
    return _splits_record(workspace, params, signal, "generate", SIGNAL_SPLITS, described)


def _splits_record(
    workspace: Workspace, params: Params, data: str, stage: str, splits: tuple[str, ...], described: Mapping[str, str]
) -> RunRecord:
    results = workspace.dataset_results(data)
    statistics = storage.read_json(existing(results / "statistics.json"))
    files = files_of([results])
    outputs = [*(workspace.prepared(data, split) for split in splits), *files]
    return RunRecord(
        experiment=experiment_name(params, data, DATA_EXPERIMENT),
        experiment_tags=experiment_tags(params, data, DATA_NOTE),
        name=stage_name(stage, data),
        key=content_key(workspace.root, outputs),
        time=time_of(files),
        tags={**stage_tags(params, data, stage, data), **output_tags(workspace, outputs)},
        params=described,
        figures=flatten.numbers(statistics),
        attachments=(attachment(workspace, "data", files),),
        datasets=dataset_versions(workspace, params, data, splits),
    )


def dataset_versions(
    workspace: Workspace, params: Params, data: str, splits: tuple[str, ...]
) -> tuple[DatasetVersion, ...]:
    """The named splits of a dataset or signal with the digests that its stage computed; none if it has not run here."""
    path = workspace.dataset_results(data) / "statistics.json"
    if not path.is_file():
        return ()
    statistics = storage.read_json(path)
    source_kind, source = _source(params, data)
    inputs, targets = tensors(params, data)
    return tuple(
        DatasetVersion(
            name=f"{data}-{split}",
            digest=_of_split(path, statistics, "sha256", split),
            num_rows=_of_split(path, statistics, "num_examples", split),
            context=CONTEXT_OF_SPLIT[split],
            source_kind=source_kind,
            source=source,
            inputs=inputs,
            targets=targets,
        )
        for split in splits
    )


def tensors(params: Params, data: str) -> tuple[Tensor, Tensor]:
    """The inputs and targets of a dataset or signal."""
    if data in params.signals:
        return Tensor("float32", (params.signals[data].num_points,)), WAVE_PARAMETERS
    return IMAGES, LABELS


def array_shape(path: Path, name: str) -> tuple[int, ...]:
    """The shape of an array of an .npz, from its header alone: the features of a dataset are hundreds of megabytes.

    Raises PipelineError when the file is damaged or has no such array.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
            version = np.lib.format.read_magic(member)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape: tuple[int, ...] = read(member)[0]
            return shape
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise damaged(path, f"a NumPy archive with {name}", f"none ({error})") from error


def _source(params: Params, data: str) -> tuple[str, dict[str, str]]:
    if data in params.signals:
        return "code", {"waves": "a sin(b x) + c cos(d x)", "seed": str(params.signals[data].seed)}
    source = params.source_of(data)
    if isinstance(source, IdxFiles):
        return "http", {"url": source.urls[0]}
    return "code", {"images": source.images}


def _of_split(path: Path, statistics: Mapping[str, Any], section: str, split: str) -> Any:
    values = statistics.get(section)
    if not isinstance(values, Mapping) or split not in values:
        raise damaged(path, f"{section}.{split}", "none")
    return values[split]
