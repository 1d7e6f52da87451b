from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline.config.params import Params
from pipeline.data import idx, preprocessing
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.stages import prepare

SPLITS = ("train", "validation", "test")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Raw files of 40 training and 20 test images of two classes; every image is unlike any other."""
    workspace = Workspace(tmp_path)
    rng = np.random.default_rng(0)
    write_raw(
        workspace,
        train_images=rng.integers(0, 256, (40, 28, 28), dtype=np.uint8),
        train_labels=np.arange(40, dtype=np.uint8) % 4 // 3,
        test_images=rng.integers(0, 256, (20, 28, 28), dtype=np.uint8),
        test_labels=np.arange(20, dtype=np.uint8) % 2,
    )
    return workspace


def write_raw(workspace: Workspace, **arrays: np.ndarray) -> None:
    names = {
        "train_images": idx.TRAIN_IMAGES,
        "train_labels": idx.TRAIN_LABELS,
        "test_images": idx.TEST_IMAGES,
        "test_labels": idx.TEST_LABELS,
    }
    for key, array in arrays.items():
        idx.write(workspace.raw("drawn") / names[key], array)


def params_with(**changes: Any) -> Params:
    dataset = {
        "title": "Tiny",
        "source": "drawn",
        "demonstration": True,
        "classes": ["no", "yes"],
        "split": {"validation_size": 8, "seed": 0},
        "example": 3,
        **changes,
    }
    source = {"kind": "embedded", "images": "digits", "train_size": 40, "test_size": 20, "seed": 0}
    content = {"compute": {"seed": 0, "threads": 1}, "studies": {}, "tasks": {}, "variants": {}}
    return Params.model_validate({**content, "sources": {"drawn": source}, "datasets": {"tiny": dataset}})


def prepared(workspace: Workspace) -> dict[str, tuple[np.ndarray, ...]]:
    return {split: storage.read_arrays(workspace.prepared("tiny", split), "images", "labels") for split in SPLITS}


def test_splits_hold_every_raw_image_once_with_its_label(workspace: Workspace) -> None:
    prepare.main(workspace, params_with(), "tiny")
    splits = prepared(workspace)
    assert {split: images.shape for split, (images, _) in splits.items()} == {
        "train": (32, 28, 28),
        "validation": (8, 28, 28),
        "test": (20, 28, 28),
    }
    raw_images = idx.read(workspace.raw("drawn") / idx.TRAIN_IMAGES, rank=3)
    raw_labels = idx.read(workspace.raw("drawn") / idx.TRAIN_LABELS, rank=1)
    pairs = {(image.tobytes(), int(label)) for split in SPLITS[:2] for image, label in zip(*splits[split], strict=True)}
    assert pairs == {(image.tobytes(), int(label)) for image, label in zip(raw_images, raw_labels, strict=True)}
    np.testing.assert_array_equal(splits["test"][0], idx.read(workspace.raw("drawn") / idx.TEST_IMAGES, rank=3))
    assert {array.dtype for arrays in splits.values() for array in arrays} == {np.dtype(np.uint8)}


def test_statistics(workspace: Workspace) -> None:
    prepare.main(workspace, params_with(), "tiny")
    splits = prepared(workspace)
    statistics = storage.read_json(workspace.dataset_results("tiny") / "statistics.json")
    train_images = splits["train"][0]
    assert statistics.pop("train_pixels") == pytest.approx({"mean": train_images.mean(), "std": train_images.std()})
    assert statistics == {
        "title": "Tiny",
        "image_shape": [28, 28],
        "num_examples": {"train": 32, "validation": 8, "test": 20},
        "class_counts": {
            "train": {"no": 24, "yes": 8},
            "validation": {"no": 6, "yes": 2},
            "test": {"no": 10, "yes": 10},
        },
        "sha256": {split: preprocessing.digest(*arrays) for split, arrays in splits.items()},
        "example": {"index": 3, "label": 1, "class": "yes", "one_hot": [0, 1]},
    }


@pytest.mark.parametrize("index", [0, 3, 39])
def test_the_example_is_counted_in_the_published_order(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    drawn: list[tuple[np.ndarray, str, str]] = []

    def example(image: np.ndarray, *, title: str, caption: str) -> Figure:
        drawn.append((image, title, caption))
        return Figure()

    monkeypatch.setattr("pipeline.plots.data.example", example)
    prepare.main(workspace, params_with(example=index), "tiny")
    ((image, title, caption),) = drawn
    np.testing.assert_array_equal(image, idx.read(workspace.raw("drawn") / idx.TRAIN_IMAGES, rank=3)[index])
    label = int(index % 4 == 3)
    assert title == f"training image {index}: {['no', 'yes'][label]}"
    assert caption == f"label {label}, one-hot {[[1, 0], [0, 1]][label]}"


def test_same_bytes_every_time(workspace: Workspace) -> None:
    folders = [workspace.root / "data" / "prepared", workspace.root / "results"]

    def outputs() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}

    prepare.main(workspace, params_with(), "tiny")
    first = outputs()
    assert sorted(Path(path).name for path in first) == [
        "class_counts.png",
        "example.png",
        "examples.png",
        "statistics.json",
        "test.npz",
        "train.npz",
        "validation.npz",
    ]
    for folder in folders:
        shutil.rmtree(folder)
    prepare.main(workspace, params_with(), "tiny")
    assert outputs() == first


def test_test_pixels_reach_nothing_but_the_test_split(workspace: Workspace) -> None:
    prepare.main(workspace, params_with(), "tiny")
    results = workspace.dataset_results("tiny")
    before = {path.name: path.read_bytes() for path in results.iterdir()}
    test_digest = storage.read_json(results / "statistics.json")["sha256"]["test"]
    write_raw(workspace, test_images=np.full((20, 28, 28), 255, np.uint8))
    prepare.main(workspace, params_with(), "tiny")
    new_digest = storage.read_json(results / "statistics.json")["sha256"]["test"]
    assert new_digest != test_digest
    before["statistics.json"] = before["statistics.json"].replace(test_digest.encode(), new_digest.encode())
    assert {path.name: path.read_bytes() for path in results.iterdir()} == before


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"train_labels": np.zeros(39, np.uint8)}, f"{idx.TRAIN_LABELS}: expected 40 labels, .* got 39"),
        ({"test_images": np.zeros((21, 28, 28), np.uint8)}, f"{idx.TEST_LABELS}: expected 21 labels, .* got 20"),
        (
            {"train_images": np.zeros((40, 27, 28), np.uint8)},
            rf"{idx.TRAIN_IMAGES}: expected images of \(28, 28\), got \(27, 28\)",
        ),
        (
            {"train_labels": np.arange(40, dtype=np.uint8) % 3},
            rf"{idx.TRAIN_LABELS}: expected every label from 0 to 1 .*, no other, got 0, 1, 2\.",
        ),
        ({"test_labels": np.zeros(20, np.uint8)}, rf"{idx.TEST_LABELS}: expected every label from 0 to 1 .*, got 0\."),
    ],
)
def test_raw_files_that_disagree_are_named(workspace: Workspace, arrays: dict[str, np.ndarray], message: str) -> None:
    write_raw(workspace, **arrays)
    with pytest.raises(PipelineError, match=message) as caught:
        prepare.main(workspace, params_with(), "tiny")
    # To fetch them again cures what was damaged, not images of another size.
    advice = "Name a source of such images" if "train_images" in arrays else "run `dvc repro` to fetch it again"
    assert advice in str(caught.value)
    assert not (workspace.root / "data" / "prepared").exists()


@pytest.mark.parametrize("name", idx.FILE_NAMES)
@pytest.mark.parametrize("damage", ["missing", "truncated", "other"])
def test_damaged_raw_file_is_named(workspace: Workspace, name: str, damage: str) -> None:
    path = workspace.raw("drawn") / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:-20] if damage == "truncated" else b"<html>")
    with pytest.raises(PipelineError, match="Run `dvc repro` to fetch it again") as caught:
        prepare.main(workspace, params_with(), "tiny")
    assert str(caught.value).startswith(f"{path}: ")
    assert not (workspace.root / "data" / "prepared").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"example": 40}, "datasets.tiny.example: expected a training image's index, below 40, got 40"),
        (
            {"split": {"validation_size": 40, "seed": 0}},
            "datasets.tiny.split.validation_size: expected .* 40 labelled images, got 40",
        ),
        ({"classes": ["no", "yes", "maybe"]}, "expected every label from 0 to 2 .*, got 0, 1"),
    ],
)
def test_params_that_do_not_fit_the_data_are_named(workspace: Workspace, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        prepare.main(workspace, params_with(**changes), "tiny")
    assert not (workspace.root / "data" / "prepared").exists()


def write_four_classes(workspace: Workspace) -> None:
    write_raw(
        workspace,
        train_labels=np.arange(40, dtype=np.uint8) % 4,
        test_labels=np.arange(20, dtype=np.uint8) % 4,
    )


def test_only_kept_labels_are_prepared_with_new_ones_in_the_order_of_keep(workspace: Workspace) -> None:
    write_four_classes(workspace)
    changes = {"keep": [3, 1], "split": {"train_size": 10, "validation_size": 6, "seed": 0}}
    prepare.main(workspace, params_with(**changes), "tiny")
    splits = prepared(workspace)
    assert {split: np.bincount(labels).tolist() for split, (_, labels) in splits.items()} == {
        "train": [5, 5],
        "validation": [3, 3],
        "test": [5, 5],
    }
    raw_labels = {
        image.tobytes(): label
        for images_name, labels_name in ((idx.TRAIN_IMAGES, idx.TRAIN_LABELS), (idx.TEST_IMAGES, idx.TEST_LABELS))
        for image, label in zip(
            idx.read(workspace.raw("drawn") / images_name, rank=3),
            idx.read(workspace.raw("drawn") / labels_name, rank=1),
            strict=True,
        )
    }
    for images, labels in splits.values():
        assert [raw_labels[image.tobytes()] for image in images] == [[3, 1][label] for label in labels]
    # No image twice: the source drew with replacement, so that training and validation overlapped.
    kept = [image.tobytes() for split in SPLITS for image in splits[split][0]]
    assert len(set(kept)) == len(kept)


def test_labels_of_further_examples_are_told(workspace: Workspace) -> None:
    prepare.main(workspace, params_with(further_examples=[0, 5]), "tiny")
    statistics = storage.read_json(workspace.dataset_results("tiny") / "statistics.json")
    assert [item["index"] for item in statistics["further_examples"]] == [0, 5]
    assert all(item["one_hot"][item["label"]] == 1 == sum(item["one_hot"]) for item in statistics["further_examples"])
    with pytest.raises(PipelineError, match=r"datasets\.tiny\.further_examples: expected .* below 40, got 40"):
        prepare.main(workspace, params_with(further_examples=[40]), "tiny")


def test_the_example_of_kept_images_is_counted_among_them(workspace: Workspace) -> None:
    write_four_classes(workspace)
    prepare.main(workspace, params_with(keep=[1, 3], example=1), "tiny")
    statistics = storage.read_json(workspace.dataset_results("tiny") / "statistics.json")
    assert statistics["example"] == {"index": 1, "label": 1, "class": "yes", "one_hot": [0, 1]}
    with pytest.raises(PipelineError, match="index, below 20, got 20"):
        prepare.main(workspace, params_with(keep=[1, 3], example=20), "tiny")


def test_a_kept_label_that_the_files_lack_is_named(workspace: Workspace) -> None:
    with pytest.raises(PipelineError, match=rf"{idx.TRAIN_LABELS}: expected the labels 0, 7 among others, got 0, 1\."):
        prepare.main(workspace, params_with(keep=[0, 7]), "tiny")


def test_a_split_larger_than_what_is_kept_is_named(workspace: Workspace) -> None:
    write_four_classes(workspace)
    changes = {"keep": [1, 3], "split": {"train_size": 15, "validation_size": 6, "seed": 0}}
    with pytest.raises(PipelineError, match=r"datasets.tiny.split.validation_size: .* 20 .*, got 6 beside 15 to train"):
        prepare.main(workspace, params_with(**changes), "tiny")


def test_unknown_dataset_is_named(workspace: Workspace) -> None:
    with pytest.raises(PipelineError, match="unknown dataset 'large'; expected one of: tiny"):
        prepare.main(workspace, params_with(), "large")
