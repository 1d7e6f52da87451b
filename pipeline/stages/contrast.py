"""Hold the variants of a study against one of them: what regularization gains, and whether the baseline overfits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import tracking
from pipeline.config.models import Classifier, DenseLayer, DerivedVariant, MlpBase, Output
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.errors import PipelineError
from pipeline.evaluation import statistics
from pipeline.io import history as histories
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.studies.four_vs_nine import plots

# The steps in which the source's rules count a gain on the test set, in points.
BANDS = (1, 2, 3)
# A validation cross-entropy that ends this much above its lowest value, as a share of it, has visibly risen.
VISIBLE_RISE = 0.05
GAINS_COLUMNS = (
    "variant",
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
)
# Columns of history.csv.
CONTRASTED = ("accuracy", "cross_entropy", "val_accuracy", "val_cross_entropy")


@dataclass(frozen=True)
class Trained:
    """What training and testing left of one variant; `correct` (n,) says which test examples it gets right."""

    spec: Classifier
    metrics: dict[str, Any]
    history: pd.DataFrame
    correct: NDArray[np.bool_]


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Hold every variant of a study against its baseline, on the same test examples and over the epochs."""
    spec = require(params.contrasts, name, "contrast")
    variants = read_variants(workspace, params, name)
    counts = storage.read_json(workspace.dataset_results(spec.dataset) / "statistics.json")["num_examples"]
    table = gains(variants, spec.baseline, params, num_train=counts["train"], num_validation=counts["validation"])
    report = overfitting(variants, spec.baseline)
    title = params.studies[name].title
    shown = {variant: variants[variant].history for variant in few(table, spec.baseline)}
    folder = workspace.contrast(name)
    storage.write_table(folder / "gains.csv", table)
    storage.write_json(folder / "overfitting.json", report)
    for file_name, figure in {
        "validation_accuracy": plots.accuracy_bars(
            table, baseline=spec.baseline, title=f"{title}\nvalidation accuracy, the baseline as a line"
        ),
        "validation_cross_entropy": plots.cross_entropy_bars(
            table, baseline=spec.baseline, title=f"{title}\nvalidation cross-entropy, the baseline as a line"
        ),
        "overfitting": plots.learning_curves(
            shown, title=f"{title}\nthe baseline, and the best of each kind by validation accuracy"
        ),
    }.items():
        storage.write_figure(folder / f"{file_name}.png", figure)
    tracking.publish_contrast(workspace, params, name)


def read_variants(workspace: Workspace, params: Params, study: str) -> dict[str, Trained]:
    """What training and testing left of every variant that a study lists.

    Raises PipelineError when a file is missing or damaged, or when not all were tested on the same examples.
    """
    variants: dict[str, Trained] = {}
    expected: NDArray[np.uint8] | None = None
    for name, spec in params.variants_of(study).items():
        path = workspace.predictions(study) / f"{name}.npz"
        probabilities, labels = storage.read_arrays(path, "probabilities", "labels")
        if expected is not None and not np.array_equal(labels, expected):
            raise PipelineError(
                f"{path}: expected the test examples that the other variants have, got others. "
                f"Run `dvc repro evaluate@{study}`."
            )
        expected = labels
        folder = workspace.training_results(name, spec)
        variants[name] = Trained(
            spec,
            storage.read_json(folder / "metrics.json"),
            histories.read(folder / "history.csv", CONTRASTED),
            probabilities.argmax(axis=1) == labels,
        )
    return variants


def gains(
    variants: Mapping[str, Trained], baseline: str, params: Params, *, num_train: int, num_validation: int
) -> pd.DataFrame:
    """One row per variant, the baseline first and its kinds together, with the columns GAINS_COLUMNS.

    Validation figures are of the last epoch's weights, `val_cross_entropy` without penalties, so that variants with
    and without compare. Gains are of test accuracy over the baseline's, in points (100 times a fraction), with Tango's
    paired interval; `p_value` is that of the exact McNemar test, `holm_p_value` is corrected for all rows. `updates`
    are the steps of the optimizer. The baseline's gains are empty.
    """
    rows = []
    for name, item in variants.items():
        last = item.metrics["validation"]["last"]
        low, high = statistics.wilson_interval(round(last["accuracy"] * num_validation), num_validation)
        rows.append(
            {
                "variant": name,
                "kind": "baseline" if name == baseline else kind_of(item, params),
                "val_accuracy": last["accuracy"],
                "val_accuracy_low": low,
                "val_accuracy_high": high,
                "val_cross_entropy": last["cross_entropy"],
                "test_accuracy": float(item.correct.mean()),
                "updates": num_updates(item.spec, item.metrics["epochs"], num_train),
                **({} if name == baseline else _gain(item.correct, variants[baseline].correct)),
            }
        )
    others = [row for row in rows if row["variant"] != baseline]
    for row, corrected in zip(others, statistics.holm([row["p_value"] for row in others]), strict=True):
        row["holm_p_value"] = corrected
    kinds = list(dict.fromkeys(["baseline", *(row["kind"] for row in rows)]))
    rows.sort(key=lambda row: kinds.index(row["kind"]))
    return pd.DataFrame(rows, columns=list(GAINS_COLUMNS)).astype(
        {"only_variant_right": "Int64", "only_baseline_right": "Int64"}
    )


def kind_of(item: Trained, params: Params) -> str:
    """How a variant is regularized: `L1`, `L2`, `dropout`, ..., joined by ` + `; `none` if it is not.

    Early stopping counts if it ended the training.
    """
    spec = item.spec
    layers = _layers(spec, params)
    penalized: list[DenseLayer | Output] = [*layers]
    if isinstance(spec, MlpBase) and spec.output:
        penalized.append(spec.output)
    kinds = {
        "L1": any(layer.l1 for layer in penalized),
        "L2": any(layer.l2 for layer in penalized),
        "activity L1": any(layer.activity_l1 for layer in layers),
        "batch normalization": any(layer.batch_norm for layer in layers),
        "dropout": any(layer.dropout for layer in layers),
        "augmentation": getattr(spec, "augmentation", None) is not None,
        # One that stopped nothing leaves no trace in the results, by which DVC knows when to run this stage again.
        "early stopping": spec.early_stopping is not None and item.metrics["epochs"] < spec.epochs,
    }
    return " + ".join(kind for kind, is_used in kinds.items() if is_used) or "none"


def num_updates(spec: Classifier, epochs: int, num_train: int) -> int:
    """Steps that the optimizer made in so many epochs."""
    steps = spec.steps_per_epoch if isinstance(spec, MlpBase) else None
    return epochs * (steps or math.ceil(num_train / spec.batch_size))


def band(num_gained: int, num_examples: int) -> str:
    """The band of a gain, given as a number of test examples: `below 1`, `1 to 2`, `2 to 3` or `3 or more` points."""
    reached = [points for points in BANDS if 100 * num_gained >= points * num_examples]
    if not reached:
        return f"below {BANDS[0]}"
    following = [points for points in BANDS if points > reached[-1]]
    return f"{reached[-1]} to {following[0]}" if following else f"{reached[-1]} or more"


def overfitting(variants: Mapping[str, Trained], baseline: str) -> dict[str, Any]:
    """Where validation cross-entropy turned and how far training and validation lie apart; the baseline's verdict.

    Cross-entropies are without penalties. `train_accuracy` and the gap, in points, are of the final weights on all
    training images as they are, with dropout off; `first_epoch_fit` is the first epoch whose training accuracy, a
    running mean with dropout and augmentation active, is 1.
    """
    figures = {name: _overfitting_of(item) for name, item in variants.items()}
    visibly, verdict = _verdict(figures[baseline])
    return {"baseline": baseline, "visibly_overfits": visibly, "verdict": verdict, "variants": figures}


def few(table: pd.DataFrame, baseline: str) -> list[str]:
    """The baseline and, of each kind, the best by validation accuracy; of equals the first."""
    best = table[table["variant"] != baseline].sort_values("val_accuracy", ascending=False, kind="stable")
    of_kinds = table["kind"].unique()
    firsts = best.drop_duplicates("kind").set_index("kind")["variant"]
    return [baseline, *(str(firsts[kind]) for kind in of_kinds if kind in firsts.index)]


def _layers(spec: Classifier, params: Params) -> tuple[DenseLayer, ...]:
    """The hidden dense layers; of a derived variant those of any candidate, which are all of one kind."""
    if not isinstance(spec, DerivedVariant):
        return spec.layers
    if spec.layers_from in params.searches:
        search = params.searches[spec.layers_from]
        return search.layers(search.configurations[0])
    return next(iter(params.members_of(spec.layers_from).values())).layers


def _gain(correct: NDArray[np.bool_], of_baseline: NDArray[np.bool_]) -> dict[str, Any]:
    pairs = statistics.discordance(correct, of_baseline)
    low, high = statistics.tango_interval(pairs)
    return {
        "gain_points": 100 * pairs.difference,
        "gain_low": 100 * low,
        "gain_high": 100 * high,
        "only_variant_right": pairs.only_first,
        "only_baseline_right": pairs.only_second,
        "p_value": statistics.mcnemar_p_value(pairs),
        "band": band(pairs.only_first - pairs.only_second, pairs.num_examples),
    }


def _overfitting_of(item: Trained) -> dict[str, Any]:
    history = item.history
    lowest, last = history.iloc[int(history["val_cross_entropy"].argmin())], history.iloc[-1]
    fit = history["epoch"][history["accuracy"] >= 1]
    train_accuracy = item.metrics["train_evaluated"]["accuracy"]
    return {
        "epochs": len(history),
        "lowest_val_cross_entropy_epoch": int(lowest["epoch"]),
        "lowest_val_cross_entropy": float(lowest["val_cross_entropy"]),
        "last_val_cross_entropy": float(last["val_cross_entropy"]),
        "rise": float(last["val_cross_entropy"] - lowest["val_cross_entropy"]),
        "last_train_cross_entropy": item.metrics["train_evaluated"]["cross_entropy"],
        "train_accuracy": train_accuracy,
        "val_accuracy": float(last["val_accuracy"]),
        "gap_points": 100 * (train_accuracy - float(last["val_accuracy"])),
        "first_epoch_fit": int(fit.iloc[0]) if len(fit) else None,
    }


def _verdict(figures: Mapping[str, Any]) -> tuple[bool, str]:
    lowest, last = figures["lowest_val_cross_entropy"], figures["last_val_cross_entropy"]
    has_risen = figures["rise"] > VISIBLE_RISE * lowest
    is_fit = figures["train_accuracy"] == 1 and figures["gap_points"] > 0
    reasons = (
        f"Its validation cross-entropy is lowest in epoch {figures['lowest_val_cross_entropy_epoch']} of "
        f"{figures['epochs']} ({lowest:.4f}) and ends at {last:.4f}; it classifies "
        f"{100 * figures['train_accuracy']:.2f} % of the training and {100 * figures['val_accuracy']:.2f} % of the "
        "validation images correctly."
    )
    if has_risen and is_fit:
        return True, f"It visibly overfits. {reasons}"
    if not has_risen:
        return False, f"It does not visibly overfit: its validation cross-entropy hardly rises. {reasons}"
    return False, f"It does not visibly overfit: it does not fit the training images better. {reasons}"
