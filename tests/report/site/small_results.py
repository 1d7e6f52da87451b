"""A workspace with results of everything that the report shows, made up and as small as can be."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config.params import Params
from pipeline.evaluation import pairwise, seeds
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.plots import style
from pipeline.stages import compare, contrast, summarize
from tests.stages.two_studies import CONTENT, MLP

CLASSES = ["disc", "square", "star"]
# Of each variant: its parameters, and its test accuracy.
FIGURES = {"narrow": (100, 0.9), "dropped": (100, 0.93), "wide": (400, 0.95), "refit": (300, 0.94)}
NUM_EXAMPLES, NUM_SEEDS, EPOCHS = 300, 2, 3
UNITS = ("4", "8")
SIGNAL = {
    "title": "Waves",
    "num_points": 8,
    "length_in_pi": 2.0,
    "train_size": 4,
    "validation_size": 2,
    "test_size": 2,
    "seed": 1,
    "example": [1.0, 1.0, 0.0, 1.0],
    "extended": [[2.0, 1.0, 0.0, 1.0]],
}
FINDINGS = """# Findings

Judged by intervals.

## The first
<!-- study: first -->

**Does dropout help?** `dropped` has {{ trained["dropped"].train_evaluated.accuracy | percent }}.
As a [file](../params.yaml) says:

| | test |
|---|--:|
| `narrow` | {{ tested["first"]["narrow"].accuracy | percent }} |

## In general

Nothing.
"""


def make(root: Path) -> tuple[Workspace, Params]:
    """Two studies of images and one of waves: with a baseline, repeats, a search and its refit, and texts."""
    workspace, params = Workspace(root), Params.model_validate(parameters())
    (root / "docs").mkdir(parents=True)
    workspace.findings_template.write_text(FINDINGS)
    workspace.reported_results.write_text(
        "first:\n  narrow: {params: 100, reported: {test_accuracy: 0.901}}\n"
        "  dropped: {params: 100, reported: {test_accuracy: 0.1}, fault: The network was <dead>.}\n"
    )
    for name in ("block_costs", "updates"):
        storage.write_table(root / "benchmarks" / f"{name}.csv", pd.DataFrame({"a": [1]}))
    storage.write_json(workspace.dataset_results("shapes") / "statistics.json", data_statistics())
    _picture(workspace.dataset_results("shapes") / "examples.png")
    for name, variant in params.classifiers.items():
        _train(workspace.training_results(name, variant), name)
    for study in params.studies:
        _evaluate(workspace, params, study)
    _search(workspace)
    for study in params.studies:
        compare.main(workspace, params, study)
    contrast.main(workspace, params, "first")
    _repeat(workspace)
    _signal(workspace, params)
    summarize.main(workspace, params, "all")
    for task in params.tasks:
        selected = {"selected": "wide", "reason": "It is the best.", "candidates": [], "alternatives": []}
        storage.write_json(workspace.selection(task), selected)
    return workspace, params


def parameters() -> dict[str, Any]:
    content = copy.deepcopy(CONTENT)
    first, second = content["studies"]["first"], content["studies"]["second"]
    first["variants"], second["variants"] = ["narrow", "dropped", "wide"], ["wide", "refit"]
    without = {key: value for key, value in MLP.items() if key != "layers"}
    repeated = {"repeats": "first", "seeds": NUM_SEEDS, "study": "first", "dataset": "shapes"}
    network = {"family": "mlp", "engine": "jax"}
    return {
        **content,
        "variants": {
            "narrow": {**MLP, "study": "first"},
            "dropped": {**MLP, "study": "first", "layers": [{"units": 4, "dropout": 0.5}]},
            "wide": {**MLP, "study": "first", "layers": [{"units": 16}]},
        },
        "searches": {
            "widths": {
                "study": "second",
                "dataset": "shapes",
                "grid": [[4, 8]],
                "block": {"dropout": 0.5},
                "optimizer": {"name": "adam", "learning_rate": 0.001},
                "batch_size": 8,
                "epochs": 1,
                "folds": 2,
            }
        },
        "derived": {"refit": {**without, "study": "second", "layers_from": "widths"}},
        "contrasts": {"first": {"dataset": "shapes", "baseline": "narrow"}},
        "repeats": {"first": {"dataset": "shapes", "baseline": "narrow"}},
        "repeated": {name: {**repeated, **network} for name in ("narrow", "dropped")},
        "signals": {"waves": SIGNAL},
        "regressors": {"sine": {**MLP, "family": "regressor", "study": "waves", "dataset": "waves"}},
    }


def data_statistics() -> dict[str, Any]:
    counts = dict.fromkeys(CLASSES, NUM_EXAMPLES // 3)
    splits = ("train", "validation", "test")
    return {
        "title": "Shapes",
        "num_examples": dict.fromkeys(splits, NUM_EXAMPLES),
        "class_counts": dict.fromkeys(splits, counts),
        "sha256": {split: str(number) * 64 for number, split in enumerate(splits)},
    }


def _picture(path: Path) -> None:
    figure, axes = style.panels(1.0)
    axes.set_axis_off()
    storage.write_figure(path, figure)


def _train(folder: Path, name: str) -> None:
    size, accuracy = FIGURES[name]
    rates = np.linspace(0.5, accuracy, EPOCHS)
    columns = {"accuracy": rates, "cross_entropy": 1 - rates, "loss": 1 - rates}
    history = {"epoch": range(1, EPOCHS + 1), **columns, **{f"val_{key}": item for key, item in columns.items()}}
    storage.write_table(folder / "history.csv", pd.DataFrame({**history, "learning_rate": 0.001}))
    last = {"loss": 0.2, "cross_entropy": 0.1, "accuracy": accuracy}
    storage.write_json(folder / "metrics.json", _training(size, last))


def _training(size: int, last: dict[str, float]) -> dict[str, Any]:
    return {
        "parameters": {"total": size, "trainable": size},
        "epochs": EPOCHS,
        "best_epoch": 2,
        "train": {"last": last, "best": last},
        "validation": {"last": last, "best": last},
        "train_evaluated": {**last, **({"accuracy": 0.99} if "accuracy" in last else {})},
    }


def _evaluate(workspace: Workspace, params: Params, study: str) -> None:
    scores = {}
    for name in params.studies[study].variants:
        accuracy = FIGURES[name][1]
        labels = (np.arange(NUM_EXAMPLES) % 3).astype(np.uint8)
        predicted = np.where(np.arange(NUM_EXAMPLES) < round(accuracy * NUM_EXAMPLES), labels, (labels + 1) % 3)
        probabilities = np.full((NUM_EXAMPLES, 3), 0.1, np.float32)
        probabilities[np.arange(NUM_EXAMPLES), predicted] = 0.8
        storage.write_arrays(workspace.predictions(study) / f"{name}.npz", probabilities=probabilities, labels=labels)
        scores[name] = {
            "loss": 0.3,
            "cross_entropy": 0.3,
            "accuracy": accuracy,
            "accuracy_low": accuracy - 0.02,
            "accuracy_high": accuracy + 0.01,
            "num_examples": NUM_EXAMPLES,
            "num_correct": round(accuracy * NUM_EXAMPLES),
            "macro_f1": accuracy,
            "expected_calibration_error": 0.02,
            "overconfidence": 0.01,
            "model_sha256": "a" * 64,
        }
        _details(workspace.evaluation_details(study, name))
    storage.write_json(workspace.evaluation(study) / "metrics.json", scores)


def _details(folder: Path) -> None:
    layers = {"layer": ["dense_1"], "kind": ["Dense"], "output_shape": ["4"], "parameters": [100]}
    classes = {"class": CLASSES, "precision": 0.9, "recall": 0.8, "f1": 0.85, "support": 100}
    bins = {"low": [0.0, 0.5], "high": [0.5, 1.0], "num_examples": [0, 9], "confidence": [None, 0.8]}
    bins |= {"accuracy": [None, 0.7], "accuracy_low": [None, 0.6], "accuracy_high": [None, 0.8]}
    confusion = pd.DataFrame(np.eye(3, dtype=int) * 9 + 1, columns=CLASSES)
    confusion.insert(0, "true class", CLASSES)
    storage.write_table(folder / "layers.csv", pd.DataFrame(layers))
    storage.write_table(folder / "per_class.csv", pd.DataFrame(classes))
    storage.write_table(folder / "reliability.csv", pd.DataFrame(bins))
    storage.write_table(folder / "confusion_matrix.csv", confusion)
    _picture(folder / "most_wrong.png")


def _search(workspace: Workspace) -> None:
    outcome = {"search": "widths", "selected": "8", "units": [8], "mean_accuracy": 0.9, "reason": "It is the best."}
    storage.write_json(workspace.outcome("widths"), {**outcome, "layers": [{"units": 8, "dropout": 0.5}]})
    scores = {"search": "widths", "units": UNITS, "fold_1_accuracy": 0.8, "fold_2_accuracy": 0.9}
    means = {"mean_accuracy": [0.85, 0.9], "std_accuracy": 0.01, "reported_cv_accuracy": [0.86, 0.91]}
    storage.write_table(workspace.searches_table, pd.DataFrame({**scores, **means, "difference": -0.01}))
    weights = {"layer": ["dense_1"], "shape": ["4x8"], "num_weights": [32], "mean": [0.0], "std": [0.1]}
    weights |= {"min": [-1.0], "max": [1.0], "initial_std": [0.2], "share_near_zero": [0.1]}
    storage.write_table(workspace.kernels("refit") / "statistics.csv", pd.DataFrame(weights))
    _picture(workspace.kernels("refit") / "violins.png")


def _repeat(workspace: Workspace) -> None:
    folder, random = workspace.repeats("first"), np.random.default_rng(1)
    tested, rows = {}, []
    for name in ("narrow", "dropped"):
        correct = random.random((NUM_SEEDS, NUM_EXAMPLES)) < FIGURES[name][1]
        tested[name] = pairwise.Tested(correct, (~correct).astype(np.float64), "categorical_crossentropy")
        for seed in range(NUM_SEEDS):
            figures = {f"{split}_accuracy": correct[seed].mean() for split in ("val", "test")}
            errors = {f"{split}_cross_entropy": 0.1 + seed / 10 for split in ("val", "test")}
            rows.append({"variant": name, "seed": seed, **figures, **errors})
    table = pd.DataFrame(rows)
    storage.write_table(folder / "seeds.csv", table)
    storage.write_table(folder / "summary.csv", seeds.summary(table))
    storage.write_table(folder / "differences.csv", seeds.differences(tested, [("dropped", "narrow")]))


def _signal(workspace: Workspace, params: Params) -> None:
    folder = workspace.training_results("sine", params.regressors["sine"])
    errors = {"loss": [0.2, 0.1], "mean_absolute_error": [0.2, 0.1]}
    history = {"epoch": [1, 2], **errors, **{f"val_{key}": item for key, item in errors.items()}}
    storage.write_table(folder / "history.csv", pd.DataFrame({**history, "learning_rate": 0.001}))
    storage.write_json(folder / "metrics.json", _training(50, {"loss": 0.1, "mean_absolute_error": 0.1}))
    scores: dict[str, Any] = dict.fromkeys(
        ("mean_absolute_error", "sign_fixed_mean_absolute_error", "curve_error"), 0.25
    )
    scores |= {"curve_error_first_period": 0.1, "curve_error_last_period": 0.2, "num_examples": 2}
    scores |= {part: dict.fromkeys("abcd", 0.1) for part in ("parameters", "sign_fixed", "determined")}
    beside = [f"mean_absolute_error_{end}" for end in ("low", "high", "gap")]
    beside += [f"{split}_mean_absolute_error" for split in ("train", "validation")]
    tested = {**scores, "extended": scores, **dict.fromkeys(beside, 0.25), "model_sha256": "b" * 64}
    evaluation, details = workspace.evaluation("waves"), workspace.evaluation_details("waves", "sine")
    storage.write_json(evaluation / "metrics.json", {"sine": tested})
    storage.write_json(evaluation / "answers.json", {})
    pair = {"first": ["sine"], "second": ["always_the_mean"], "difference": [-0.2], "low": [-0.3], "high": [-0.1]}
    test = {"p_value": [0.01], "holm_p_value": [0.01], "verdict": ["sine is better"]}
    storage.write_table(evaluation / "differences.csv", pd.DataFrame({**pair, **test}))
    waves = {f"{who}_{name}": [0.5] for who in ("true", "predicted") for name in "abcd"}
    for name in ("first_test_rows", "predictions"):
        storage.write_table(details / f"{name}.csv", pd.DataFrame({**waves, "curve_error": [0.3]}))
    _picture(details / "test_curves.png")
