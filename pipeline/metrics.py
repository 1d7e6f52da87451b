"""How far test figures can be trusted, and where a model goes wrong: NumPy arrays in, numbers out."""

from __future__ import annotations

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
