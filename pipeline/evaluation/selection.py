"""Which model to register: a rule on validation metrics, so that the choice does not use up the test set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Metric = Literal["val_accuracy", "val_cross_entropy", "val_mean_absolute_error"]

# What a person reads; all but the accuracy are better when they are smaller.
METRIC_NAMES: dict[Metric, str] = {
    "val_accuracy": "validation accuracy",
    "val_cross_entropy": "validation cross-entropy",
    "val_mean_absolute_error": "mean absolute validation error",
}

# Metrics that differ by less are equal: finer than one validation image, coarser than float32 rounding.
DECIMALS = 6


@dataclass(frozen=True)
class Candidate:
    """A trained variant for selection: validation metrics of the last epoch's weights by name, and its size."""

    variant: str
    study: str
    parameters: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Selection:
    """The chosen candidate, why, and all candidates, best metric first."""

    selected: Candidate
    reason: str
    ranked: tuple[Candidate, ...]


def select(
    candidates: Sequence[Candidate], *, metric: Metric, tolerance: float, prefer_fewer_parameters: bool
) -> Selection:
    """Choose the best candidate by a validation metric, or a smaller one that is as good.

    With `prefer_fewer_parameters`, all candidates within `tolerance` of the best (inclusive, in units of the metric)
    count as equally good, and the one with the fewest parameters wins; of equals in size the better metric, then the
    name. Without it the best wins, whatever the tolerance, and equal metrics go to fewer parameters, then to the name.

    Raises ValueError when there are no candidates, or a metric is not a finite number.
    """
    if not candidates:
        raise ValueError("expected at least one candidate, got none")
    for candidate in candidates:
        if not math.isfinite(candidate.metrics.get(metric, math.nan)):
            raise ValueError(f"{candidate.variant}: expected a finite {metric}, got {candidate.metrics.get(metric)}")
    ranked = tuple(
        sorted(candidates, key=lambda item: (-_goodness(item, metric), item.parameters, item.variant, item.study))
    )
    best = ranked[0]
    if not prefer_fewer_parameters:
        return Selection(best, f"It has the best {_described(best, metric)} among {_count(ranked)}.", ranked)
    good_enough = [item for item in ranked if gap(item, best, metric) <= round(tolerance, DECIMALS)]
    # `ranked` is in order of the metric and `min` keeps the first of equals, so ties go to the better metric.
    selected = min(good_enough, key=lambda item: item.parameters)
    return Selection(selected, _reason(selected, good_enough, ranked, metric, tolerance), ranked)


def gap(candidate: Candidate, best: Candidate, metric: Metric) -> float:
    """How much worse a candidate is than the best, in units of the metric; never negative if `best` is the best."""
    return round(_goodness(best, metric) - _goodness(candidate, metric), DECIMALS)


def _goodness(candidate: Candidate, metric: Metric) -> float:
    value = candidate.metrics[metric]
    return round(value if metric == "val_accuracy" else -value, DECIMALS)


def _reason(
    selected: Candidate, good_enough: Sequence[Candidate], ranked: Sequence[Candidate], metric: Metric, tolerance: float
) -> str:
    best = ranked[0]
    allowance = f"the tolerance of {_amount(tolerance, metric)}"
    if len(good_enough) == 1:
        return f"It has the best {_described(best, metric)} among {_count(ranked)}; no other is within {allowance}."
    if selected is best:
        return (
            f"It has the best {_described(best, metric)} among {_count(ranked)}, and of the {len(good_enough)} within "
            f"{allowance} none has fewer parameters ({best.parameters:,})."
        )
    return (
        f"Of the {len(good_enough)} variants within {allowance} of the best it has the fewest parameters: "
        f"{selected.parameters:,} at a {_described(selected, metric)}, against {best.parameters:,} of {best.variant} "
        f"at {_value(best, metric)}."
    )


def _described(candidate: Candidate, metric: Metric) -> str:
    return f"{METRIC_NAMES[metric]} of {_value(candidate, metric)}"


def _value(candidate: Candidate, metric: Metric) -> str:
    value = candidate.metrics[metric]
    return f"{100 * value:.2f} %" if metric == "val_accuracy" else f"{value:.4f}"


def _amount(tolerance: float, metric: Metric) -> str:
    return f"{tolerance * 100:g} points" if metric == "val_accuracy" else f"{tolerance:g}"


def _count(candidates: Sequence[Candidate]) -> str:
    return "1 variant" if len(candidates) == 1 else f"{len(candidates)} variants"
