"""What is there before a small network is trained, and a stand-in for the run that MLflow keeps of the training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest

from pipeline.config.params import Params
from pipeline.io import storage
from pipeline.io.paths import Workspace

FOLDER = "results/train/shapes/first/narrow"
OUTPUTS = {
    "models/shapes/first/narrow.keras",
    f"{FOLDER}/history.csv",
    f"{FOLDER}/metrics.json",
    f"{FOLDER}/curves.png",
}
NUM_TRAIN, NUM_VALIDATION, NUM_EPOCHS = 100, 31, 12
NARROW = {
    "study": "first",
    "dataset": "shapes",
    "family": "mlp",
    "engine": "jax",
    "layers": [{"units": 8, "l2": 0.01, "batch_norm": True}],
    "optimizer": {"name": "adam", "learning_rate": 0.01},
    "batch_size": 8,
    "epochs": NUM_EPOCHS,
}
SLOW = {"name": "adam", "learning_rate": 0.0001}
CONTENT: dict[str, Any] = {
    "compute": {"seed": 1, "threads": 1},
    "sources": {"shape-files": {"kind": "idx_files", "folder": "shapes", "urls": [], "sha256": {}}},
    "datasets": {
        "shapes": {
            "title": "Shapes",
            "source": "shape-files",
            "classes": ["disc", "square", "star"],
            "split": {"validation_size": NUM_VALIDATION, "seed": 0},
            "example": 0,
        }
    },
    "studies": {
        "first": {
            "title": "First study",
            "dataset": "shapes",
            "shared_from": "first",
            "tolerance": 0.004,
            "variants": ["narrow", "longer"],
        }
    },
    "tasks": {},
    "variants": {"narrow": NARROW},
    # Goes on from `narrow` with small steps.
    "warm_started": {"longer": {**NARROW, "start_from": "narrow", "optimizer": SLOW, "epochs": 1}},
}


def examples(num_examples: int, seed: int) -> dict[str, np.ndarray]:
    """Images 6x6 of three classes that differ in brightness."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, num_examples).astype(np.uint8)
    images = (random.integers(0, 90, (num_examples, 6, 6)) + 80 * labels[:, None, None]).astype(np.uint8)
    return {"images": images, "labels": labels}


def prepare(workspace: Workspace) -> Workspace:
    """What is there before training, but for the test images: training has no use for them."""
    storage.write_arrays(workspace.prepared("shapes", "train"), **examples(NUM_TRAIN, seed=1))
    storage.write_arrays(workspace.prepared("shapes", "validation"), **examples(NUM_VALIDATION, seed=2))
    return workspace


def outputs(workspace: Workspace) -> set[str]:
    """All files of models/ and results/, temporary ones included."""
    files = {path.relative_to(workspace.root) for path in workspace.root.rglob("*") if path.is_file()}
    return {str(path) for path in files if path.parts[0] in ("models", "results")}


@dataclass
class RecordedRun:
    """Stands in for the MLflow run: what it heard, how it ended, and the outputs that lay there by then."""

    name: str
    epochs: list[dict[str, float]] = field(default_factory=list)
    files: set[str] = field(default_factory=set)
    error: BaseException | None = None
    fail_at: ClassVar[int] = 0

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        if epoch == self.fail_at:
            raise MemoryError("in the middle")
        self.epochs.append({"epoch": epoch, **values})


@contextlib.contextmanager
def recorded_runs() -> Iterator[list[RecordedRun]]:
    """The runs that are opened meanwhile, in place of MLflow's."""
    recorded: list[RecordedRun] = []

    @contextlib.contextmanager
    def training_run(workspace: Workspace, params: Params, name: str) -> Iterator[RecordedRun]:
        run = RecordedRun(name)
        recorded.append(run)
        try:
            yield run
        except BaseException as error:
            run.error = error
            raise
        run.files = outputs(workspace)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.tracking.live.training_run", training_run)
        yield recorded
