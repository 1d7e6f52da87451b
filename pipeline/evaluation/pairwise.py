"""Significance tests of the differences between models: every pair on the same test examples.

A difference is significant when its p value, corrected by Holm's method for all pairs of the table, is below LEVEL;
accuracies and losses are corrected separately. Intervals are of 95 % and not corrected. They cover the choice of test
examples, not the seed of the training, which evaluation/seeds.py compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.evaluation import statistics

LEVEL = 0.05
NO_DIFFERENCE = "no significant difference"
ACCURACY_COLUMNS = (
    "first",
    "second",
    "accuracy_difference",
    "accuracy_low",
    "accuracy_high",
    "only_first_right",
    "only_second_right",
    "accuracy_p_value",
    "accuracy_holm_p_value",
    "accuracy_verdict",
)
ERROR_COLUMNS = ("first", "second", "difference", "low", "high", "p_value", "holm_p_value", "verdict")
COLUMNS = (*ACCURACY_COLUMNS, *(f"cross_entropy_{name}" for name in ERROR_COLUMNS[2:]))

Pair = tuple[str, str]


@dataclass(frozen=True)
class Tested:
    """A classifier on test examples (n,): which it classifies correctly, their cross-entropies, and its objective."""

    correct: NDArray[np.bool_]
    losses: NDArray[np.float64]
    objective: str


def differences(models: Mapping[str, Tested], pairs: Sequence[Pair]) -> pd.DataFrame:
    """One row per pair, with the columns COLUMNS; differences are the first less the second.

    Accuracies are fractions, with Tango's interval and the exact McNemar test; cross-entropies are in nats without
    penalties, with a paired bootstrap. Cross-entropies of two kinds have no difference: their cells are empty.
    """
    found = [statistics.discordance(models[first].correct, models[second].correct) for first, second in pairs]
    p_values = [statistics.mcnemar_p_value(item) for item in found]
    rows = []
    for (first, second), item, p_value, corrected in zip(
        pairs, found, p_values, statistics.holm(p_values), strict=True
    ):
        low, high = statistics.tango_interval(item)
        told = (
            item.only_first,
            item.only_second,
            p_value,
            corrected,
            verdict(first, second, item.difference, corrected),
        )
        rows.append((first, second, item.difference, low, high, *told))
    accuracies = pd.DataFrame(rows, columns=list(ACCURACY_COLUMNS))
    comparable = [pair for pair in pairs if models[pair[0]].objective == models[pair[1]].objective]
    errors = error_differences({name: model.losses for name, model in models.items()}, comparable)
    entropies = errors.rename(columns={name: f"cross_entropy_{name}" for name in ERROR_COLUMNS[2:]})
    return accuracies.merge(entropies, how="left", on=["first", "second"])


def error_differences(errors: Mapping[str, NDArray[Any]], pairs: Sequence[Pair]) -> pd.DataFrame:
    """One row per pair, with the columns ERROR_COLUMNS; `errors` (n,) are losses on the same examples.

    Means are compared by a paired bootstrap; the smaller one is better.
    """
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    rows = []
    if names:
        values = np.stack([np.asarray(errors[name], dtype=np.float64) for name in names])
        places = [(names.index(first), names.index(second)) for first, second in pairs]
        found = statistics.paired_bootstrap(values, places)
        corrected = statistics.holm([item.p_value for item in found])
        rows = [
            (
                *pair,
                item.difference,
                item.low,
                item.high,
                item.p_value,
                p_value,
                verdict(*pair, -item.difference, p_value),
            )
            for pair, item, p_value in zip(pairs, found, corrected, strict=True)
        ]
    return pd.DataFrame(rows, columns=list(ERROR_COLUMNS))


def verdict(first: str, second: str, advantage: float, holm_p_value: float) -> str:
    """Which of two is significantly better, if any; `advantage` is by how much the first is."""
    if holm_p_value >= LEVEL or advantage == 0:
        return NO_DIFFERENCE
    return f"{first if advantage > 0 else second} is better"


def summary(table: pd.DataFrame) -> str:
    """How many differences of a study are significant, in a sentence; `table` has the columns COLUMNS."""
    if table.empty:
        return "There is one variant: nothing to compare."
    parts = []
    for metric, name in (("accuracy", "test accuracy"), ("cross_entropy", "test cross-entropy")):
        verdicts = table[f"{metric}_verdict"].dropna()
        parts.append(f"{int((verdicts != NO_DIFFERENCE).sum())} of {len(verdicts)} in {name}")
    return f"Significant differences between variants: {', '.join(parts)} (Holm's correction, {100 * LEVEL:g} %)."


def level_with(table: pd.DataFrame, name: str) -> list[str]:
    """The models whose accuracy does not differ significantly from that of `name`, in the order of the table."""
    level = table[table["accuracy_verdict"] == NO_DIFFERENCE]
    return [
        str(second if first == name else first)
        for first, second in zip(level["first"], level["second"], strict=True)
        if name in (first, second)
    ]
