"""What other seeds of the training change: means and intervals over repeats, and which differences they leave."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.evaluation import statistics
from pipeline.evaluation.pairwise import verdict

CONFIDENCE = 0.95
FIGURES = ("val_accuracy", "val_cross_entropy", "test_accuracy", "test_cross_entropy")
DIFFERENCE_COLUMNS = ("first", "second", "test_accuracy_difference", "p_value", "holm_p_value", "verdict")


def mean_interval(values: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Mean, standard deviation (n - 1), and Student's t interval of 95 % of the mean, over values (n,), n > 1."""
    from scipy.stats import t

    mean, std = float(values.mean()), float(values.std(ddof=1))
    margin = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * std / float(np.sqrt(len(values)))
    return mean, std, mean - margin, mean + margin


def summary(seeds: pd.DataFrame) -> pd.DataFrame:
    """A row per variant: of each of FIGURES the mean, the standard deviation and the interval over its seeds.

    `seeds` has a row per variant and seed.
    """
    rows = []
    for name, group in seeds.groupby("variant", sort=False):
        row: dict[str, object] = {"variant": name, "num_seeds": len(group)}
        for figure in FIGURES:
            told = mean_interval(group[figure].to_numpy(dtype=float))
            row |= dict(zip((f"{figure}_{part}" for part in ("mean", "std", "low", "high")), told, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def differences(seeds: pd.DataFrame) -> pd.DataFrame:
    """A row per pair of variants: the mean test accuracy of the first less that of the second, and whether it is real.

    By Welch's t test over the seeds, which are independent of each other, with Holm's correction for all pairs; unlike
    the comparison of single models this counts what training leaves to chance. The test images are the same.
    """
    accuracies = {
        str(name): group["test_accuracy"].to_numpy(dtype=float) for name, group in seeds.groupby("variant", sort=False)
    }
    pairs = list(itertools.combinations(accuracies, 2))
    means = [float(accuracies[first].mean() - accuracies[second].mean()) for first, second in pairs]
    p_values = [_welch_p_value(accuracies[first], accuracies[second]) for first, second in pairs]
    return _table(pairs, means, p_values)


def _table(pairs: Sequence[tuple[str, str]], means: Sequence[float], p_values: Sequence[float]) -> pd.DataFrame:
    rows = [
        (first, second, mean, p_value, corrected, verdict(first, second, mean, corrected))
        for (first, second), mean, p_value, corrected in zip(
            pairs, means, p_values, statistics.holm(p_values), strict=True
        )
    ]
    return pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS))


def _welch_p_value(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    from scipy.stats import ttest_ind

    if np.ptp(first) == np.ptp(second) == 0:
        # Nothing varies, so the test has no scale: equal or not is all there is to say.
        return float(first[0] == second[0])
    return float(ttest_ind(first, second, equal_var=False).pvalue)
