"""Repeats of a training under other seeds: means and intervals of their metrics, and significant differences."""

import itertools

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.evaluation.pairwise import significance

CONFIDENCE = 0.95
METRICS = ("val_accuracy", "val_cross_entropy", "test_accuracy", "test_cross_entropy")


def mean_interval(values: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Mean, standard deviation (n - 1), and Student's t interval of 95 % of the mean, over values (n,), n > 1."""
    from scipy.stats import t

    mean, std = float(values.mean()), float(values.std(ddof=1))
    margin = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * std / float(np.sqrt(len(values)))
    return mean, std, mean - margin, mean + margin


def summary(seeds: pd.DataFrame) -> pd.DataFrame:
    """A row per variant: of each of METRICS the mean, the standard deviation and the interval over its seeds.

    `seeds` has a row per variant and seed.
    """
    rows = []
    for name, group in seeds.groupby("variant", sort=False):
        row: dict[str, object] = {"variant": name, "num_seeds": len(group)}
        for metric in METRICS:
            values = mean_interval(group[metric].to_numpy(dtype=float))
            row |= dict(zip((f"{metric}_{part}" for part in ("mean", "std", "low", "high")), values, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def differences(seeds: pd.DataFrame) -> pd.DataFrame:
    """A row per pair of variants: the mean test accuracy of the first less that of the second, and its significance.

    By Welch's t test over the seeds, which are independent of each other, with Holm's correction for all pairs; unlike
    the comparison of single models this takes the randomness of training into account. The test images are the same.
    """
    accuracies = {
        str(name): group["test_accuracy"].to_numpy(dtype=float) for name, group in seeds.groupby("variant", sort=False)
    }
    pairs = list(itertools.combinations(accuracies, 2))
    p_values = [_welch_p_value(accuracies[first], accuracies[second]) for first, second in pairs]
    table = pd.DataFrame(pairs, columns=["first", "second"])
    table["test_accuracy_difference"] = [
        float(accuracies[first].mean() - accuracies[second].mean()) for first, second in pairs
    ]
    return table.join(significance(pairs, table["test_accuracy_difference"], p_values))


def _welch_p_value(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    from scipy.stats import ttest_ind

    if np.ptp(first) == np.ptp(second) == 0:
        # Without any variance the test is not defined.
        return float(first[0] == second[0])
    return float(ttest_ind(first, second, equal_var=False).pvalue)
