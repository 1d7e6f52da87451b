"""Differences of searches over folds and units, and of refits over seeds and test images; agreement with the source."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.evaluation import statistics
from pipeline.evaluation.pairwise import LEVEL
from pipeline.evaluation.statistics import Difference
from pipeline.studies.grid_search.data import Evidence

Basis = Literal["cross-validation", "cross-validation, chosen units", "test accuracy", "test cross-entropy"]


@dataclass(frozen=True)
class Contrast:
    """The difference of two searches or refits, and what it was taken on.

    `reported` is the same difference of what the source reports, if it reports both. `judged` fills in the limit that
    the difference was tested against, the p value, corrected for all that are judged together, and the `sign`: 0 where
    it does not lie significantly above or below the limit.
    """

    first: str
    second: str
    basis: Basis
    difference: Difference
    reported: Mapping[str, float] | None = None
    limit: float = 0.0
    holm_p_value: float = math.nan
    sign: int = 0

    def as_dict(self) -> dict[str, Any]:
        low, high = self.difference.interval
        return {
            "first": self.first,
            "second": self.second,
            "basis": self.basis,
            "difference": self.difference.mean,
            "low": low,
            "high": high,
            "holm_p_value": self.holm_p_value,
            **({} if self.reported is None else {"reported": self.reported}),
        }

    def text(self) -> str:
        """As `a against b, test accuracy: +0.10 points (-0.05 to +0.25, p = .2)`."""
        unit, scale, digits = ("nats", 1, 4) if self.basis == "test cross-entropy" else ("points", 100, 2)
        mean, low, high = (
            f"{scale * value:+.{digits}f}" for value in (self.difference.mean, *self.difference.interval)
        )
        of = f" against a difference of {100 * self.limit:+.2f} points" if self.limit else ""
        p_value = "p < .001" if self.holm_p_value < 0.001 else f"p = {self.holm_p_value:.2g}".replace("0.", ".")
        return f"{self.first} against {self.second}, {self.basis}: {mean} {unit} ({low} to {high}, {p_value}{of})"


def judged(contrasts: Sequence[Contrast], limit: float = 0.0) -> list[Contrast]:
    """The contrasts as one family: tested for a difference from the limit, with Holm's correction for all of them."""
    p_values = statistics.holm([item.difference.p_value(limit) for item in contrasts])
    return [
        replace(
            item,
            limit=limit,
            holm_p_value=p_value,
            sign=int(np.sign(item.difference.mean - limit)) if p_value < LEVEL else 0,
        )
        for item, p_value in zip(contrasts, p_values, strict=True)
    ]


def at_equal_units(evidence: Evidence, first: str, second: str) -> list[Contrast]:
    """Two searches on their folds, at all units that both tried; nothing where they share none or differ in folds."""
    accuracies = [evidence.fold_accuracies(name) for name in (first, second)]
    units = [name for name in accuracies[0].index if name in accuracies[1].index]
    if not units or accuracies[0].shape[1] != accuracies[1].shape[1]:
        return []
    difference = over_folds(*(table.loc[units].to_numpy(dtype=float) for table in accuracies))
    ours, theirs = (
        evidence.scores[name].set_index("units").loc[units, "reported_cv_accuracy"].to_numpy(dtype=float)
        for name in (first, second)
    )
    by_source = float((ours - theirs).mean())
    return [Contrast(first, second, "cross-validation", difference, _reported(by_source))]


def of_chosen(evidence: Evidence, first: str, second: str) -> list[Contrast]:
    """What two searches chose, on their folds; nothing where these differ in number."""
    rows = [
        evidence.fold_accuracies(name).loc[[evidence.chosen[name]]].to_numpy(dtype=float) for name in (first, second)
    ]
    if rows[0].shape != rows[1].shape:
        return []
    best = [float(evidence.scores[name]["reported_cv_accuracy"].astype(float).max()) for name in (first, second)]
    by_source = _reported(best[0] - best[1])
    return [Contrast(first, second, "cross-validation, chosen units", over_folds(*rows), by_source)]


def of_refits(evidence: Evidence, first: str, second: str) -> list[Contrast]:
    """The test accuracies of two searches' refits, if there are both and both were repeated."""
    pair = [evidence.refit_of(name) for name in (first, second)]
    return over_seeds(evidence, pair[0].name, pair[1].name, "accuracy") if pair[0] and pair[1] else []


def over_seeds(
    evidence: Evidence, first: str, second: str, metric: Literal["accuracy", "cross_entropy"]
) -> list[Contrast]:
    """Two variants over the seeds of their training and the test images, if both were repeated."""
    table = evidence.repeated
    basis: Basis = "test accuracy" if metric == "accuracy" else "test cross-entropy"
    for one, other, sign in ((first, second, 1), (second, first, -1)):
        for row in table[(table["first"] == one) & (table["second"] == other)].to_dict("records"):
            error = (float(row[f"{metric}_standard_error"]), float(row[f"{metric}_degrees_of_freedom"]))
            return [Contrast(first, second, basis, Difference(sign * float(row[f"{metric}_difference"]), (error,)))]
    return []


def over_folds(first: NDArray[Any], second: NDArray[Any]) -> Difference:
    """The mean difference of accuracies (num_units, num_folds) at the same units on the same folds.

    It is judged over the folds (each the mean over its units), with the variance that Nadeau and Bengio (2003,
    doi:10.1023/A:1024068626366) give for folds whose training sets overlap; and over the units (each the mean over its
    folds), where there are two or more. Raises ValueError for shapes that differ, or fewer than two folds.
    """
    if first.shape != second.shape or first.ndim != 2 or first.shape[0] < 1 or first.shape[1] < 2:
        raise ValueError(
            f"expected the same units and folds, two folds or more, got shapes {first.shape} and {second.shape}"
        )
    differences = first - second
    num_units, num_folds = differences.shape
    # One test example for every num_folds - 1 that a fold trains on.
    errors = [_error(differences.mean(axis=0), 1 / num_folds + 1 / (num_folds - 1))]
    if num_units > 1:
        errors.append(_error(differences.mean(axis=1), 1 / num_units))
    return Difference(float(differences.mean()), tuple(errors))


def _error(values: NDArray[Any], variance_factor: float) -> tuple[float, float]:
    return float(np.std(values, ddof=1)) * math.sqrt(variance_factor), len(values) - 1


def _reported(difference: float) -> dict[str, float] | None:
    return None if math.isnan(difference) else {"difference": difference}


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
