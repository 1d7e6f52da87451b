"""How well measured cross-validated accuracies agree with those that a source reports."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def agreement(scores: pd.DataFrame) -> dict[str, Any] | None:
    """Rank correlation and differences over all configurations with a reported figure, and for each search.

    `scores` has the columns of results/searches.csv. None where nothing is reported.
    """
    reported = scores.dropna(subset=["reported_cv_accuracy"])
    if reported.empty:
        return None
    by_search = {str(name): _figures(table) for name, table in reported.groupby("search", sort=False)}
    return {"all": _figures(reported), "searches": by_search}


def rank_correlation(table: pd.DataFrame) -> float | None:
    """Spearman's rank correlation of measured and reported accuracies; None where it is not defined.

    It takes two configurations or more, and some that differ, on both sides.
    """
    columns = table[["mean_accuracy", "reported_cv_accuracy"]].dropna().astype(float)
    if len(columns) < 2 or (columns.nunique() < 2).any():
        return None
    first, second = (columns[name].rank().to_numpy() for name in columns)
    return float(np.corrcoef(first, second)[0, 1])


def _figures(table: pd.DataFrame) -> dict[str, Any]:
    measured, reported = (table[name].astype(float) for name in ("mean_accuracy", "reported_cv_accuracy"))
    differences = measured - reported
    return {
        "num_configurations": len(table),
        "rank_correlation": rank_correlation(table),
        "mean_difference": float(differences.mean()),
        "largest_absolute_difference": float(differences.abs().max()),
        "best_measured": _of(table, measured),
        "best_reported": _of(table, reported),
    }


def _of(table: pd.DataFrame, accuracies: pd.Series[float]) -> str:
    best = table.iloc[int(accuracies.argmax())]
    return f"{best['search']} {best['units']}"
