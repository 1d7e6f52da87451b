"""Significance tests of the differences between models: every pair on the same test examples.

A difference is significant when its p value, corrected by Holm's method for all pairs of the table, is below LEVEL;
accuracies and losses are corrected separately. Intervals are of 95 % and not corrected. They cover the choice of test
examples, not the seed of the training, which evaluation/seeds.py compares.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.evaluation import statistics

LEVEL = 0.05
NO_DIFFERENCE = "no significant difference"
IS_BETTER = " is better"
Pair = tuple[str, str]


@dataclass(frozen=True)
class Tested:
    """A classifier on test examples (n,): which it classifies correctly, their cross-entropies, and its objective."""

    correct: NDArray[np.bool_]
    losses: NDArray[np.float64]
    objective: str


def differences(models: Mapping[str, Tested], pairs: Sequence[Pair]) -> pd.DataFrame:
    """One row per pair; differences are the first less the second.

    Accuracies are fractions, with Tango's interval and the exact McNemar test; cross-entropies are in nats without
    penalties, with a paired bootstrap. Cross-entropies of two kinds have no difference: their cells are empty.
    """
    found = [statistics.discordance(models[first].correct, models[second].correct) for first, second in pairs]
    intervals = [statistics.tango_interval(item) for item in found]
    accuracies = pd.DataFrame(pairs, columns=["first", "second"]).assign(
        accuracy_difference=[item.difference for item in found],
        accuracy_low=[low for low, _ in intervals],
        accuracy_high=[high for _, high in intervals],
        only_first_right=[item.only_first for item in found],
        only_second_right=[item.only_second for item in found],
    )
    p_values = [statistics.mcnemar_p_value(item) for item in found]
    tests = significance(pairs, accuracies["accuracy_difference"], p_values).add_prefix("accuracy_")
    comparable = [pair for pair in pairs if models[pair[0]].objective == models[pair[1]].objective]
    errors = error_differences({name: model.losses for name, model in models.items()}, comparable)
    entropies = errors.set_index(["first", "second"]).add_prefix("cross_entropy_")
    return accuracies.join(tests).merge(entropies, how="left", on=["first", "second"])


def error_differences(errors: Mapping[str, NDArray[Any]], pairs: Sequence[Pair]) -> pd.DataFrame:
    """One row per pair; `errors` (n,) are losses on the same examples.

    Means are compared by a paired bootstrap; the smaller one is better.
    """
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    values = np.array([errors[name] for name in names], dtype=np.float64)
    found = statistics.paired_bootstrap(values, [(names.index(first), names.index(second)) for first, second in pairs])
    intervals = pd.DataFrame(found, columns=["difference", "low", "high", "p_value"])
    tests = significance(pairs, -intervals["difference"], intervals.pop("p_value"))
    return pd.DataFrame(pairs, columns=["first", "second"]).join([intervals, tests])


def significance(pairs: Sequence[Pair], advantages: Iterable[float], p_values: Iterable[float]) -> pd.DataFrame:
    """A row per pair: its p value, the same with Holm's correction, and the verdict.

    `advantages` are by how much the first of each pair is better.
    """
    table = pd.DataFrame({"p_value": p_values})
    table["holm_p_value"] = statistics.holm(table["p_value"].tolist())
    table["verdict"] = [
        verdict(*pair, advantage, p_value)
        for pair, advantage, p_value in zip(pairs, advantages, table["holm_p_value"], strict=True)
    ]
    return table


def verdict(first: str, second: str, advantage: float, holm_p_value: float) -> str:
    """Which of two is significantly better, if any; `advantage` is by how much the first is."""
    if holm_p_value >= LEVEL or advantage == 0:
        return NO_DIFFERENCE
    return f"{first if advantage > 0 else second}{IS_BETTER}"


def summary(table: pd.DataFrame) -> str:
    """How many differences of a study are significant, in a sentence; `table` is that of `differences`."""
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


def better_than(table: pd.DataFrame, name: str) -> list[str]:
    """The models whose accuracy is significantly better than that of `name`, in the order of the table."""
    pairs = table[(table["first"] == name) | (table["second"] == name)]
    verdicts = pairs["accuracy_verdict"].str.removesuffix(IS_BETTER)
    return [str(other) for other in verdicts if other not in (name, NO_DIFFERENCE)]
