from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.evaluation import statistics
from pipeline.evaluation.result_files import ClassifierScores
from pipeline.evaluation.statistics import Discordance
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.stages import contrast
from pipeline.studies.four_vs_nine import metrics, questions

FILES = {"gains.csv", "overfitting.json", "validation_accuracy.png", "validation_cross_entropy.png", "overfitting.png"}
# After the variant.
GAINS_COLUMNS = [
    "kind",
    "val_accuracy",
    "val_accuracy_low",
    "val_accuracy_high",
    "val_cross_entropy",
    "test_accuracy",
    "gain_points",
    "gain_low",
    "gain_high",
    "only_variant_right",
    "only_baseline_right",
    "p_value",
    "holm_p_value",
    "band",
    "updates",
]
NUM_TEST, NUM_TRAIN, NUM_VALIDATION = 100, 50, 40
# Which test examples each gets right, validation accuracy and cross-entropy at the end.
RIGHT = {
    "plain": (range(90), 0.9, 0.3),
    "sparse": (range(88), 0.85, 0.35),
    "light": (range(92), 0.925, 0.2),
    "heavy": (range(5, 95), 0.95, 0.25),
    "augmented": (range(98), 0.975, 0.1),
}


@pytest.fixture
def params(content: dict[str, Any]) -> Params:
    """A study with a baseline, a penalty, a sweep over two dropout rates and an augmented variant from its outcome."""
    plain = {**content["variants"]["narrow"], "epochs": 4}
    derived = {key: value for key, value in plain.items() if key != "layers"}
    member = {**plain, "sweep": "rates"}
    content["contrasts"] = {"first": {"dataset": "shapes", "baseline": "plain"}}
    content["sweeps"] = {"rates": {"study": "first", "dataset": "shapes"}}
    content["variants"] = {
        "sparse": {**plain, "output": {"activation": "sigmoid", "l1": 0.1}},
        "plain": plain,
        "elsewhere": {**plain, "study": "second"},
    }
    content["swept"] = {
        "light": {**member, "layers": [{"units": 4, "dropout": 0.1}]},
        "heavy": {**member, "layers": [{"units": 4, "dropout": 0.4}]},
    }
    augmentation = {"shear_degrees": 10, "rotation_degrees": 10, "zoom": 0.2}
    content["derived"] = {
        "augmented": {
            **derived,
            "layers_from": "rates",
            "augmentation": augmentation,
            "steps_per_epoch": 30,
            "epochs": 2,
        }
    }
    content["studies"]["first"]["variants"] = ["sparse", "plain", "light", "heavy", "augmented"]
    content["studies"]["second"]["variants"] = ["elsewhere"]
    return Params.model_validate(content)


@pytest.fixture
def trained(workspace: Workspace, params: Params) -> Workspace:
    """The workspace after training and evaluation; `plain` overfits, no other does."""
    num_examples = {"train": NUM_TRAIN, "validation": NUM_VALIDATION, "test": NUM_TEST}
    statistics = {"num_examples": num_examples, "sha256": {}}
    storage.write_json(workspace.dataset_results("shapes") / "statistics.json", statistics)
    for name, (right, accuracy, cross_entropy) in RIGHT.items():
        spec = params.classifiers[name]
        labels = (np.arange(NUM_TEST) % 3).astype(np.uint8)
        predicted = np.where(np.isin(np.arange(NUM_TEST), right), labels, (labels + 1) % 3)
        storage.write_arrays(
            workspace.predictions("first") / f"{name}.npz",
            probabilities=np.eye(3, dtype=np.float32)[predicted],
            labels=labels,
        )
        lowest = 0.1 if name == "plain" else cross_entropy
        values = [0.7, lowest, *[cross_entropy] * (spec.epochs - 2)]
        history = {
            "epoch": range(1, spec.epochs + 1),
            "accuracy": [0.5, *[1.0 if name == "plain" else 0.9] * (spec.epochs - 1)],
            "cross_entropy": [0.6, *[0.01] * (spec.epochs - 1)],
            "val_accuracy": [0.6, *[accuracy] * (spec.epochs - 1)],
            "val_cross_entropy": values,
        }
        folder = workspace.training_results(name, spec)
        storage.write_table(folder / "history.csv", pd.DataFrame(history))
        last = {"accuracy": accuracy, "cross_entropy": cross_entropy, "loss": 9.0}
        figures = {
            "parameters": {"total": 100, "trainable": 100},
            "epochs": spec.epochs,
            "best_epoch": 1,
            "train": {"last": last, "best": last},
            "validation": {"last": last, "best": last},
            "train_evaluated": {"accuracy": 1.0 if name == "plain" else 0.92, "cross_entropy": 0.005, "loss": 9.0},
        }
        storage.write_json(folder / "metrics.json", figures)
    return workspace


def gains(workspace: Workspace) -> pd.DataFrame:
    return storage.read_table(workspace.contrast("first") / "gains.csv").set_index("variant")


def test_writes_tables_and_figures(trained: Workspace, params: Params) -> None:
    contrast.main(trained, params, "first")
    assert {path.name for path in trained.contrast("first").iterdir()} == FILES


def test_gains_are_paired_with_the_baseline_on_the_same_examples(trained: Workspace, params: Params) -> None:
    contrast.main(trained, params, "first")
    table = gains(trained)
    assert list(table.columns) == GAINS_COLUMNS
    # `heavy` gets as many right as the baseline, but others: five of either are only its own.
    assert table["test_accuracy"][["heavy", "plain"]].tolist() == [0.9, 0.9]
    assert tuple(table.loc["heavy", ["only_variant_right", "only_baseline_right"]]) == (5, 5)
    assert tuple(table.loc["heavy", ["gain_points", "p_value"]]) == (0, 1)
    assert tuple(table.loc["augmented", ["only_variant_right", "only_baseline_right"]]) == (8, 0)
    assert table.loc["augmented", "gain_points"] == pytest.approx(8)
    low, high = statistics.tango_interval(Discordance(8, 0, NUM_TEST))
    assert tuple(table.loc["augmented", ["gain_low", "gain_high"]]) == pytest.approx((100 * low, 100 * high))
    assert table.loc["augmented", "p_value"] == pytest.approx(2 / 2**8)
    assert table.loc["augmented", "holm_p_value"] == pytest.approx(4 * 2 / 2**8)
    of_baseline = ["gain_points", "gain_low", "gain_high", "only_variant_right", "p_value", "holm_p_value", "band"]
    assert table.loc["plain", of_baseline].isna().all()


def test_validation_figures_are_of_the_last_epoch_and_without_penalties(trained: Workspace, params: Params) -> None:
    contrast.main(trained, params, "first")
    table = gains(trained)
    for name, (_, accuracy, cross_entropy) in RIGHT.items():
        assert tuple(table.loc[name, ["val_accuracy", "val_cross_entropy"]]) == (accuracy, cross_entropy)
        interval = statistics.wilson_interval(round(accuracy * NUM_VALIDATION), NUM_VALIDATION)
        assert tuple(table.loc[name, ["val_accuracy_low", "val_accuracy_high"]]) == pytest.approx(interval)


def test_kinds_stand_together_after_the_baseline(trained: Workspace, params: Params) -> None:
    contrast.main(trained, params, "first")
    assert gains(trained)["kind"].to_dict() == {
        "plain": "baseline",
        "sparse": "L1",
        "light": "dropout",
        "heavy": "dropout",
        "augmented": "dropout + augmentation",
    }
    assert list(gains(trained).index) == ["plain", "sparse", "light", "heavy", "augmented"]


@pytest.mark.parametrize(("epochs", "kind"), [(3, "none"), (4, "early stopping")])
def test_early_stopping_is_a_kind_if_it_ended_the_training(
    trained: Workspace, content: dict[str, Any], epochs: int, kind: str
) -> None:
    content["variants"]["sparse"] |= {
        "output": None,
        "early_stopping": {"monitor": "val_loss", "patience": 2},
        "epochs": epochs,
    }
    params = Params.model_validate(content)
    metrics_path = trained.training_results("sparse", params.variants["sparse"]) / "metrics.json"
    storage.write_json(metrics_path, {**storage.read_json(metrics_path), "epochs": 3})
    contrast.main(trained, params, "first")
    assert gains(trained)["kind"]["sparse"] == kind


def test_updates_are_counted(trained: Workspace, params: Params) -> None:
    contrast.main(trained, params, "first")
    # 50 images in batches of 8 are 7 steps; the augmented one has its own number.
    assert gains(trained)["updates"].to_dict() == {
        **dict.fromkeys(["plain", "sparse", "light", "heavy"], 4 * 7),
        "augmented": 2 * 30,
    }


@pytest.mark.parametrize(
    ("num_gained", "num_examples", "expected"),
    [
        (-500, 1991, "below 1"),
        (0, 1991, "below 1"),
        (19, 1991, "below 1"),
        (20, 1991, "1 to 2"),
        (39, 1991, "1 to 2"),
        (40, 1991, "2 to 3"),
        (60, 1991, "3 or more"),
        # Exactly on the edge, where floating point would decide by chance.
        (1, 100, "1 to 2"),
        (2, 100, "2 to 3"),
        (3, 100, "3 or more"),
        (29, 1000, "2 to 3"),
    ],
)
def test_bands(num_gained: int, num_examples: int, expected: str) -> None:
    assert metrics.band(num_gained, num_examples) == expected


def test_overfitting_of_the_baseline_is_shown(trained: Workspace, params: Params) -> None:
    contrast.main(trained, params, "first")
    report = storage.read_json(trained.contrast("first") / "overfitting.json")
    assert (report["baseline"], report["visibly_overfits"]) == ("plain", True)
    assert report["verdict"] == (
        "It visibly overfits. Its validation cross-entropy is lowest in epoch 2 of 4 (0.1000) and ends at 0.3000; "
        "it classifies 100.00 % of the training and 90.00 % of the validation images correctly."
    )
    plain = report["variants"]["plain"]
    assert plain.pop("rise") == pytest.approx(0.2)
    assert plain.pop("gap_points") == pytest.approx(10)
    assert plain == {
        "epochs": 4,
        "lowest_val_cross_entropy_epoch": 2,
        "lowest_val_cross_entropy": 0.1,
        "last_val_cross_entropy": 0.3,
        "last_train_cross_entropy": 0.005,
        "train_accuracy": 1.0,
        "val_accuracy": 0.9,
        "first_epoch_fit": 2,
    }
    assert report["variants"]["light"]["first_epoch_fit"] is None
    assert report["variants"]["light"]["rise"] == 0


@pytest.mark.parametrize(
    ("baseline", "verdict"),
    [
        ("light", "It does not visibly overfit: its validation cross-entropy hardly rises."),
        ("partly", "It does not visibly overfit: it does not fit the training images better."),
    ],
)
def test_a_baseline_that_does_not_overfit_is_said_not_to(
    trained: Workspace, params: Params, baseline: str, verdict: str
) -> None:
    variants = contrast.read_variants(trained, params, "first")
    plain = variants["plain"]
    train = ClassifierScores(accuracy=0.85, cross_entropy=0.3, loss=0.3)
    unfit = plain.metrics.model_copy(update={"train_evaluated": train})
    variants["partly"] = replace(plain, metrics=unfit)
    report = questions.overfitting(variants, baseline)
    assert report["visibly_overfits"] is False
    assert report["verdict"].startswith(verdict)


def test_the_curves_are_those_of_the_baseline_and_the_best_of_each_kind(trained: Workspace, params: Params) -> None:
    contrast.main(trained, params, "first")
    table = storage.read_table(trained.contrast("first") / "gains.csv")
    assert metrics.best_of_each_kind(table, "plain") == ["plain", "sparse", "light", "augmented"]


def test_a_baseline_and_one_other_are_enough(trained: Workspace, content: dict[str, Any], params: Params) -> None:
    content["derived"], content["swept"], content["sweeps"] = {}, {}, {}
    content["studies"]["first"]["variants"] = ["sparse", "plain"]
    contrast.main(trained, Params.model_validate(content), "first")
    assert list(gains(trained).index) == ["plain", "sparse"]
    assert {path.name for path in trained.contrast("first").iterdir()} == FILES


def test_the_same_bytes_twice(trained: Workspace, params: Params) -> None:
    def run() -> dict[str, bytes]:
        contrast.main(trained, params, "first")
        return {path.name: path.read_bytes() for path in trained.contrast("first").iterdir()}

    assert run() == run()


def test_variants_tested_on_other_examples_are_refused(trained: Workspace, params: Params) -> None:
    path = trained.predictions("first") / "heavy.npz"
    probabilities, labels = storage.read_arrays(path, "probabilities", "labels")
    storage.write_arrays(path, probabilities=probabilities, labels=labels[::-1])
    with pytest.raises(PipelineError, match=f"{path}: expected the test examples that the other variants have"):
        contrast.main(trained, params, "first")
    assert not trained.contrast("first").exists()


def test_missing_predictions_are_named(trained: Workspace, params: Params) -> None:
    path = trained.predictions("first") / "light.npz"
    path.unlink()
    with pytest.raises(PipelineError, match=f"{path}: .* the file is missing"):
        contrast.main(trained, params, "first")


def test_unknown_contrast_is_refused(workspace: Workspace, params: Params) -> None:
    with pytest.raises(PipelineError, match="unknown contrast 'second'; expected one of: first"):
        contrast.main(workspace, params, "second")
