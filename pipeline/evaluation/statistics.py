"""Confidence intervals, tests, calibration and errors by class of test metrics: NumPy arrays in, numbers out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation import scoring

# Guo et al. 2017 (arXiv:1706.04599) use as many, all of one width.
NUM_BINS = 15
# Enough for a p value of 0.0002, which Holm's correction for 250 pairs still leaves below 5 %.
NUM_RESAMPLES = 9_999
# So many resamples of 10,000 examples at once take a few MB per model.
RESAMPLES_AT_ONCE = 100
BOOTSTRAP_SEED = 20240229
# Of the intervals of differences.
CONFIDENCE = 0.95


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
    values = np.asarray(p_values, dtype=np.float64)
    order = values.argsort(kind="stable")
    corrected = np.empty_like(values)
    corrected[order] = np.maximum.accumulate(np.minimum(1.0, np.arange(len(values), 0, -1) * values[order]))
    return [float(value) for value in corrected]


@dataclass(frozen=True)
class Difference:
    """A first mean less a second one, judged by Student's t test.

    `errors` are standard errors with their degrees of freedom: one for each thing that was sampled, such as folds and
    units, of which the most cautious counts.
    """

    mean: float
    errors: tuple[tuple[float, float], ...]

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of 95 % (low, high)."""
        from scipy.stats import t

        margin = max(float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * error for error, freedom in self.errors)
        return self.mean - margin, self.mean + margin

    def p_value(self, supposed: float = 0.0) -> float:
        """The two-sided p value of a supposed difference."""
        from scipy.stats import t

        distance = abs(self.mean - supposed)
        if distance == 0:
            return 1.0
        return max(float(2 * t.sf(distance / error, freedom)) if error else 0.0 for error, freedom in self.errors)


class MeanDifference(NamedTuple):
    """The mean of a first model less that of a second on the same examples, with its interval and p value."""

    difference: float
    low: float
    high: float
    p_value: float


def paired_bootstrap(
    values: NDArray[Any], pairs: Sequence[tuple[int, int]], confidence: float = 0.95
) -> list[MeanDifference]:
    """Differences of mean losses or errors: `values` are (num_models, n), a row per model, a column per example.

    Each pair (first, second) of rows gives the first mean less the second. Examples are resampled, all models on the
    same ones, by a fixed seed. The interval is the percentile interval; the two-sided p value of no difference is
    twice the share of resamples on the far side of 0, the sample itself counted as one of them, so that it is never 0
    (Davison and Hinkley 1997, doi:10.1017/CBO9780511802843, section 4.2). Where the interval leaves out 0, the p value
    is below 1 - confidence, but for rounding.

    Raises ValueError unless there are two examples or more.
    """
    from scipy.stats import bootstrap

    if not pairs:
        return []
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(f"expected a row per model of two examples or more, got shape {values.shape}")
    firsts, seconds = (list(rows) for rows in zip(*pairs, strict=True))

    def differences(*samples: NDArray[Any], axis: int = -1) -> NDArray[np.float64]:
        means = np.stack([sample.mean(axis=axis, dtype=np.float64) for sample in samples])
        return means[firsts] - means[seconds]

    result = bootstrap(
        tuple(values),
        differences,
        paired=True,
        vectorized=True,
        n_resamples=NUM_RESAMPLES,
        batch=RESAMPLES_AT_ONCE,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(BOOTSTRAP_SEED),
    )
    resampled = result.bootstrap_distribution
    tails = np.minimum((resampled <= 0).sum(axis=1), (resampled >= 0).sum(axis=1))
    p_values = np.minimum(2 * (tails + 1) / (NUM_RESAMPLES + 1), 1.0)
    interval = result.confidence_interval
    columns = (differences(*values), interval.low, interval.high, p_values)
    return [MeanDifference(*map(float, row)) for row in zip(*columns, strict=True)]


def mean_interval(values: NDArray[Any], confidence: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of values (n,), as `paired_bootstrap` has it; (low, high)."""
    (found,) = paired_bootstrap(np.stack([values, np.zeros_like(values)]), [(0, 1)], confidence)
    return found.low, found.high


@dataclass(frozen=True)
class Calibration:
    """Examples by the confidence of their predicted class, in bins of equal width from 0 to 1.

    Arrays (num_bins,): how many examples are in a bin, how many of them are correct, and the sum of their confidences.
    A bin holds its upper edge, the first one 0 too.
    """

    num_examples: NDArray[np.int64]
    num_correct: NDArray[np.int64]
    confidence_sum: NDArray[np.float64]

    @property
    def edges(self) -> NDArray[np.float64]:
        """The limits (num_bins + 1,) of the bins."""
        return np.linspace(0, 1, len(self.num_examples) + 1)

    @property
    def expected_calibration_error(self) -> float:
        """How far confidence and accuracy lie apart: the mean over bins, weighted by their examples, as a fraction.

        Naeini, Cooper and Hauskrecht 2015, doi:10.1609/aaai.v29i1.9602.
        """
        return float(np.abs(self.confidence_sum - self.num_correct).sum() / self.num_examples.sum())

    @property
    def overconfidence(self) -> float:
        """The mean confidence less the accuracy, as a fraction; negative if the model is too modest."""
        return float((self.confidence_sum.sum() - self.num_correct.sum()) / self.num_examples.sum())


def calibration(probabilities: NDArray[Any], labels: NDArray[Any], num_bins: int = NUM_BINS) -> Calibration:
    """Whether a predicted probability (n, num_classes) is the share of right answers to the labels (n,).

    The confidence is the largest probability of a row; rows of independent probabilities (sigmoid) need not sum to 1.
    Raises ValueError without examples.
    """
    if len(labels) == 0:
        raise ValueError("expected at least one example, got none")
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = scoring.is_correct(probabilities, labels)
    inner_edges = np.linspace(0, 1, num_bins + 1)[1:-1]
    bins = np.searchsorted(inner_edges, confidence, side="left")
    return Calibration(
        np.bincount(bins, minlength=num_bins),
        np.bincount(bins[correct], minlength=num_bins),
        np.bincount(bins, weights=confidence, minlength=num_bins).astype(np.float64),
    )


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
    wrong = np.flatnonzero(~scoring.is_correct(probabilities, labels))
    confidence = probabilities[wrong].max(axis=1, initial=0.0)
    return wrong[np.argsort(-confidence, kind="stable")[:num_most]]
