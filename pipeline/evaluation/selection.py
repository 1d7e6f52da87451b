"""Which model to register: a rule on validation metrics, so that the choice does not use up the test set."""

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
    if len(ranked) == 1:
        return Selection(best, "It is the only variant.", ranked)
    is_best = f"It has the best {METRIC_NAMES[metric]} of {_value(best, metric)} among {len(ranked)} variants"
    if not prefer_fewer_parameters:
        return Selection(best, f"{is_best}.", ranked)
    good_enough = [item for item in ranked if gap(item, best, metric) <= round(tolerance, DECIMALS)]
    # `ranked` is in order of the metric and `min` keeps the first of equals, so ties go to the better metric.
    selected = min(good_enough, key=lambda item: item.parameters)
    points = f"{tolerance * 100:g} points" if metric == "val_accuracy" else f"{tolerance:g}"
    allowance = f"within the tolerance of {points}"
    if len(good_enough) == 1:
        reason = f"{is_best}; no other is {allowance}."
    elif selected is best:
        reason = (
            f"{is_best}, and of the {len(good_enough)} {allowance} none has fewer parameters ({best.parameters:,})."
        )
    else:
        reason = (
            f"Of the {len(good_enough)} variants {allowance} of the best it has the fewest parameters: "
            f"{selected.parameters:,} at a {METRIC_NAMES[metric]} of {_value(selected, metric)}, "
            f"against {best.parameters:,} of {best.variant} at {_value(best, metric)}."
        )
    return Selection(selected, reason, ranked)


def gap(candidate: Candidate, best: Candidate, metric: Metric) -> float:
    """How much worse a candidate is than the best, in units of the metric; never negative if `best` is the best."""
    return round(_goodness(best, metric) - _goodness(candidate, metric), DECIMALS)


def _goodness(candidate: Candidate, metric: Metric) -> float:
    value = candidate.metrics[metric]
    return round(value if metric == "val_accuracy" else -value, DECIMALS)


def _value(candidate: Candidate, metric: Metric) -> str:
    value = candidate.metrics[metric]
    return f"{100 * value:.2f} %" if metric == "val_accuracy" else f"{value:.4f}"
