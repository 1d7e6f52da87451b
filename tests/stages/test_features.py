"""The features stage, which computes in processes of its own: that of the tests has Keras on JAX."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline.config.load import load_params
from pipeline.data import idx
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.runtime import backend
from pipeline.stages import features
from tests import params_files

NUM_IMAGES = {"train": 7, "validation": 4}
RANDOM = {"kind": "random", "architecture": "mobilenet_v2", "seed": 3}
TINY = {"dataset": "shapes", "weights": "base", "size": 32, "resize": "pad", "pixels": "raw"}


def content_with(spec: dict[str, Any], weights: dict[str, Any]) -> dict[str, Any]:
    dataset = {
        "title": "Shapes",
        "source": "shapes",
        "classes": list("0123456789"),
        "split": {"validation_size": 4, "seed": 0},
        "example": 0,
    }
    return {
        "compute": {"seed": 0, "threads": 1},
        "sources": {"shapes": {"kind": "idx_files", "folder": "shapes", "urls": [], "sha256": {}}},
        "datasets": {"shapes": dataset},
        "weights": {"base": weights},
        "features": {"tiny": spec},
        "studies": {},
        "tasks": {},
        "variants": {},
    }


def prepare(workspace: Workspace, content: dict[str, Any], images: dict[str, Any]) -> None:
    """What is there before the stage, but for the test images: it has no use for them."""
    params_files.write(workspace.root, content)
    for split, (pixels, labels) in images.items():
        storage.write_arrays(workspace.prepared("shapes", split), images=pixels, labels=labels)


def run_stages(workspace: Workspace, *stages: str, mirror: str = "") -> subprocess.CompletedProcess[str]:
    script = Path(__file__).with_name("stage_trial.py")
    return subprocess.run(
        [sys.executable, script, *stages],
        cwd=workspace.root,
        env={**os.environ, "PYTHONPATH": str(script.parents[2]), "DATASET_MIRROR": mirror},
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass(frozen=True)
class Computed:
    """A workspace in which the features were computed, twice, once for all tests that only look."""

    workspace: Workspace
    hashes: list[dict[str, str]]
    said: str


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Computed:
    workspace = Workspace(tmp_path_factory.mktemp("computed"))
    random = np.random.default_rng(0)
    images = {
        split: (random.integers(0, 256, (number, 28, 28)).astype(np.uint8), np.arange(number, dtype=np.uint8))
        for split, number in NUM_IMAGES.items()
    }
    prepare(workspace, content_with(TINY, RANDOM), images)
    finished = run_stages(workspace, "fetch_weights:base", "features:tiny", "features:tiny")
    assert finished.returncode == 0, finished.stderr
    return Computed(workspace, json.loads(finished.stdout), finished.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("split", NUM_IMAGES)
def test_every_image_has_features_and_its_label(computed: Computed, split: str) -> None:
    rows, labels = storage.read_arrays(computed.workspace.features("tiny", split), "features", "labels")
    assert (rows.shape, rows.dtype) == ((NUM_IMAGES[split], 1280), np.float32)
    assert labels.dtype == np.uint8
    assert labels.tolist() == list(range(NUM_IMAGES[split]))
    assert np.isfinite(rows).all()
    assert rows.std(axis=0).max() > 0.1, "of different images"


@pytest.mark.slow
def test_the_same_bytes_twice_and_no_other_files(computed: Computed) -> None:
    weights, first, again = computed.hashes
    assert again == first
    assert first.keys() - weights.keys() == {"features/tiny/train.npz", "features/tiny/validation.npz"}


@pytest.mark.slow
def test_without_a_terminal_it_is_silent(computed: Computed) -> None:
    assert computed.said == ""


def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is computed, so that any backend will do."""
    backend.configure("jax", threads=1)
    monkeypatch.setattr(backend, "configure", lambda *_, **__: None)
    image = (np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.uint8))
    workspace = Workspace(tmp_path)
    prepare(workspace, content_with(TINY, RANDOM), {"train": image, "validation": image})
    with pytest.raises(PipelineError) as raised:
        features.main(workspace, load_params(workspace.root), "tiny")
    expected = "expected weights of MobileNetV2 without its top, but the file is missing. Run `dvc repro` to make it."
    assert str(raised.value) == f"{workspace.weights('base')}: {expected}"
    assert not workspace.features("tiny", "train").exists()


def test_features_of_the_real_weights_tell_garments_apart(
    dataset_mirror: Path, tmp_path: Path, repository: Path
) -> None:
    """The nearest class mean of 300 images is right for far more of 200 others than the 10 % of chance."""
    study = YAML(typ="safe").load(repository / "params" / "data.yaml")
    spec = {**study["features"]["fashion-mnist-96"], "dataset": "shapes", "weights": "base"}
    pixels = idx.read(dataset_mirror / "fashion-mnist" / idx.TRAIN_IMAGES, rank=3)
    labels = idx.read(dataset_mirror / "fashion-mnist" / idx.TRAIN_LABELS, rank=1)
    parts = {"train": slice(0, 300), "validation": slice(300, 500)}
    workspace = Workspace(tmp_path)
    images = {split: (pixels[part], labels[part]) for split, part in parts.items()}
    prepare(workspace, content_with(spec, study["weights"]["mobilenet-v2"]), images)
    finished = run_stages(workspace, "fetch_weights:base", "features:tiny", mirror=str(dataset_mirror))
    assert finished.returncode == 0, finished.stderr
    (known, names), (asked, expected) = (
        storage.read_arrays(workspace.features("tiny", split), "features", "labels") for split in parts
    )
    means = np.stack([known[names == label].mean(axis=0) for label in range(10)])
    distances = np.linalg.norm(asked[:, np.newaxis] - means, axis=2)
    assert (distances.argmin(axis=1) == expected).mean() > 0.6
