"""Repeats: trained under several seeds by one stage, scored on the test set by another."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.config.params import Params
from pipeline.data.examples import read_images
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.runtime import backend
from pipeline.stages import evaluate_repeats, repeat, train

NUM_TEST = 90
FILES = {"seeds.csv", "summary.csv", "differences.csv", "accuracy.png"}


@pytest.fixture
def params(content: dict[str, Any]) -> Params:
    """Two seeds for `wide`, which the second study shares, and for its own `deep`."""
    item = {"study": "second", "dataset": "shapes", "family": "mlp", "engine": "jax"}
    content["repeats"] = {"second": {"dataset": "shapes", "repeats": 2}}
    content["repeated"] = {"wide": item, "deep": item}
    content["variants"]["deep"]["layers"] = [{"units": 6, "dropout": 0.2}]
    return Params.model_validate(content)


@pytest.fixture
def prepared(workspace: Workspace) -> Workspace:
    """Images 6x6 of three classes that differ in brightness, without those for the test."""
    for seed, split in enumerate(("train", "validation")):
        save_split(workspace, split, seed)
    return workspace


def save_split(workspace: Workspace, split: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, NUM_TEST).astype(np.uint8)
    images = (generator.integers(0, 90, (NUM_TEST, 6, 6)) + 60 * labels[:, None, None]).astype(np.uint8)
    storage.write_arrays(workspace.prepared("shapes", split), images=images, labels=labels)


def keras_of_a_new_process() -> None:
    backend.configure("jax", threads=1)
    import keras

    keras.backend.clear_session()


def repeat_all(workspace: Workspace, params: Params) -> Workspace:
    for name in params.repeated:
        repeat.main(workspace, params, name)
    return workspace


def test_every_seed_has_a_model_and_a_row_without_the_test_set(prepared: Workspace, params: Params) -> None:
    repeat.main(prepared, params, "deep")
    table = storage.read_table(prepared.repeated_training("second", "deep"))
    assert list(table["seed"]) == [1, 2]
    figures = [f"{split}_{figure}" for split in ("val", "train") for figure in ("loss", "cross_entropy", "accuracy")]
    assert list(table.columns) == ["seed", "epochs", *figures]
    assert table["val_cross_entropy"].nunique() == 2
    first, second = (prepared.repeated_model("second", "deep", seed).read_bytes() for seed in (1, 2))
    assert first != second


def test_the_first_seed_gives_the_model_of_the_variants_own_training(
    prepared: Workspace, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = SimpleNamespace(log_epoch=lambda *_: None)
    monkeypatch.setattr("pipeline.tracking.live.training_run", lambda *_: contextlib.nullcontext(silent))
    # As in the process of its own that a stage has.
    keras_of_a_new_process()
    train.main(prepared, params, "deep")
    repeat.main(prepared, params, "deep")
    own = prepared.model("deep", params.variants["deep"]).read_bytes()
    assert prepared.repeated_model("second", "deep", params.compute.seed).read_bytes() == own
    metrics = storage.read_json(prepared.training_results("deep", params.variants["deep"]) / "metrics.json")
    row = storage.read_table(prepared.repeated_training("second", "deep")).iloc[0]
    assert row["val_accuracy"] == metrics["validation"]["last"]["accuracy"]
    assert row["train_loss"] == metrics["train_evaluated"]["loss"]


def test_repeats_are_scored_and_summarized(prepared: Workspace, params: Params) -> None:
    repeat_all(prepared, params)
    save_split(prepared, "test", 7)
    evaluate_repeats.main(prepared, params, "second")
    folder = prepared.repeats("second")
    assert {path.name for path in folder.iterdir()} == {*FILES, "training"}
    seeds = storage.read_table(folder / "seeds.csv")
    assert list(zip(seeds["variant"], seeds["seed"], strict=True)) == [
        ("wide", 1),
        ("wide", 2),
        ("deep", 1),
        ("deep", 2),
    ]
    test = read_images(prepared.prepared("shapes", "test"), num_classes=3)
    model = storage.read_model(prepared.repeated_model("second", "deep", 2))
    correct = np.asarray(model(test.inputs, training=False)).argmax(axis=1) == test.targets
    assert seeds["test_accuracy"].iloc[3] == correct.mean()
    summary = storage.read_table(folder / "summary.csv").set_index("variant")
    assert summary.loc["deep", "test_accuracy_mean"] == pytest.approx(seeds["test_accuracy"].iloc[2:].mean())
    assert len(storage.read_table(folder / "differences.csv")) == 1


def test_the_same_bytes_twice(prepared: Workspace, params: Params) -> None:
    save_split(prepared, "test", 7)

    def run() -> dict[Path, bytes]:
        repeat_all(prepared, params)
        evaluate_repeats.main(prepared, params, "second")
        folders = (prepared.repeats("second"), prepared.root / "models")
        return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}

    first = run()
    assert len(first) == len(FILES) + 2 + 4
    assert run() == first


def test_repeats_of_other_seeds_are_refused(prepared: Workspace, params: Params, content: dict[str, Any]) -> None:
    repeat_all(prepared, params)
    save_split(prepared, "test", 7)
    content["repeats"]["second"]["repeats"] = 3
    with pytest.raises(
        PipelineError, match=r"wide\.csv: expected the seeds \[1, 2, 3\], got \[1, 2\]\. Run `dvc repro"
    ):
        evaluate_repeats.main(prepared, Params.model_validate(content), "second")


def test_what_is_not_repeated_is_named(workspace: Workspace, params: Params) -> None:
    with pytest.raises(PipelineError, match="unknown repeated variant 'narrow'; expected one of: deep, wide"):
        repeat.main(workspace, params, "narrow")
    with pytest.raises(PipelineError, match="unknown study under repeats 'first'; expected one of: second"):
        evaluate_repeats.main(workspace, params, "first")
