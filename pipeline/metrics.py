"""How far test figures can be trusted, and where a model goes wrong: NumPy arrays in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PerClass:
    """Arrays (num_classes,): precision, recall and F1 as fractions, support as a count of examples.

    A class that was never predicted has precision 0, one without examples recall 0.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]

    @property
    def macro_f1(self) -> float:
        """The mean F1 over classes, each class counting the same."""
        return float(self.f1.mean())


def wilson_interval(num_correct: int, num_examples: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion, as fractions (low, high).

    Raises ValueError unless 0 <= num_correct <= num_examples and num_examples > 0.
    """
    from scipy.stats import binomtest

    interval = binomtest(num_correct, num_examples).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Discordance:
    """Two classifiers on the same examples: how many only the first gets right, how many only the second, of all."""

    only_first: int
    only_second: int
    num_examples: int

    @property
    def difference(self) -> float:
        """The first accuracy less the second, as a fraction."""
        return (self.only_first - self.only_second) / self.num_examples


def discordance(first_correct: NDArray[np.bool_], second_correct: NDArray[np.bool_]) -> Discordance:
    """Compare which examples (n,) two classifiers get right. Raises ValueError for different or empty shapes."""
    if first_correct.shape != second_correct.shape or first_correct.size == 0:
        raise ValueError(f"expected the same examples, got {first_correct.shape} and {second_correct.shape}")
    return Discordance(
        only_first=int(np.count_nonzero(first_correct & ~second_correct)),
        only_second=int(np.count_nonzero(~first_correct & second_correct)),
        num_examples=first_correct.size,
    )


def mcnemar_p_value(pairs: Discordance) -> float:
    """Two-sided p value of the exact McNemar test: that two accuracies on the same examples are equal.

    Given the number of discordant examples, those of the first are binomial with probability 1/2 (McNemar 1947,
    doi:10.1007/BF02295996; for classifiers Dietterich 1998, doi:10.1162/089976698300017197).
    """
    from scipy.stats import binomtest

    num_discordant = pairs.only_first + pairs.only_second
    return float(binomtest(pairs.only_first, num_discordant, 0.5).pvalue) if num_discordant else 1.0


def tango_interval(pairs: Discordance, confidence: float = 0.95) -> tuple[float, float]:
    """Tango's score interval of a paired difference of accuracies, as fractions (low, high).

    It holds the differences that the score test does not reject; of 0 that test is McNemar's without continuity
    correction, so that the exact one, more cautious, may doubt a difference whose interval just leaves out 0
    (Tango 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B).
    """
    from scipy.optimize import bisect
    from scipy.stats import norm

    quantile = float(norm.ppf((1 + confidence) / 2))

    def limit(edge: float) -> float:
        """Where, from the measured difference to the edge, the statistic reaches the quantile; at most the edge."""
        if pairs.difference == edge:
            return edge
        # Bisection, because the statistic may be infinite at the edge.
        return float(bisect(lambda value: _score_statistic(pairs, value) + edge * quantile, pairs.difference, edge))

    return limit(-1.0), limit(1.0)


def _score_statistic(pairs: Discordance, difference: float) -> float:
    """How many standard errors the measured difference lies above a supposed one, in [-1, 1]."""
    n, b, c = pairs.num_examples, pairs.only_first, pairs.only_second
    excess = b - c - n * difference
    if excess == 0:
        return 0.0
    # The most likely share of examples that only the second gets right, if the difference were the supposed one.
    linear = (2 * n - b + c) * difference - b - c
    constant = -c * difference * (1 - difference)
    share = (math.sqrt(max(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2 * share + difference * (1 - difference))
    return excess / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, excess)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number by Holm's step-down method (Holm 1979, www.jstor.org/stable/4615733).

    Rejecting those below a level makes one false rejection or more with at most that probability.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def confusion_matrix(labels: NDArray[Any], predicted: NDArray[Any], num_classes: int) -> NDArray[np.int64]:
    """Counts (num_classes, num_classes): rows are true classes, columns predicted ones."""
    from sklearn.metrics import confusion_matrix as count

    return np.asarray(count(labels, predicted, labels=range(num_classes)), dtype=np.int64)


def per_class(labels: NDArray[Any], predicted: NDArray[Any], num_classes: int) -> PerClass:
    """Precision, recall, F1 and support of every class."""
    from sklearn.metrics import precision_recall_fscore_support

    scores = precision_recall_fscore_support(labels, predicted, labels=range(num_classes), zero_division=0.0)
    return PerClass(*scores)


def most_confidently_wrong(probabilities: NDArray[Any], labels: NDArray[Any], num_most: int) -> NDArray[np.intp]:
    """Indices of at most `num_most` misclassified rows, the highest probability of a wrong class first.

    Equally confident mistakes come in the order of the rows.
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    confidence = probabilities[wrong].max(axis=1, initial=0.0)
    return wrong[np.argsort(-confidence, kind="stable")[:num_most]]
