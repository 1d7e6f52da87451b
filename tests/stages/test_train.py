"""Training one variant: what is written, what the run hears, and what is said where it cannot be done."""

from __future__ import annotations

import copy
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.config.params import Params
from pipeline.data.examples import Examples
from pipeline.errors import PipelineError
from pipeline.evaluation import scoring
from pipeline.evaluation.result_files import ClassifierTraining
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.runtime import backend
from pipeline.stages import train
from pipeline.training import summary
from pipeline.training.data import history_columns
from tests import params_files
from tests.stages.small_training import (
    CONTENT,
    FOLDER,
    NARROW,
    NUM_EPOCHS,
    NUM_TRAIN,
    NUM_VALIDATION,
    OUTPUTS,
    RecordedRun,
    examples,
    outputs,
    prepare,
    recorded_runs,
)

FIGURES = ("loss", "cross_entropy", "accuracy")
HISTORY_COLUMNS = history_columns(FIGURES)
# Nobody listens on port 9 of this machine.
DEAD_SERVER = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def params() -> Params:
    return Params.model_validate(CONTENT)


@pytest.fixture
def prepared(workspace: Workspace) -> Workspace:
    return prepare(workspace)


@pytest.fixture
def runs() -> Iterator[list[RecordedRun]]:
    with recorded_runs() as recorded:
        yield recorded


@dataclass(frozen=True)
class Trained:
    """A workspace in which `narrow` was trained, once for all tests that only look."""

    workspace: Workspace
    run: RecordedRun

    def model(self) -> Any:
        return storage.read_model(self.workspace.root / "models/shapes/first/narrow.keras")

    def history(self, name: str = "narrow") -> pd.DataFrame:
        return storage.read_table(self.workspace.root / FOLDER / ".." / name / "history.csv")

    def metrics(self) -> dict[str, Any]:
        return storage.read_json(self.workspace.root / FOLDER / "metrics.json")


@pytest.fixture(scope="module")
def trained(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    workspace = prepare(Workspace(tmp_path_factory.mktemp("trained")))
    # Set up before the fixture that cleans the environment after each test.
    with mock.patch.dict(os.environ), recorded_runs() as runs:
        train.main(workspace, params, "narrow")
    return Trained(workspace, runs[0])


def test_writes_model_history_metrics_and_curves(trained: Trained) -> None:
    assert (trained.run.name, trained.run.error) == ("narrow", None)
    assert trained.run.files == OUTPUTS, "the run is completed from them: they must be there before it closes"
    with Image.open(trained.workspace.root / FOLDER / "curves.png") as picture:
        assert picture.format == "PNG"


def test_the_model_takes_raw_pixels_and_gives_probabilities(trained: Trained) -> None:
    probabilities = np.asarray(trained.model()(examples(7, seed=3)["images"]))
    assert probabilities.shape == (7, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_history_has_a_row_per_epoch_and_the_run_hears_each(trained: Trained) -> None:
    history = trained.history()
    assert tuple(history.columns) == HISTORY_COLUMNS
    assert list(history["epoch"]) == list(range(1, NUM_EPOCHS + 1))
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert (history["loss"] > history["cross_entropy"]).all()
    assert trained.run.epochs == history.to_dict("records")


def test_metrics_are_those_of_the_history(trained: Trained) -> None:
    metrics, history = trained.metrics(), trained.history()
    best = list(history["val_accuracy"]).index(history["val_accuracy"].max())
    assert (metrics["epochs"], metrics["best_epoch"]) == (NUM_EPOCHS, best + 1)
    for moment, row in (("last", history.iloc[-1]), ("best", history.iloc[best])):
        assert metrics["train"][moment] == {figure: row[figure] for figure in FIGURES}
        assert metrics["validation"][moment] == {figure: row[f"val_{figure}"] for figure in FIGURES}


def test_parameters_are_counted_with_and_without_the_moving_averages(trained: Trained) -> None:
    # 36 inputs and a bias to 8 units, scale and shift of each, 3 outputs.
    trainable = 37 * 8 + 2 * 8 + 9 * 3
    assert trained.metrics()["parameters"] == {"total": trainable + 2 * 8, "trainable": trainable}
    assert trained.model().count_params() == trainable + 2 * 8


@pytest.mark.parametrize(
    ("section", "num_examples", "seed"), [("train_evaluated", NUM_TRAIN, 1), ("validation", NUM_VALIDATION, 2)]
)
def test_final_figures_are_those_of_the_saved_model(
    trained: Trained, section: str, num_examples: int, seed: int
) -> None:
    data = examples(num_examples, seed)
    probabilities, penalty = scoring.predict_in_batches(trained.model(), data["images"])
    figures = trained.metrics()[section]
    assert figures.get("last", figures) == pytest.approx(
        vars(scoring.score(probabilities, data["labels"], penalty, "categorical_crossentropy")), rel=1e-4
    )
    assert penalty > 0


def test_the_best_epoch_is_the_first_of_equals() -> None:
    backend.configure("jax", threads=1)
    import keras

    inputs = keras.Input((6, 6), name="pixels")
    outputs = keras.layers.Dense(3, activation="softmax", name="out")(keras.layers.Flatten(name="flat")(inputs))
    rows = {name: [0.1, 0.2, 0.3, 0.4] for name in HISTORY_COLUMNS}
    history = pd.DataFrame({**rows, "epoch": [1, 2, 3, 4], "val_accuracy": [0.7, 0.9, 0.8, 0.9]})
    model, data = keras.Model(inputs, outputs), Examples(*examples(10, seed=1).values())
    metrics = summary.metrics(history, model, model, data, "categorical_crossentropy")
    assert (metrics["epochs"], metrics["best_epoch"]) == (4, 2)
    assert metrics["validation"]["best"] == {"loss": 0.2, "cross_entropy": 0.2, "accuracy": 0.9}
    assert metrics["validation"]["last"] == {"loss": 0.4, "cross_entropy": 0.4, "accuracy": 0.9}
    assert metrics["train"]["best"] == {"loss": 0.2, "cross_entropy": 0.2, "accuracy": 0.2}
    assert ClassifierTraining.model_validate(metrics).model_dump() == metrics


def test_a_warm_start_goes_on_from_its_parents_weights(
    trained: Trained, params: Params, runs: list[RecordedRun]
) -> None:
    parent = trained.workspace.root / "models/shapes/first/narrow.keras"
    before = parent.read_bytes()
    train.main(trained.workspace, params, "longer")
    assert trained.history("longer")["loss"].iloc[0] < 0.5 * trained.history()["loss"].iloc[0]
    assert parent.read_bytes() == before
    after = storage.read_model(parent.with_name("longer.keras")).get_weights()[0]
    change = np.abs(after - trained.model().get_weights()[0]).max()
    # 13 steps of Adam, each of about the learning rate.
    assert 0 < change < 0.002


def test_a_warm_start_without_its_parents_model(prepared: Workspace, params: Params, runs: list[RecordedRun]) -> None:
    with pytest.raises(PipelineError) as raised:
        train.main(prepared, params, "longer")
    assert str(raised.value) == (
        f"{prepared.model('narrow', params.variants['narrow'])}: expected a Keras model, but the file is missing. "
        "Run `dvc repro` to make it."
    )
    assert (outputs(prepared), runs) == (set(), [])


@pytest.fixture
def derived(params: Params) -> Params:
    """With a variant that takes its layers from a search, is augmented and ends in sigmoids."""
    content = params.model_dump(exclude_none=True)
    grid = {**NARROW, "grid": [[4, 6]], "block": {"dropout": 0.2}, "folds": 2}
    rest = {key: value for key, value in NARROW.items() if key != "layers"}
    content["searches"] = {
        "grid": {key: value for key, value in grid.items() if key not in ("family", "engine", "layers")},
    }
    content["derived"] = {
        "refit": {
            **rest,
            "layers_from": "grid",
            "kernel_initializer": "he_normal",
            "output": {"activation": "sigmoid", "l2": 0.001},
            "augmentation": {"shear_degrees": 10, "rotation_degrees": 10, "zoom": 0.1},
            "steps_per_epoch": 20,
            "epochs": 2,
        }
    }
    content["studies"]["first"]["variants"] += ("refit",)
    return Params.model_validate(content)


def test_a_derived_variant_is_trained_with_the_layers_of_the_outcome(
    prepared: Workspace, derived: Params, runs: list[RecordedRun]
) -> None:
    storage.write_json(prepared.outcome("grid"), {"layers": [{"units": 6, "dropout": 0.2}]})
    train.main(prepared, derived, "refit")
    folder = prepared.training_results("refit", derived.derived["refit"])
    metrics, history = storage.read_json(folder / "metrics.json"), storage.read_table(folder / "history.csv")
    assert metrics["parameters"]["total"] == 37 * 6 + 7 * 3
    assert metrics["epochs"] == 2
    # 20 batches of 8, from more than one pass over the 100 images.
    assert history["accuracy"].tolist() == pytest.approx((history["accuracy"] * 160).round() / 160, abs=1e-6)
    model = storage.read_model(prepared.model("refit", derived.derived["refit"]))
    data = examples(NUM_VALIDATION, seed=2)
    probabilities, penalty = scoring.predict_in_batches(model, data["images"])
    assert metrics["validation"]["last"] == pytest.approx(
        vars(scoring.score(probabilities, data["labels"], penalty, "binary_crossentropy")), rel=1e-4
    )


@pytest.mark.parametrize(
    "content", [{}, {"layers": None}, {"layers": [{"unit": 6}]}, {"layers": [{"units": 0}]}, {"layers": 3}]
)
def test_an_outcome_without_layers_is_named(
    prepared: Workspace, derived: Params, runs: list[RecordedRun], content: dict[str, Any]
) -> None:
    storage.write_json(prepared.outcome("grid"), content)
    with pytest.raises(PipelineError, match=f"{prepared.outcome('grid')}: expected `layers` like those of params.yaml"):
        train.main(prepared, derived, "refit")
    assert runs == []


def test_a_missing_outcome_is_named(prepared: Workspace, derived: Params, runs: list[RecordedRun]) -> None:
    with pytest.raises(PipelineError, match=f"{prepared.outcome('grid')}: .* the file is missing"):
        train.main(prepared, derived, "refit")


def test_a_variant_on_frozen_features_reads_those_and_no_images(
    prepared: Workspace, params: Params, runs: list[RecordedRun]
) -> None:
    content = params.model_dump(exclude_none=True)
    content["weights"] = {"noise": {"kind": "random", "architecture": "mobilenet_v2", "seed": 0}}
    pooled = {"dataset": "shapes", "weights": "noise", "size": 32, "resize": "pad", "pixels": "raw"}
    content["features"] = {"pooled": pooled}
    content["transfers"] = {"mobile": {**NARROW, "family": "mobilenet_v2", "engine": "jax", "features": "pooled"}}
    content["studies"]["first"]["variants"] += ("mobile",)
    with pytest.raises(PipelineError, match=r"features/pooled/train\.npz: expected a NumPy archive with features"):
        train.main(prepared, Params.model_validate(content), "mobile")
    assert runs == []


def test_a_model_that_predicts_otherwise_when_reloaded_is_refused(trained: Trained) -> None:
    path = trained.workspace.root / "models/shapes/first/narrow.keras"
    data = Examples(*examples(9, seed=4).values())
    train.check_reload(path, trained.model(), data)
    other = trained.model()
    other.set_weights([weight + 1e-6 for weight in other.get_weights()])
    with pytest.raises(PipelineError, match=f"{path}: expected the reloaded model to predict what the trained one"):
        train.check_reload(path, other, data)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_corrupt_prepared_file_is_named_and_nothing_is_written(
    prepared: Workspace, params: Params, runs: list[RecordedRun], split: str
) -> None:
    path = prepared.prepared("shapes", split)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(PipelineError) as raised:
        train.main(prepared, params, "narrow")
    assert str(raised.value).startswith(
        f"{path}: expected a NumPy archive with images, labels, but the file is damaged"
    )
    assert "Delete it, then run `dvc repro` to make it again." in str(raised.value)
    assert (outputs(prepared), runs) == (set(), [])


def test_labels_beyond_the_classes_are_named(prepared: Workspace, params: Params, runs: list[RecordedRun]) -> None:
    path = prepared.prepared("shapes", "validation")
    storage.write_arrays(path, images=np.zeros((2, 6, 6), np.uint8), labels=np.array([0, 3], np.uint8))
    with pytest.raises(PipelineError, match="expected labels below 3, the number of classes, got 3"):
        train.main(prepared, params, "narrow")
    assert (outputs(prepared), runs) == (set(), [])


def test_a_class_without_an_example_to_train_on_is_named(
    prepared: Workspace, params: Params, runs: list[RecordedRun]
) -> None:
    path = prepared.prepared("shapes", "train")
    storage.write_arrays(path, images=np.zeros((2, 6, 6), np.uint8), labels=np.array([0, 2], np.uint8))
    with pytest.raises(PipelineError, match="expected labels that leave out none below the highest"):
        train.main(prepared, params, "narrow")
    assert (outputs(prepared), runs) == (set(), [])


def test_the_classes_are_those_of_the_labels(prepared: Workspace, runs: list[RecordedRun]) -> None:
    content = copy.deepcopy(CONTENT)
    # DVC does not compare the parameter for this stage.
    content["datasets"]["shapes"]["classes"] = ["round", "square"]
    train.main(prepared, Params.model_validate(content), "narrow")
    model = storage.read_model(prepared.root / "models/shapes/first/narrow.keras")
    assert model.output_shape == (None, 3)


def test_an_unknown_variant_is_named(prepared: Workspace, params: Params, runs: list[RecordedRun]) -> None:
    with pytest.raises(PipelineError, match="unknown variant 'narow'; expected one of: longer, narrow"):
        train.main(prepared, params, "narow")
    assert (outputs(prepared), runs) == (set(), [])


def test_training_that_fails_in_the_middle_leaves_no_output(
    prepared: Workspace, params: Params, runs: list[RecordedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecordedRun, "fail_at", 2)
    with pytest.raises(MemoryError, match="in the middle"):
        train.main(prepared, params, "narrow")
    assert len(runs[0].epochs) == 1
    assert isinstance(runs[0].error, MemoryError)
    assert outputs(prepared) == set()


def test_training_that_diverges_is_told_and_leaves_no_output(
    prepared: Workspace, runs: list[RecordedRun], params: Params
) -> None:
    content = params.model_dump()
    content["variants"]["narrow"]["optimizer"] = {"name": "sgd", "learning_rate": 1e30}
    with pytest.raises(PipelineError) as raised:
        train.main(prepared, Params.model_validate(content), "narrow")
    assert str(raised.value).startswith(
        "variants.narrow: training diverged, its figures are NaN or infinite from epoch"
    )
    assert str(raised.value).endswith("Lower optimizer.learning_rate.")
    assert outputs(prepared) == set()


def test_a_full_disk_leaves_nothing_half_written(
    prepared: Workspace, params: Params, runs: list[RecordedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(PipelineError) as raised:
        train.main(prepared, params, "narrow")
    path = prepared.model("narrow", params.variants["narrow"])
    assert str(raised.value).startswith(f"{path}: cannot be written: No space left on device.")
    assert runs[0].error is raised.value
    assert outputs(prepared) == set()


def run_stage(workspace: Workspace, name: str) -> tuple[dict[str, bytes], str]:
    """Run the stage as DVC does, in a process of its own: what it wrote, and what it said."""
    finished = subprocess.run(
        [sys.executable, "-m", "pipeline.stages", "train", name],
        cwd=workspace.root,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "MLFLOW_TRACKING_URI": DEAD_SERVER},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (0, "")
    return {name: (workspace.root / name).read_bytes() for name in outputs(workspace)}, finished.stderr


@pytest.mark.slow
def test_the_same_bytes_twice_and_no_tracking_server_needed(prepared: Workspace) -> None:
    random = {**NARROW, "layers": [{"units": 8, "dropout": 0.2}], "epochs": 2}
    params_files.write(prepared.root, {**CONTENT, "variants": {"narrow": random, "longer": NARROW}, "warm_started": {}})
    first, said = run_stage(prepared, "narrow")
    assert first.keys() == OUTPUTS
    # Not a word but this one: there is no terminal to draw a progress bar on.
    assert said.strip().startswith(f"WARNING: MLflow at {DEAD_SERVER} could not be reached")
    assert len(said.strip().splitlines()) == 2
    for name in OUTPUTS:
        (prepared.root / name).unlink()
    again, _ = run_stage(prepared, "narrow")
    assert again == first
