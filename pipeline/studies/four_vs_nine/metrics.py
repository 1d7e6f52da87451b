"""What regularization gains over a study's baseline: each variant's accuracy on the same test examples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.config.models import Classifier, DenseLayer, DerivedVariant, MlpBase, Output
from pipeline.config.params import Params
from pipeline.evaluation import statistics
from pipeline.evaluation.result_files import ClassifierTraining, DataStatistics

# The steps in which the source's rules count a gain on the test set, in points.
BANDS = (1, 2, 3)
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


@dataclass(frozen=True)
class VariantResults:
    """The results of one variant; `correct` (n,) says which test examples it classifies correctly."""

    spec: Classifier
    metrics: ClassifierTraining
    history: pd.DataFrame
    correct: NDArray[np.bool_]


def gains(variants: Mapping[str, VariantResults], baseline: str, params: Params, data: DataStatistics) -> pd.DataFrame:
    """One row per variant, the baseline first and its kinds together, with the columns GAINS_COLUMNS.

    Validation metrics are of the last epoch's weights, `val_cross_entropy` without penalties, so that variants with
    and without compare. Gains are of test accuracy over the baseline's, in points (100 times a fraction), with Tango's
    paired interval; `p_value` is that of the exact McNemar test, `holm_p_value` is corrected for all rows. `updates`
    are the steps of the optimizer. The baseline's gains are empty.
    """
    rows = []
    for name, item in variants.items():
        last, num_validation = item.metrics.validation.last, data.num_examples["validation"]
        low, high = statistics.wilson_interval(round(last.accuracy * num_validation), num_validation)
        rows.append(
            {
                "variant": name,
                "kind": "baseline" if name == baseline else kind_of(item, params),
                "val_accuracy": last.accuracy,
                "val_accuracy_low": low,
                "val_accuracy_high": high,
                "val_cross_entropy": last.cross_entropy,
                "test_accuracy": float(item.correct.mean()),
                "updates": num_updates(item.spec, item.metrics.epochs, data.num_examples["train"]),
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


def kind_of(item: VariantResults, params: Params) -> str:
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
        "early stopping": spec.early_stopping is not None and item.metrics.epochs < spec.epochs,
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


def best_of_each_kind(table: pd.DataFrame, baseline: str) -> list[str]:
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
