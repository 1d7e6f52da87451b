from __future__ import annotations

import json
import math
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.stages import kernels

VARIANT = {
    "study": "grids",
    "dataset": "shapes",
    "optimizer": {"name": "adam", "learning_rate": 0.001},
    "batch_size": 8,
    "epochs": 2,
}
CONTENT: dict[str, Any] = {
    "compute": {"seed": 1, "threads": 1},
    "sources": {"shapes": {"kind": "embedded", "images": "digits", "train_size": 9, "test_size": 9, "seed": 0}},
    "datasets": {
        "shapes": {
            "title": "Shapes",
            "source": "shapes",
            "demonstration": True,
            "classes": ["disc", "square", "star"],
            "split": {"validation_size": 10, "seed": 0},
            "example": 0,
        }
    },
    "studies": {"grids": {"title": "Grids", "dataset": "shapes", "shared_from": "grids", "variants": ["refit"]}},
    "tasks": {},
    "searches": {
        "grid": {
            **VARIANT,
            "grid": [[6], [5]],
            "block": {"batch_norm": True, "dropout": 0.5},
            "kernel_initializer": "he_normal",
            "folds": 2,
        }
    },
    "variants": {},
    "derived": {
        "refit": {**VARIANT, "family": "mlp", "engine": "jax", "layers_from": "grid", "kernel_initializer": "he_normal"}
    },
}
# In a process of its own, because a process has one Keras backend, and so that two runs share nothing.
TRIAL = """
import json, sys
from pathlib import Path
from pipeline import models
from pipeline.config.params import Params
from pipeline.io import storage
from pipeline.runtime import backend
from pipeline.io.paths import Workspace
from pipeline.stages import kernels

content, root = json.loads(sys.argv[1]), Path(sys.argv[2])
params, workspace = Params.model_validate(content), Workspace(root)
backend.configure("jax", threads=1)
path = workspace.model("refit", params.derived["refit"])
model = models.build(params.searches["grid"].variant((6, 5)), input_shape=(28, 28), num_outputs=3, seed=1)
storage.write_model(path, model)
written, digests = [], []
for _ in range(2):
    kernels.main(workspace, params, "refit")
    written.append(sorted(item.name for item in workspace.kernels("refit").iterdir()))
    digests.append([storage.sha256(item) for item in sorted(workspace.kernels("refit").iterdir())])
read = [[layer.layer, layer.values.tolist()] for layer in kernels.dense_kernels(path)]
kept = [[name, model.get_layer(name).get_weights()[0].tolist()] for name in ("dense_1", "dense_2", "probabilities")]
json.dump([written, digests, read == kept], sys.stdout)
"""


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Any]:
    """The workspace after the stage, twice, and what the trial printed."""
    root = tmp_path_factory.mktemp("kernels")
    finished = subprocess.run(
        [sys.executable, "-c", TRIAL, json.dumps(CONTENT), str(root)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Workspace(root), json.loads(finished.stdout)


def test_every_dense_layer_has_a_row_and_batch_normalization_none(described: tuple[Workspace, Any]) -> None:
    table = storage.read_table(described[0].kernels("refit") / "statistics.csv")
    assert list(table["layer"]) == ["dense_1", "dense_2", "probabilities"]
    assert list(table["shape"]) == ["784x6", "6x5", "5x3"]
    assert list(table["num_weights"]) == [4704, 30, 15]


def test_hidden_layers_start_as_he_says_and_the_output_as_glorot_says(described: tuple[Workspace, Any]) -> None:
    table = storage.read_table(described[0].kernels("refit") / "statistics.csv")
    assert list(table["initial_std"]) == pytest.approx([math.sqrt(2 / 784), math.sqrt(2 / 6), math.sqrt(2 / 8)])
    # Untrained, so that the weights have that very spread.
    assert table["std"][0] == pytest.approx(table["initial_std"][0], rel=0.05)
    assert 0.05 < table["share_near_zero"][0] < 0.1


def test_both_files_are_there_and_the_same_twice(described: tuple[Workspace, Any]) -> None:
    written, (first, second), _ = described[1]
    assert written == [["statistics.csv", "violins.png"]] * 2
    assert first == second


def test_the_kernels_are_those_that_keras_has(described: tuple[Workspace, Any]) -> None:
    assert described[1][2] is True


def test_no_backend_is_started_to_read_a_model(described: tuple[Workspace, Any], repository: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipeline.stages import kernels; "
        "assert len(kernels.dense_kernels(Path(sys.argv[1]))) == 3; print(*sys.modules)"
    )
    path = described[0].model("refit", Params.model_validate(CONTENT).derived["refit"])
    finished = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=repository, stdout=subprocess.PIPE, text=True, check=True
    )
    assert not {"keras", "jax", "tensorflow"} & set(finished.stdout.split())


def test_an_initializer_that_is_neither_has_no_known_spread() -> None:
    values = np.ones((3, 5), np.float32)
    stds = {name: kernels.DenseKernel("layer", values, name).initial_std for name in ("HeNormal", "GlorotUniform")}
    assert stds == {"HeNormal": pytest.approx(math.sqrt(2 / 3)), "GlorotUniform": pytest.approx(0.5)}
    assert kernels.DenseKernel("layer", values, "RandomNormal").initial_std is None


@pytest.mark.parametrize("content", [b"no archive", b""])
def test_a_damaged_model_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"model\.keras: expected a Keras model, but the file is damaged"):
        kernels.dense_kernels(path)


def test_an_archive_that_lacks_the_weights_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"layers": []}}))
    with pytest.raises(PipelineError, match=r"the file is damaged .*model\.weights\.h5"):
        kernels.dense_kernels(path)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"model\.keras: expected a Keras model, but the file is missing"):
        kernels.dense_kernels(tmp_path / "model.keras")


def test_statistics_are_of_all_weights() -> None:
    table = kernels.statistics(
        {"dense_1": np.array([[-3.0, 0.05], [0.0, 1.0]]), "other": np.ones((1, 2))}, {"dense_1": 1}
    )
    first, other = table.to_dict("records")
    assert first == {
        "layer": "dense_1",
        "shape": "2x2",
        "num_weights": 4,
        "mean": pytest.approx(-0.4875),
        "std": pytest.approx(np.std([-3, 0.05, 0, 1])),
        "min": -3.0,
        "max": 1.0,
        "initial_std": 1,
        "share_near_zero": 0.5,
    }
    assert np.isnan(other["initial_std"])
    assert np.isnan(other["share_near_zero"])


def test_unknown_variant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="unknown variant under derived 'grid'; expected one of: refit"):
        kernels.main(Workspace(tmp_path), Params.model_validate(CONTENT), "grid")
