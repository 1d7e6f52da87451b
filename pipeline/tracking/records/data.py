"""Records of the data: raw files, weights, splits of datasets and signals, features."""

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pipeline.config.data import IdxFiles
from pipeline.config.params import Params
from pipeline.evaluation import result_files
from pipeline.evaluation.result_files import DataStatistics
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.tracking import flatten
from pipeline.tracking.records.outputs import damaged, existing, files_of
from pipeline.tracking.records.record import DATA, DatasetVersion, RunRecord, StageItem, Tensor

CONTEXT_OF_SPLIT = {"train": "training", "validation": "validation", "test": "testing", "extended": "extended_testing"}
DATASET_SPLITS: tuple[str, ...] = ("train", "validation", "test")
SIGNAL_SPLITS: tuple[str, ...] = (*DATASET_SPLITS, "extended")
FEATURE_SPLITS = ("train", "validation")

IMAGES = Tensor("uint8", (28, 28))
LABELS = Tensor("uint8")
# a, b, c and d.
WAVE_PARAMETERS = Tensor("float32", (4,))


def fetch_record(workspace: Workspace, params: Params, source: str) -> RunRecord:
    """The raw files of a source: their sizes, hashes and origin."""
    folder = workspace.raw(source)
    files = files_of([folder])
    # Whatever dataset is made of it has the same origin.
    users = [name for name, item in params.datasets.items() if item.source == source]
    return StageItem(workspace, params, "fetch", source, next(iter(users or params.datasets)), DATA).record(
        files,
        outputs=[folder],
        params=flatten.section_params(params.sources[source], without=("sha256",)),
        metrics=_sizes(files),
    )


def fetch_weights_record(workspace: Workspace, params: Params, name: str) -> RunRecord:
    """The weights of a frozen network: their size, hash and origin."""
    spec = params.weights[name]
    path = existing(workspace.weights(name))
    users = [features.dataset for features in params.features.values() if features.weights == name]
    return StageItem(workspace, params, "fetch_weights", name, next(iter(users or params.datasets)), DATA).record(
        [path],
        tags={"weights": spec.kind},
        params={**flatten.section_params(spec), "sha256": storage.sha256(path)},
        metrics={"bytes": float(path.stat().st_size)},
    )


def features_record(workspace: Workspace, params: Params, name: str) -> RunRecord:
    """What a frozen network made of a dataset's images: how, and how much of it."""
    spec = params.features[name]
    paths = {split: existing(workspace.features(name, split)) for split in FEATURE_SPLITS}
    shapes = {split: _shape_of_features(path) for split, path in paths.items()}
    return StageItem(workspace, params, "features", name, spec.dataset, DATA).record(
        list(paths.values()),
        tags={"weights": params.weights[spec.weights].kind},
        params={
            **flatten.section_params(spec),
            **{f"shape.{split}": " x ".join(map(str, shape)) for split, shape in shapes.items()},
        },
        metrics={
            **{f"num_examples/{split}": float(shape[0]) for split, shape in shapes.items()},
            **_sizes(paths.values()),
        },
        datasets=dataset_versions(workspace, params, spec.dataset, FEATURE_SPLITS),
    )


def splits_record(workspace: Workspace, params: Params, data: str) -> RunRecord:
    """The splits of a dataset or signal: statistics, plots and digests."""
    if data in params.signals:
        signal, stage, splits = params.signals[data], "generate", SIGNAL_SPLITS
        described = flatten.section_params(signal, without=("example", "extended"))
        described |= {"example": ", ".join(map(str, signal.example)), "num_extended": str(len(signal.extended))}
    else:
        dataset, stage, splits = params.datasets[data], "prepare", DATASET_SPLITS
        kept = {"keep": ", ".join(map(str, dataset.keep))} if dataset.keep else {}
        drawn = flatten.section_params(dataset.split)
        described = {"title": dataset.title, "source": dataset.source, **kept, **drawn}
    results = workspace.dataset_results(data)
    statistics = storage.read_json(existing(results / "statistics.json"))
    files = files_of([results])
    return StageItem(workspace, params, stage, data, data, DATA).record(
        [*(workspace.prepared(data, split) for split in splits), *files],
        dated=files,
        folder="data",
        params=described,
        metrics=flatten.numbers(statistics),
        datasets=dataset_versions(workspace, params, data, splits),
    )


def dataset_versions(
    workspace: Workspace, params: Params, data: str, splits: Sequence[str]
) -> tuple[DatasetVersion, ...]:
    """The named splits of a dataset or signal with the digests that its stage computed; none if it has not run here."""
    path = workspace.dataset_results(data) / "statistics.json"
    if not path.is_file():
        return ()
    statistics = result_files.read(path, DataStatistics)
    for section, values in statistics:
        for split in splits:
            if split not in values:
                raise damaged(path, f"{section}.{split}", "none")
    source_kind, source = _source(params, data)
    inputs, targets, _ = tensors(params, data)
    return tuple(
        DatasetVersion(
            name=f"{data}-{split}",
            digest=statistics.sha256[split],
            num_rows=statistics.num_examples[split],
            context=CONTEXT_OF_SPLIT[split],
            source_kind=source_kind,
            source=source,
            inputs=inputs,
            targets=targets,
        )
        for split in splits
    )


def tensors(params: Params, data: str) -> tuple[Tensor, Tensor, Tensor]:
    """The inputs and targets of a dataset or signal, and what a model on it gives."""
    if data in params.signals:
        return Tensor("float32", (params.signals[data].num_points,)), WAVE_PARAMETERS, WAVE_PARAMETERS
    return IMAGES, LABELS, Tensor("float32", (len(params.datasets[data].classes),))


def _shape_of_features(path: Path) -> tuple[int, ...]:
    """From the array's header alone: the features of a dataset are hundreds of megabytes."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("features.npy") as member:
            # NumPy gives arrays of numbers no other version.
            np.lib.format.read_magic(member)
            return np.lib.format.read_array_header_1_0(member)[0]
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise damaged(path, "a NumPy archive with features", f"none ({error})") from error


def _source(params: Params, data: str) -> tuple[str, dict[str, str]]:
    if data in params.signals:
        return "code", {"waves": "a sin(b x) + c cos(d x)", "seed": str(params.signals[data].seed)}
    source = params.source_of(data)
    if isinstance(source, IdxFiles):
        return "http", {"url": source.urls[0]}
    return "code", {"images": source.images}


def _sizes(files: Iterable[Path]) -> dict[str, float]:
    return {f"bytes/{path.name}": float(path.stat().st_size) for path in files}
