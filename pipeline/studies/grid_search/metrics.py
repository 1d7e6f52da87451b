"""Paired differences of searches over folds and units and of refits over test images; agreement with the source."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.evaluation import statistics
from pipeline.studies.grid_search.data import Evidence, Refit

CONFIDENCE = 0.95

Basis = Literal["cross-validation", "cross-validation, chosen units", "test accuracy", "test error"]


@dataclass(frozen=True)
class Difference:
    """The first less the second, with its 95 % interval."""

    mean: float
    low: float
    high: float

    def sign(self, limit: float = 0) -> int:
        """1 where the interval lies above the limit, -1 where it lies below, otherwise 0."""
        return int(self.low > limit) - int(self.high < limit)

    def as_dict(self) -> dict[str, float]:
        return {"difference": self.mean, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Contrast:
    """The difference of two searches or refits, and what it was taken on.

    `reported` is the same difference of what the source reports, if it reports both.
    """

    first: str
    second: str
    basis: Basis
    difference: Difference
    num_pairs: int
    reported: Mapping[str, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "first": self.first,
            "second": self.second,
            "basis": self.basis,
            "num_pairs": self.num_pairs,
            **self.difference.as_dict(),
            **({} if self.reported is None else {"reported": self.reported}),
        }

    def text(self) -> str:
        """As `a against b: +0.10 points (-0.05 to +0.25)`."""
        d, is_error = self.difference, self.basis == "test error"
        mean, low, high = (f"{value:+.4f}" if is_error else f"{100 * value:+.2f}" for value in (d.mean, d.low, d.high))
        unit = "nats" if is_error else "points"
        return f"{self.first} against {self.second}, {self.basis}: {mean} {unit} ({low} to {high})"


def at_equal_units(evidence: Evidence, first: str, second: str) -> list[Contrast]:
    """Two searches on their folds, at all units that both tried; nothing where they share none or differ in folds."""
    accuracies = [evidence.fold_accuracies(name) for name in (first, second)]
    units = [name for name in accuracies[0].index if name in accuracies[1].index]
    if not units or accuracies[0].shape[1] != accuracies[1].shape[1]:
        return []
    difference = over_folds(*(table.loc[units].to_numpy(dtype=float) for table in accuracies))
    reported = [
        evidence.scores[name].set_index("units").loc[units, "reported_cv_accuracy"].to_numpy(dtype=float)
        for name in (first, second)
    ]
    # One unit has no interval over units.
    by_source = None if len(units) < 2 or np.isnan(reported).any() else by_t(*reported).as_dict()
    num_pairs = len(units) * accuracies[0].shape[1]
    return [Contrast(first, second, "cross-validation", difference, num_pairs, by_source)]


def of_chosen(evidence: Evidence, first: str, second: str) -> list[Contrast]:
    """What two searches chose, on their folds; nothing where these differ in number."""
    rows = [
        evidence.fold_accuracies(name).loc[[evidence.chosen[name]]].to_numpy(dtype=float) for name in (first, second)
    ]
    if rows[0].shape != rows[1].shape:
        return []
    best = [float(evidence.scores[name]["reported_cv_accuracy"].astype(float).max()) for name in (first, second)]
    by_source = None if math.isnan(best[0] - best[1]) else {"difference": best[0] - best[1]}
    return [Contrast(first, second, "cross-validation, chosen units", over_folds(*rows), rows[0].shape[1], by_source)]


def of_tests(first: Refit, second: Refit) -> Contrast:
    """The test accuracies of two refits, image by image, with Tango's interval."""
    pairs = statistics.discordance(first.correct, second.correct)
    difference = Difference(pairs.difference, *statistics.tango_interval(pairs, CONFIDENCE))
    return Contrast(first.name, second.name, "test accuracy", difference, len(first.correct))


def of_test_errors(first: Refit, second: Refit) -> Contrast:
    """The test errors (cross-entropies) of two refits, image by image."""
    difference = by_t(first.test_losses, second.test_losses)
    return Contrast(first.name, second.name, "test error", difference, len(first.test_losses))


def of_refits(evidence: Evidence, first: str, second: str) -> list[Contrast]:
    """The refits of two searches on the test images, if there are both."""
    pair = [evidence.refit_of(name) for name in (first, second)]
    return [of_tests(pair[0], pair[1])] if pair[0] is not None and pair[1] is not None else []


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


def by_t(first: NDArray[Any], second: NDArray[Any]) -> Difference:
    """The mean difference of scores (n,), two or more, of the same units or images, by Student's t over them."""
    differences = first - second
    mean, margin = float(differences.mean()), _margin(differences, 1 / len(differences))
    return Difference(mean, mean - margin, mean + margin)


def agreement(scores: pd.DataFrame) -> dict[str, Any] | None:
    """Rank correlation and differences over all configurations with a reported accuracy, and for each search.

    `scores` has the columns of results/searches.csv. None where nothing is reported.
    """
    reported = scores.dropna(subset=["reported_cv_accuracy"])
    if reported.empty:
        return None
    by_search = {str(name): _agreement(table) for name, table in reported.groupby("search", sort=False)}
    return {"all": _agreement(reported), "searches": by_search}


def rank_correlation(table: pd.DataFrame) -> float | None:
    """Spearman's rank correlation of measured and reported accuracies; None where it is not defined.

    It takes two configurations or more, and some that differ, on both sides.
    """
    columns = table[["mean_accuracy", "reported_cv_accuracy"]].dropna().astype(float)
    if len(columns) < 2 or (columns.nunique() < 2).any():
        return None
    first, second = (columns[name].rank().to_numpy() for name in columns)
    return float(np.corrcoef(first, second)[0, 1])


def _margin(values: NDArray[Any], variance_factor: float) -> float:
    from scipy.stats import t

    quantile = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return quantile * float(np.std(values, ddof=1)) * math.sqrt(variance_factor)


def _agreement(table: pd.DataFrame) -> dict[str, Any]:
    measured, reported = (table[name].astype(float) for name in ("mean_accuracy", "reported_cv_accuracy"))
    differences = measured - reported
    configurations = table["search"] + " " + table["units"].astype(str)
    return {
        "num_configurations": len(table),
        "rank_correlation": rank_correlation(table),
        "mean_difference": float(differences.mean()),
        "largest_absolute_difference": float(differences.abs().max()),
        "best_measured": configurations.iloc[int(measured.argmax())],
        "best_reported": configurations.iloc[int(reported.argmax())],
    }
