"""Repeats of a training under other seeds: means and intervals of their metrics, and significant differences."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.evaluation.pairwise import Pair, Tested, significance
from pipeline.evaluation.statistics import CONFIDENCE, Difference

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


def differences(models: Mapping[str, Tested], pairs: Sequence[Pair]) -> pd.DataFrame:
    """One row per pair: the mean of the first less that of the second over seeds and test examples, and a test of it.

    The arrays of `models` are (num_seeds, n), a row per seed. Accuracies are fractions, cross-entropies in nats without
    penalties; those of two kinds have no difference. Holm's correction is for all pairs of the table, of each metric by
    itself.
    """
    accuracies = _differences({name: model.correct for name, model in models.items()}, pairs, sign=1)
    comparable = [pair for pair in pairs if models[pair[0]].objective == models[pair[1]].objective]
    entropies = _differences({name: model.losses for name, model in models.items()}, comparable, sign=-1)
    table = pd.DataFrame(pairs, columns=["first", "second"]).join(accuracies.add_prefix("accuracy_"))
    entropies = pd.DataFrame(comparable, columns=["first", "second"]).join(entropies.add_prefix("cross_entropy_"))
    return table.merge(entropies, how="left", on=["first", "second"])


def _differences(values: Mapping[str, NDArray[Any]], pairs: Sequence[Pair], *, sign: int) -> pd.DataFrame:
    """A row per pair; `sign` is 1 where more is better, -1 where less is."""
    found = [crossed_difference(values[first], values[second]) for first, second in pairs]
    rows = [(item.mean, *item.interval, *item.errors[0]) for item in found]
    table = pd.DataFrame(rows, columns=["difference", "low", "high", "standard_error", "degrees_of_freedom"])
    return table.join(significance(pairs, sign * table["difference"], [item.p_value() for item in found]))


def crossed_difference(first: NDArray[Any], second: NDArray[Any]) -> Difference:
    """The difference of two means over (num_seeds, n) values.

    Seeds and test examples are both a sample, crossed with each other: the variance of the mean is that over seeds,
    each model's own, plus that over examples, which both models share (so differences are paired by example). What is
    neither the seed's nor the example's is counted in both, which errs on the safe side (A. B. Owen, The pigeonhole
    bootstrap, Annals of Applied Statistics 1, 2007). The degrees of freedom are Satterthwaite's.
    """
    by_seed = [values.mean(axis=1, dtype=np.float64) for values in (first, second)]
    by_example = first.mean(axis=0, dtype=np.float64) - second.mean(axis=0, dtype=np.float64)
    samples = [*by_seed, by_example]
    variances = np.array([sample.var(ddof=1) / len(sample) for sample in samples])
    variance = float(variances.sum())
    parts = sum(part**2 / (len(sample) - 1) for part, sample in zip(variances, samples, strict=True))
    # Where nothing varies, any degrees of freedom do.
    freedom = variance**2 / float(parts) if variance else 1.0
    return Difference(float(by_example.mean()), ((float(np.sqrt(variance)), freedom),))
