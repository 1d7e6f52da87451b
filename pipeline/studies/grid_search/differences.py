"""Paired differences with 95 % intervals: of two searches over folds and units, of two models over test images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation import statistics

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """The first less the second, with its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies on one side of 0, otherwise 0."""
        return int(self.low > 0) - int(self.high < 0)

    def as_dict(self) -> dict[str, float]:
        return {"difference": self.mean, "low": self.low, "high": self.high}


def over_folds(first: NDArray[Any], second: NDArray[Any]) -> Difference:
    """The mean difference of accuracies (num_units, num_folds) at the same units on the same folds.

    The interval covers two others: by Student's t over the folds (each the mean over its units), with the variance
    that Nadeau and Bengio (2003, doi:10.1023/A:1024068626366) give for folds whose training sets overlap; and over the
    units (each the mean over its folds), where there are two or more. Raises ValueError for shapes that differ, or
    fewer than two folds.
    """
    if first.shape != second.shape or first.ndim != 2 or first.shape[0] < 1 or first.shape[1] < 2:
        raise ValueError(
            f"expected the same units and folds, two folds or more, got shapes {first.shape} and {second.shape}"
        )
    differences = first - second
    num_units, num_folds = differences.shape
    # One test example for every num_folds - 1 that a fold trains on.
    margins = [_margin(differences.mean(axis=0), 1 / num_folds + 1 / (num_folds - 1))]
    if num_units > 1:
        margins.append(_margin(differences.mean(axis=1), 1 / num_units))
    mean = float(differences.mean())
    return Difference(mean, mean - max(margins), mean + max(margins))


def over_units(first: NDArray[Any], second: NDArray[Any]) -> Difference | None:
    """The mean difference of scores (num_units,) by Student's t over units; None for fewer than two."""
    differences = first - second
    if len(differences) < 2:
        return None
    mean, margin = float(differences.mean()), _margin(differences, 1 / len(differences))
    return Difference(mean, mean - margin, mean + margin)


def of_correct(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Difference:
    """The difference of two accuracies on the same images (n,), with Tango's interval."""
    pairs = statistics.discordance(first, second)
    return Difference(pairs.difference, *statistics.tango_interval(pairs, CONFIDENCE))


def of_losses(first: NDArray[Any], second: NDArray[Any]) -> Difference:
    """The mean difference of two losses on the same images (n,), by Student's t over the images."""
    differences = first - second
    mean, margin = float(differences.mean()), _margin(differences, 1 / len(differences))
    return Difference(mean, mean - margin, mean + margin)


def _margin(values: NDArray[Any], variance_factor: float) -> float:
    from scipy.stats import t

    quantile = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return quantile * float(np.std(values, ddof=1)) * math.sqrt(variance_factor)
