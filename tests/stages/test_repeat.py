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
    item = {"repeats": "second", "seeds": 2, "dataset": "shapes", "family": "mlp", "engine": "jax"}
    content["repeats"] = {"second": {"dataset": "shapes"}}
    content["repeated"] = {"wide": {**item, "study": "first"}, "deep": {**item, "study": "second"}}
    content["variants"]["deep"]["layers"] = [{"units": 6, "dropout": 0.2}]
    return Params.model_validate(content)


@pytest.fixture
def prepared(workspace: Workspace) -> Workspace:
    """Images 6x6 of three classes that differ in brightness, without those for the test."""
    for seed, split in enumerate(("train", "validation")):
        save_split(workspace, split, seed)
    workspace.reported_results.write_text("second: {deep: {reported: {test_accuracy: 0.9}}}\n")
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


@pytest.fixture
def trained(prepared: Workspace, params: Params, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """With what the variants' own trainings leave."""
    silent = SimpleNamespace(log_epoch=lambda *_: None)
    monkeypatch.setattr("pipeline.tracking.live.training_run", lambda *_: contextlib.nullcontext(silent))
    # As in the process of its own that a stage has.
    keras_of_a_new_process()
    for name in params.all_repeated:
        train.main(prepared, params, name)
    return prepared


def repeat_all(workspace: Workspace, params: Params) -> Workspace:
    for name in params.all_repeated:
        repeat.main(workspace, params, name)
    return workspace


def test_every_seed_has_a_model_and_a_row_without_the_test_set(trained: Workspace, params: Params) -> None:
    repeat.main(trained, params, "deep")
    table = storage.read_table(trained.repeated_training("second", "deep"))
    assert list(table["seed"]) == params.seeds_of("deep")
    figures = [f"{split}_{figure}" for split in ("val", "train") for figure in ("loss", "cross_entropy", "accuracy")]
    assert list(table.columns) == ["seed", "epochs", *figures]
    assert table["val_cross_entropy"].nunique() == 2
    models = {trained.repeated_model("second", "deep", seed).read_bytes() for seed in params.seeds_of("deep")}
    assert len(models) == 2


def test_the_first_seed_is_the_variants_own_training(trained: Workspace, params: Params) -> None:
    repeat.main(trained, params, "deep")
    own = trained.model("deep", params.variants["deep"]).read_bytes()
    assert trained.repeated_model("second", "deep", params.seed_of("deep")).read_bytes() == own
    metrics = storage.read_json(trained.training_results("deep", params.variants["deep"]) / "metrics.json")
    row = storage.read_table(trained.repeated_training("second", "deep")).iloc[0]
    assert row["val_accuracy"] == metrics["validation"]["last"]["accuracy"]
    assert row["train_loss"] == metrics["train_evaluated"]["loss"]


def test_another_seed_trains_as_a_training_of_that_seed_does(
    trained: Workspace, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be the same model, were the seed the variant's own."""
    repeat.main(trained, params, "deep")
    other = params.seeds_of("deep")[1]
    repeated = trained.repeated_model("second", "deep", other).read_bytes()
    monkeypatch.setattr(Params, "seed_of", lambda *_: other)
    keras_of_a_new_process()
    train.main(trained, params, "deep")
    assert trained.model("deep", params.variants["deep"]).read_bytes() == repeated


def test_repeats_are_scored_and_summarized(trained: Workspace, params: Params) -> None:
    repeat_all(trained, params)
    save_split(trained, "test", 7)
    evaluate_repeats.main(trained, params, "second")
    folder = trained.repeats("second")
    assert {path.name for path in folder.iterdir()} == {*FILES, "training"}
    table = storage.read_table(folder / "seeds.csv")
    expected = [(name, seed) for name in ("wide", "deep") for seed in params.seeds_of(name)]
    assert list(zip(table["variant"], table["seed"], strict=True)) == expected
    test = read_images(trained.prepared("shapes", "test"), num_classes=3)
    model = storage.read_model(trained.repeated_model("second", "deep", params.seeds_of("deep")[1]))
    correct = np.asarray(model(test.inputs, training=False)).argmax(axis=1) == test.targets
    assert table["test_accuracy"].iloc[3] == correct.mean()
    summary = storage.read_table(folder / "summary.csv").set_index("variant")
    assert summary.loc["deep", "test_accuracy_mean"] == pytest.approx(table["test_accuracy"].iloc[2:].mean())
    (pair,) = storage.read_table(folder / "differences.csv").to_dict("records")
    assert (pair["first"], pair["second"]) == ("wide", "deep")
    means = summary["test_accuracy_mean"].to_dict()
    assert pair["accuracy_difference"] == pytest.approx(means["wide"] - means["deep"])


def test_every_other_variant_is_compared_with_the_baseline(
    trained: Workspace, params: Params, content: dict[str, Any]
) -> None:
    repeat_all(trained, params)
    save_split(trained, "test", 7)
    content["repeats"]["second"]["baseline"] = "wide"
    evaluate_repeats.main(trained, Params.model_validate(content), "second")
    (pair,) = storage.read_table(trained.repeats("second") / "differences.csv").to_dict("records")
    assert (pair["first"], pair["second"]) == ("deep", "wide")


@pytest.mark.slow
def test_the_same_bytes_twice(trained: Workspace, params: Params) -> None:
    save_split(trained, "test", 7)

    def run() -> dict[Path, bytes]:
        repeat_all(trained, params)
        evaluate_repeats.main(trained, params, "second")
        folders = (trained.repeats("second"), trained.root / "models" / "repeats")
        return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}

    first = run()
    assert len(first) == len(FILES) + 2 + 4
    assert run() == first


def test_repeats_of_other_seeds_are_refused(trained: Workspace, params: Params, content: dict[str, Any]) -> None:
    repeat_all(trained, params)
    save_split(trained, "test", 7)
    content["repeated"]["wide"]["seeds"] = 3
    with pytest.raises(PipelineError, match=r"wide\.csv: expected the seeds \[.*, .*, .*\], got \[.*, .*\]\. Run `dvc"):
        evaluate_repeats.main(trained, Params.model_validate(content), "second")


def test_what_is_not_repeated_is_named(workspace: Workspace, params: Params) -> None:
    with pytest.raises(PipelineError, match="unknown repeated variant 'narrow'; expected one of: deep, wide"):
        repeat.main(workspace, params, "narrow")
    with pytest.raises(PipelineError, match="unknown study under repeats 'first'; expected one of: second"):
        evaluate_repeats.main(workspace, params, "first")
