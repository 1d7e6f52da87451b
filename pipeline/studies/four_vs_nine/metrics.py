"""What regularization gains over a study's baseline: each variant's accuracy on the same test examples."""

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

# The bands in which the source's rules count a gain on the test set, in points: one for each point reached.
BANDS = ("below 1", "1 to 2", "2 to 3", "3 or more")


@dataclass(frozen=True)
class VariantResults:
    """The results of one variant; `correct` (n,) says which test examples it classifies correctly."""

    spec: Classifier
    metrics: ClassifierTraining
    history: pd.DataFrame
    correct: NDArray[np.bool_]


def gains(variants: Mapping[str, VariantResults], baseline: str, params: Params, data: DataStatistics) -> pd.DataFrame:
    """One row per variant, the baseline first and its kinds together.

    Validation metrics are of the last epoch's weights, `val_cross_entropy` without penalties, so that variants with
    and without compare. Gains are of test accuracy over the baseline's, in points (100 times a fraction), with Tango's
    paired interval; `p_value` is that of the exact McNemar test, `holm_p_value` is corrected for all rows. `updates`
    are the steps of the optimizer. The baseline's gains are empty.
    """
    rows = []
    for name, item in variants.items():
        last, num_validation = item.metrics.validation.last, data.num_examples["validation"]
        low, high = statistics.wilson_interval(round(last.accuracy * num_validation), num_validation)
        gain = _gain(item.correct, variants[baseline].correct)
        rows.append(
            {
                "variant": name,
                "kind": "baseline" if name == baseline else _kind(item, params),
                "val_accuracy": last.accuracy,
                "val_accuracy_low": low,
                "val_accuracy_high": high,
                "val_cross_entropy": last.cross_entropy,
                "test_accuracy": float(item.correct.mean()),
                **(dict.fromkeys(gain) if name == baseline else gain),
                "updates": _num_updates(item, data.num_examples["train"]),
            }
        )
    others = [row for row in rows if row["variant"] != baseline]
    for row, corrected in zip(others, statistics.holm([row["p_value"] for row in others]), strict=True):
        row["holm_p_value"] = corrected
    kinds = ["baseline", *(row["kind"] for row in rows)]
    rows.sort(key=lambda row: kinds.index(row["kind"]))
    return pd.DataFrame(rows).astype({"only_variant_right": "Int64", "only_baseline_right": "Int64"})


def band(num_gained: int, num_examples: int) -> str:
    """The band of a gain that is given as a number of test examples."""
    return BANDS[sum(100 * num_gained >= points * num_examples for points in range(1, len(BANDS)))]


def best_of_each_kind(table: pd.DataFrame, baseline: str) -> list[str]:
    """The baseline and, of each kind, the best by validation cross-entropy; of equals the first."""
    others = table[table["variant"] != baseline]
    best = others.groupby("kind", sort=False)["val_cross_entropy"].idxmin()
    return [baseline, *others.loc[best, "variant"]]


def _kind(item: VariantResults, params: Params) -> str:
    """How a variant is regularized: `L1`, `L2`, `dropout`, ..., joined by ` + `; `none` if it is not."""
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
        "augmentation": isinstance(spec, MlpBase) and spec.augmentation is not None,
        # One that stopped nothing leaves no trace in the results, by which DVC knows when to run this stage again.
        "early stopping": spec.early_stopping is not None and item.metrics.epochs < spec.epochs,
    }
    return " + ".join(kind for kind, is_used in kinds.items() if is_used) or "none"


def _layers(spec: Classifier, params: Params) -> tuple[DenseLayer, ...]:
    """The hidden dense layers; of a derived variant those of any candidate, which are all of one kind."""
    if not isinstance(spec, DerivedVariant):
        return spec.layers
    if spec.layers_from in params.searches:
        search = params.searches[spec.layers_from]
        return search.layers(search.configurations[0])
    return next(iter(params.members_of(spec.layers_from).values())).layers


def _num_updates(item: VariantResults, num_train: int) -> int:
    steps = item.spec.steps_per_epoch if isinstance(item.spec, MlpBase) else None
    return item.metrics.epochs * (steps or math.ceil(num_train / item.spec.batch_size))


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
        # Filled in when all p values are there.
        "holm_p_value": None,
        "band": band(pairs.only_first - pairs.only_second, pairs.num_examples),
    }
