"""Make training, validation and test arrays of raw IDX files, with statistics and plots."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.data import Dataset
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.data import idx, preprocessing
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.plots import data as plots

IMAGE_SHAPE = (28, 28)

# Images (n, 28, 28) and labels (n,), both uint8.
Examples = tuple[np.ndarray, np.ndarray]


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Check a dataset's raw files, split off validation images, describe and plot both."""
    dataset = require(params.datasets, name, "dataset")
    raw = workspace.raw(dataset.source)
    published, published_labels = _read(raw, idx.TRAIN_IMAGES, idx.TRAIN_LABELS, dataset)
    test = _read(raw, idx.TEST_IMAGES, idx.TEST_LABELS, dataset)
    if max(dataset.shown) >= len(published):
        key = "example" if dataset.example == max(dataset.shown) else "further_examples"
        raise PipelineError(
            f"params/data.yaml: datasets.{name}.{key}: expected a training image's index, below "
            f"{len(published):,}, got {max(dataset.shown):,}. Lower it."
        )
    splits = {**_split((published, published_labels), dataset, f"datasets.{name}"), "test": test}
    for split, (images, labels) in splits.items():
        storage.write_arrays(workspace.prepared(name, split), images=images, labels=labels)
    labels_shown = [int(published_labels[index]) for index in dataset.shown]
    folder = workspace.dataset_results(name)
    statistics = describe(dataset, splits, labels_shown)
    storage.write_json(folder / "statistics.json", statistics)
    _draw(folder, dataset, splits["train"], published[dataset.example], statistics)


def describe(dataset: Dataset, splits: dict[str, Examples], labels_shown: list[int]) -> dict[str, Any]:
    """What statistics.json holds. Of the test images only the number, class counts and digest."""
    num_classes = len(dataset.classes)
    example, *further = [
        {
            "index": index,
            "label": label,
            "class": dataset.classes[label],
            "one_hot": preprocessing.one_hot(label, num_classes).tolist(),
        }
        for index, label in zip(dataset.shown, labels_shown, strict=True)
    ]
    return {
        "title": dataset.title,
        "image_shape": list(IMAGE_SHAPE),
        "num_examples": {split: len(labels) for split, (_, labels) in splits.items()},
        "class_counts": {
            split: dict(zip(dataset.classes, preprocessing.class_counts(labels, num_classes).tolist(), strict=True))
            for split, (_, labels) in splits.items()
        },
        "train_pixels": preprocessing.pixel_statistics(splits["train"][0]),
        "sha256": {split: preprocessing.digest(*examples) for split, examples in splits.items()},
        "example": example,
        **({"further_examples": further} if further else {}),
    }


def _read(folder: Path, images_name: str, labels_name: str, dataset: Dataset) -> Examples:
    """The images of one pair of files that belong to the dataset, with its own labels."""
    images_path, labels_path = folder / images_name, folder / labels_name
    images, labels = idx.read(images_path, rank=3), idx.read(labels_path, rank=1)
    remedy = "Delete the folder, then run `dvc repro` to fetch it again."
    if images.shape[1:] != IMAGE_SHAPE:
        raise PipelineError(
            f"{images_path}: expected images of {IMAGE_SHAPE}, got {images.shape[1:]}. Name a source of such images in "
            "params/data.yaml, or bring yours to this size."
        )
    if len(images) != len(labels):
        raise PipelineError(
            f"{labels_path}: expected {len(images):,} labels, one per image of {images_path.name}, "
            f"got {len(labels):,}. {remedy}"
        )
    _check_labels(labels, labels_path, dataset, remedy)
    return preprocessing.kept(images, labels, dataset.keep) if dataset.keep else (images, labels)


def _check_labels(labels: np.ndarray, path: Path, dataset: Dataset, remedy: str) -> None:
    present = np.unique(labels)
    received = f"got {', '.join(map(str, present)) or '(none)'}. {remedy}"
    if dataset.keep and not np.isin(dataset.keep, present).all():
        raise PipelineError(f"{path}: expected the labels {', '.join(map(str, dataset.keep))} among others, {received}")
    if not dataset.keep and not np.array_equal(present, np.arange(len(dataset.classes))):
        raise PipelineError(
            f"{path}: expected every label from 0 to {len(dataset.classes) - 1} (the classes in params/data.yaml), "
            f"no other, {received}"
        )


def _split(published: Examples, dataset: Dataset, key: str) -> dict[str, Examples]:
    images, labels = published
    try:
        train, validation = preprocessing.stratified_split(
            labels, dataset.split.validation_size, dataset.split.seed, dataset.split.train_size
        )
    except PipelineError as error:
        raise PipelineError(f"params/data.yaml: {key}.{error}") from None
    return {"train": (images[train], labels[train]), "validation": (images[validation], labels[validation])}


def _draw(folder: Path, dataset: Dataset, train: Examples, image: np.ndarray, statistics: dict[str, Any]) -> None:
    images, labels = train
    shown = images[preprocessing.first_of_each_class(labels, len(dataset.classes))]
    storage.write_figure(folder / "examples.png", plots.examples(shown, dataset.classes))
    counts = {split: np.array(list(by_class.values())) for split, by_class in statistics["class_counts"].items()}
    storage.write_figure(folder / "class_counts.png", plots.class_counts(counts, dataset.classes))
    example = statistics["example"]
    title = f"training image {example['index']}: {example['class']}"
    caption = f"label {example['label']}, one-hot {example['one_hot']}"
    storage.write_figure(folder / "example.png", plots.example(image, title=title, caption=caption))
