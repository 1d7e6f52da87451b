"""The transfer stage on made-up features; the model that it saves, on TensorFlow in a process of its own."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.runtime import backend
from pipeline.stages import train

FOLDER = "results/train/shapes/first/moved"
OUTPUTS = {
    "models/shapes/first/moved.keras",
    f"{FOLDER}/history.csv",
    f"{FOLDER}/metrics.json",
    f"{FOLDER}/curves.png",
}
NUM_TRAIN, NUM_VALIDATION, NUM_EPOCHS = 90, 30, 12
MOVED = {
    "study": "first",
    "dataset": "shapes",
    "family": "mobilenet_v2",
    "engine": "jax",
    "features": "tiny",
    "layers": [{"units": 16, "dropout": 0.2}],
    "optimizer": {"name": "adam", "learning_rate": 0.01},
    "early_stopping": {"monitor": "val_accuracy", "patience": 3},
    "batch_size": 32,
    "epochs": NUM_EPOCHS,
}
CONTENT: dict[str, Any] = {
    "compute": {"seed": 1, "threads": 1},
    "sources": {"shapes": {"kind": "idx_files", "folder": "shapes", "urls": [], "sha256": {}}},
    "datasets": {
        "shapes": {
            "title": "Shapes",
            "source": "shapes",
            "classes": ["disc", "square", "star"],
            "split": {"validation_size": NUM_VALIDATION, "seed": 0},
            "example": 0,
        }
    },
    "weights": {"base": {"kind": "random", "architecture": "mobilenet_v2", "seed": 3}},
    "features": {"tiny": {"dataset": "shapes", "weights": "base", "size": 32, "resize": "pad", "pixels": "raw"}},
    "studies": {"first": {"title": "First study", "dataset": "shapes", "shared_from": "first", "variants": ["moved"]}},
    "tasks": {},
    "variants": {},
    "transfers": {"moved": MOVED},
}
PARAMS = Params.model_validate(CONTENT)
# What the saved model and its parts predict of six images.
ON_TENSORFLOW = """
import json, sys
from pathlib import Path
import numpy as np
from pipeline.config.data import Features
from pipeline.io import storage
from pipeline.runtime import backend
backend.configure("tensorflow", threads=1)
from pipeline.models import mobilenet_v2
model, weights, features = storage.read_model(Path(sys.argv[1])), Path(sys.argv[2]), json.loads(sys.argv[3])
images = np.random.default_rng(0).integers(0, 256, (6, 28, 28)).astype(np.uint8)
extractor = mobilenet_v2.build_extractor(Features(**features), weights, image_shape=(28, 28))
of_parts = model.get_layer("head").predict_on_batch(extractor.predict_on_batch(images))
print(json.dumps([model.predict_on_batch(images).tolist(), of_parts.tolist()]))
"""


def made_up(num_examples: int, seed: int) -> dict[str, np.ndarray]:
    """Features of three classes that lie apart, each in 400 channels of its own."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, num_examples).astype(np.uint8)
    features = random.normal(0, 1, (num_examples, 1280))
    features[:, :1200] += np.repeat(np.eye(3)[labels], 400, axis=1)
    return {"features": features.astype(np.float32), "labels": labels}


def prepare(workspace: Workspace) -> Workspace:
    """What is there before training, but for the weights."""
    storage.write_arrays(workspace.features("tiny", "train"), **made_up(NUM_TRAIN, seed=1))
    storage.write_arrays(workspace.features("tiny", "validation"), **made_up(NUM_VALIDATION, seed=2))
    return workspace


def outputs(workspace: Workspace) -> set[str]:
    files = {path.relative_to(workspace.root) for path in workspace.root.rglob("*") if path.is_file()}
    return {str(path) for path in files if path.parts[0] in ("models", "results")}


@dataclass
class RecordedRun:
    """Stands in for the MLflow run: what it heard, and the outputs that lay there when it closed."""

    name: str
    epochs: list[dict[str, float]] = field(default_factory=list)
    files: set[str] = field(default_factory=set)

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        self.epochs.append({"epoch": epoch, **values})


@contextlib.contextmanager
def recorded_runs() -> Iterator[list[RecordedRun]]:
    recorded: list[RecordedRun] = []

    @contextlib.contextmanager
    def training_run(workspace: Workspace, params: Params, name: str) -> Iterator[RecordedRun]:
        recorded.append(RecordedRun(name))
        yield recorded[-1]
        recorded[-1].files = outputs(workspace)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.tracking.live.training_run", training_run)
        yield recorded


@pytest.fixture
def runs() -> Iterator[list[RecordedRun]]:
    with recorded_runs() as recorded:
        yield recorded


@dataclass(frozen=True)
class Trained:
    """A workspace in which `moved` was trained, once for all tests that only look."""

    workspace: Workspace
    run: RecordedRun

    def history(self) -> pd.DataFrame:
        return storage.read_table(self.workspace.root / FOLDER / "history.csv")

    def metrics(self) -> dict[str, Any]:
        return storage.read_json(self.workspace.root / FOLDER / "metrics.json")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    workspace = prepare(Workspace(tmp_path_factory.mktemp("trained")))
    # Set up before the fixture that cleans the environment after each test.
    with mock.patch.dict(os.environ), recorded_runs() as runs:
        backend.configure("jax", threads=1)
        from pipeline.models import mobilenet_v2

        base = mobilenet_v2.build_base(32)
        mobilenet_v2.draw_weights(base, seed=3)
        workspace.weights("base").parent.mkdir(parents=True)
        base.save_weights(workspace.weights("base"))
        train.main(workspace, PARAMS, "moved")
    return Trained(workspace, runs[0])


def test_writes_model_history_metrics_and_curves(trained: Trained) -> None:
    assert trained.run.name == "moved"
    assert trained.run.files == OUTPUTS, "the run is completed from them: they must be there before it closes"


def test_the_head_learns_and_stops_early(trained: Trained) -> None:
    history = trained.history()
    assert trained.run.epochs == history.to_dict("records")
    assert history["val_accuracy"].max() > 0.8
    best = int(history["val_accuracy"].argmax())
    assert len(history) == min(NUM_EPOCHS, best + 1 + 3) < NUM_EPOCHS


def test_metrics_are_those_of_the_history_and_of_the_complete_model(trained: Trained) -> None:
    metrics, history = trained.metrics(), trained.history()
    assert (metrics["epochs"], metrics["best_epoch"]) == (len(history), int(history["val_accuracy"].argmax()) + 1)
    assert metrics["validation"]["last"]["accuracy"] == history["val_accuracy"].iloc[-1]
    assert metrics["train"]["last"]["loss"] == history["loss"].iloc[-1]
    assert metrics["train_evaluated"]["accuracy"] > 0.9
    trainable = 2 * 1280 + 1281 * 16 + 17 * 3
    assert metrics["parameters"] == {"total": 2_257_984 + 2 * 1280 + trainable, "trainable": trainable}


def test_the_saved_model_is_complete_and_runs_on_tensorflow(trained: Trained, repository: Path) -> None:
    arguments = [
        str(trained.workspace.root / "models/shapes/first/moved.keras"),
        str(trained.workspace.weights("base")),
        json.dumps(CONTENT["features"]["tiny"]),
    ]
    finished = subprocess.run(
        [sys.executable, "-c", ON_TENSORFLOW, *arguments],
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    complete, of_parts = (np.array(probabilities) for probabilities in json.loads(finished.stdout))
    assert complete.shape == (6, 3)
    np.testing.assert_allclose(complete.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(complete, of_parts, atol=1e-4)
    assert np.ptp(complete, axis=0).max() > 0, "of different images"


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "but the file is missing"), (b"<html>", "but the file is damaged or of another")]
)
def test_weights_that_cannot_be_had_are_named_before_training(
    workspace: Workspace, runs: list[RecordedRun], content: bytes | None, reason: str
) -> None:
    prepare(workspace)
    if content is not None:
        storage.write_bytes(workspace.weights("base"), content)
    with pytest.raises(PipelineError) as raised:
        train.main(workspace, PARAMS, "moved")
    assert str(raised.value).startswith(
        f"{workspace.weights('base')}: expected weights of MobileNetV2 without its top, {reason}"
    )
    assert (outputs(workspace), runs) == (set(), [])


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"features": np.zeros((2, 3)), "labels": np.zeros(2, np.uint8)}, r"features \(n, channels\) of float32"),
        ({"features": np.zeros((2, 3), np.float32), "labels": np.zeros(3, np.uint8)}, "one uint8 label per row"),
        ({"features": np.zeros((1, 3), np.float32), "labels": np.full(1, 3, np.uint8)}, "labels that leave out none"),
    ],
)
def test_features_that_do_not_fit_are_named(
    workspace: Workspace, runs: list[RecordedRun], arrays: dict[str, np.ndarray], expected: str
) -> None:
    storage.write_arrays(workspace.features("tiny", "train"), **arrays)
    with pytest.raises(PipelineError, match=rf"train.npz: expected {expected}.*Delete it, then run `dvc repro`"):
        train.main(workspace, PARAMS, "moved")
    assert (outputs(workspace), runs) == (set(), [])


def test_labels_beyond_the_classes_are_named(workspace: Workspace, runs: list[RecordedRun]) -> None:
    features, labels = np.zeros((3, 3), np.float32), np.array([0, 1, 2], np.uint8)
    storage.write_arrays(workspace.features("tiny", "train"), features=features, labels=labels)
    storage.write_arrays(workspace.features("tiny", "validation"), features=features, labels=labels + np.uint8(1))
    with pytest.raises(PipelineError, match=r"validation\.npz: expected labels below 3, the number of classes, got 3"):
        train.main(workspace, PARAMS, "moved")
    assert (outputs(workspace), runs) == (set(), [])


def test_training_that_diverges_is_told_and_leaves_no_output(trained: Trained, runs: list[RecordedRun]) -> None:
    content = copy.deepcopy(CONTENT)
    content["transfers"] = {"wild": {**MOVED, "optimizer": {"name": "sgd", "learning_rate": 1e30}}}
    content["studies"]["first"]["variants"] = ["wild"]
    before = outputs(trained.workspace)
    with pytest.raises(PipelineError, match=r"transfers\.wild: training diverged.*Lower optimizer\.learning_rate\."):
        train.main(trained.workspace, Params.model_validate(content), "wild")
    assert outputs(trained.workspace) == before


def test_an_unknown_variant_is_named(workspace: Workspace, runs: list[RecordedRun]) -> None:
    with pytest.raises(PipelineError, match="unknown variant 'move'; expected one of: moved"):
        train.main(workspace, PARAMS, "move")
