from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.config.params import Params
from pipeline.data.examples import read_rows
from pipeline.errors import PipelineError
from pipeline.evaluation.result_files import RegressorTraining
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.stages import train
from pipeline.studies.waves import data

NUM_POINTS, NUM_EPOCHS = 20, 4
FOLDER = "results/train/hums/hums/narrow"
OUTPUTS = {
    "models/hums/hums/narrow.keras",
    f"{FOLDER}/history.csv",
    f"{FOLDER}/metrics.json",
    f"{FOLDER}/curves.png",
}
COLUMNS = ["epoch", "loss", "mean_absolute_error", "val_loss", "val_mean_absolute_error", "learning_rate"]
REGRESSOR = {
    "study": "hums",
    "dataset": "hums",
    "family": "regressor",
    "engine": "jax",
    "layers": [{"units": 8}, {"units": 6}],
    "optimizer": {"name": "adam", "learning_rate": 0.01},
    "batch_size": 8,
    "epochs": NUM_EPOCHS,
}
SIGNAL = {
    "title": "Hums",
    "num_points": NUM_POINTS,
    "length_in_pi": 4,
    "train_size": 61,
    "validation_size": 21,
    "test_size": 2,
    "seed": 7,
    "example": [0, 0, 0, 0],
    "extended": [[0, 0, 0, 0]],
}


def params_with(**changes: Any) -> Params:
    content = {"compute": {"seed": 1, "threads": 1}, "sources": {}, "datasets": {}, "studies": {}, "tasks": {}}
    groups = {"variants": {}, "signals": {"hums": SIGNAL}, "regressors": {"narrow": {**REGRESSOR, **changes}}}
    return Params.model_validate({**content, **groups})


def outputs(workspace: Workspace) -> dict[str, bytes]:
    found = (path for folder in ("models", "results") for path in (workspace.root / folder).rglob("*"))
    return {str(path.relative_to(workspace.root)): path.read_bytes() for path in found if path.is_file()}


@dataclass
class RecordedRun:
    """Stands in for the MLflow run: what it heard, and the outputs that lay there when it ended well."""

    name: str
    epochs: list[dict[str, float]] = field(default_factory=list)
    files: set[str] = field(default_factory=set)

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        self.epochs.append({"epoch": epoch, **values})


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[RecordedRun]:
    recorded: list[RecordedRun] = []

    @contextlib.contextmanager
    def training_run(workspace: Workspace, params: Params, name: str) -> Iterator[RecordedRun]:
        run = RecordedRun(name)
        recorded.append(run)
        yield run
        run.files = set(outputs(workspace))

    monkeypatch.setattr("pipeline.tracking.live.training_run", training_run)
    return recorded


@pytest.fixture
def prepared(workspace: Workspace) -> Workspace:
    """What is there before training, but for the test rows: training has no use for them."""
    rows = data.generate(params_with().signals["hums"])
    for split in ("train", "validation"):
        inputs, targets = rows[split]
        storage.write_arrays(workspace.prepared("hums", split), inputs=inputs, targets=targets)
    return workspace


def history(workspace: Workspace) -> pd.DataFrame:
    return storage.read_table(workspace.root / FOLDER / "history.csv")


def metrics(workspace: Workspace) -> dict[str, Any]:
    return storage.read_json(workspace.root / FOLDER / "metrics.json")


def test_writes_model_history_metrics_and_curves_and_the_run_hears_each_epoch(
    prepared: Workspace, runs: list[RecordedRun]
) -> None:
    train.main(prepared, params_with(), "narrow")
    (run,) = runs
    assert (run.name, run.files) == ("narrow", OUTPUTS)
    table = history(prepared)
    assert list(table.columns) == COLUMNS
    assert list(table["epoch"]) == [1, 2, 3, 4]
    assert table["loss"].iloc[-1] < table["loss"].iloc[0]
    assert run.epochs == table.to_dict("records")
    with Image.open(prepared.root / FOLDER / "curves.png") as picture:
        assert picture.format == "PNG"


def test_final_figures_are_those_of_the_saved_model(prepared: Workspace, runs: list[RecordedRun]) -> None:
    # Dropout must be off when the final weights are scored.
    train.main(prepared, params_with(layers=[{"units": 8, "dropout": 0.5}]), "narrow")
    model = storage.read_model(prepared.root / "models/hums/hums/narrow.keras")
    found = metrics(prepared)
    for split, told in (("train", found["train_evaluated"]), ("validation", found["validation"]["last"])):
        examples = read_rows(prepared.prepared("hums", split), params_with().signals["hums"])
        error = np.abs(np.asarray(model(examples.inputs)) - examples.targets).mean()
        assert told["mean_absolute_error"] == pytest.approx(error, rel=1e-5)


def test_metrics_are_those_of_the_history(prepared: Workspace, runs: list[RecordedRun]) -> None:
    train.main(prepared, params_with(layers=[{"units": 8, "l2": 0.01}]), "narrow")
    table, found = history(prepared), metrics(prepared)
    assert RegressorTraining.model_validate(found).model_dump() == found
    best = list(table["val_mean_absolute_error"]).index(table["val_mean_absolute_error"].min())
    assert (found["epochs"], found["best_epoch"]) == (NUM_EPOCHS, best + 1)
    assert (table["loss"] > table["mean_absolute_error"]).all()
    for moment, row in (("last", table.iloc[-1]), ("best", table.iloc[best])):
        for section, prefix in (("train", ""), ("validation", "val_")):
            assert found[section][moment] == {
                "loss": row[f"{prefix}loss"],
                "mean_absolute_error": row[f"{prefix}mean_absolute_error"],
            }
    num_parameters = (NUM_POINTS + 1) * 8 + 9 * 4
    assert found["parameters"] == {"total": num_parameters, "trainable": num_parameters}


def test_the_best_epoch_has_the_lowest_validation_error(prepared: Workspace, runs: list[RecordedRun]) -> None:
    # Steps so large that the error goes up and down.
    train.main(prepared, params_with(optimizer={"name": "adam", "learning_rate": 0.5}, epochs=5), "narrow")
    errors = list(history(prepared)["val_mean_absolute_error"])
    assert metrics(prepared)["best_epoch"] == errors.index(min(errors)) + 1
    assert errors.index(min(errors)) + 1 < 5, "this case cannot tell the best epoch from the last"


def test_the_same_bytes_twice(prepared: Workspace, runs: list[RecordedRun]) -> None:
    train.main(prepared, params_with(), "narrow")
    first = outputs(prepared)
    for name in first:
        (prepared.root / name).unlink()
    train.main(prepared, params_with(), "narrow")
    assert outputs(prepared) == first
    assert first.keys() == OUTPUTS


def test_training_that_diverges_is_told_and_leaves_no_output(prepared: Workspace, runs: list[RecordedRun]) -> None:
    with pytest.raises(PipelineError) as raised:
        train.main(prepared, params_with(optimizer={"name": "sgd", "learning_rate": 1e30}), "narrow")
    assert str(raised.value).startswith("regressors.narrow: training diverged, its figures are NaN or infinite from")
    assert outputs(prepared) == {}


@pytest.mark.parametrize("split", ["train", "validation"])
def test_rows_that_do_not_fit_the_signal_are_named(prepared: Workspace, runs: list[RecordedRun], split: str) -> None:
    examples = read_rows(prepared.prepared("hums", split), params_with().signals["hums"])
    storage.write_arrays(prepared.prepared("hums", split), inputs=examples.inputs[:, 1:], targets=examples.targets)
    with pytest.raises(PipelineError, match=rf"{split}\.npz: expected inputs \(n, 20\) of float32"):
        train.main(prepared, params_with(), "narrow")
    assert (outputs(prepared), runs) == ({}, [])


def test_an_unknown_regressor_is_named(prepared: Workspace, runs: list[RecordedRun]) -> None:
    with pytest.raises(PipelineError, match="unknown variant 'narow'; expected one of: narrow"):
        train.main(prepared, params_with(), "narow")
