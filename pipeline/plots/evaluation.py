"""Plots of what one model gets wrong on the test set."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.plots import style

# Up to this many mistakes are shown, in rows.
NUM_MISTAKES = 24
NUM_COLUMNS = 6


def confusion_matrix(matrix: NDArray[np.int64], classes: Sequence[str], *, title: str) -> Figure:
    """Counts (num_classes, num_classes), rows true and columns predicted, with the mistakes in colour.

    The diagonal stays uncoloured: in a good model it is so much larger that every mistake would look the same.
    """
    import seaborn as sns

    figure, axes = style.panels(6, title=title)
    shares = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    correct = np.eye(len(classes), dtype=bool)
    sns.heatmap(
        np.where(correct, 0, shares),
        ax=axes,
        mask=correct,
        annot=np.where(matrix == 0, "", matrix.astype(str)),
        fmt="",
        cmap="Blues",
        vmin=0,
        # Without a mistake all is 0, and the scale would be widened to both sides of it.
        vmax=None if shares[~correct].any() else 1,
        linewidths=0.5,
        linecolor="0.85",
        xticklabels=list(classes),
        yticklabels=list(classes),
        square=True,
        cbar_kws={"label": "mistakes, % of the true class", "shrink": 0.8},
    )
    for index, count in enumerate(matrix.diagonal()):
        axes.text(index + 0.5, index + 0.5, str(count), ha="center", va="center", fontweight="bold")
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.tick_params(length=0)
    axes.tick_params(axis="y", rotation=0)
    # Long names overlap where digits do not.
    if max(map(len, classes)) > 2:
        axes.set_xticklabels(axes.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
    return figure


def reliability(bins: pd.DataFrame, *, title: str) -> Figure:
    """A reliability diagram: how often predictions of a confidence are right, and how many there are.

    `bins` has a row per bin: its limits `low` and `high`, `num_examples`, and, empty without examples, `confidence`,
    `accuracy`, `accuracy_low` and `accuracy_high`, all fractions. The bins are plotted at their mean confidence.
    """
    figure, (upper, lower) = style.panels(6.4, 2, width=5.6, title=title, sharex=True, height_ratios=(3, 1))
    shown = bins[bins["num_examples"] > 0]
    upper.plot([0, 1], [0, 1], color="0.6", ls="--", label="perfectly calibrated")
    interval = (shown["accuracy"] - shown["accuracy_low"], shown["accuracy_high"] - shown["accuracy"])
    label = "accuracy, with its 95 % interval"
    upper.errorbar(shown["confidence"], shown["accuracy"], yerr=interval, label=label, **style.POINT)
    upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy (%)")
    style.in_percent(upper.yaxis)
    style.in_percent(lower.xaxis)
    upper.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    lower.bar(bins["low"], bins["num_examples"], width=bins["high"] - bins["low"], align="edge", color=style.SKY_BLUE)
    lower.set(yscale="log", xlabel="confidence: probability of the predicted class (%)", ylabel="test images")
    lower.set_ylim(bottom=0.5)
    lower.grid(axis="y", alpha=0.3)
    return figure


def most_wrong(
    images: NDArray[np.uint8],
    labels: NDArray[Any],
    probabilities: NDArray[Any],
    classes: Sequence[str],
    *,
    wrong: NDArray[np.intp],
    title: str,
) -> Figure:
    """A grid of the misclassified images `wrong`, in this order, each with its classes and the network's confidence.

    `images` (n, height, width), `labels` (n,) and `probabilities` (n, num_classes) are of all test examples; `wrong`
    are at most NUM_MISTAKES indices. A network that gives all images one answer has no worst mistakes: none is shown.
    """
    # No prediction is certain: 99.99 % rather than a rounded 100 %.
    answers = [
        f"predicted: {classes[int(scores.argmax())]}\n{min(100 * float(scores.max()), 99.99):.2f} % sure"
        for scores in probabilities[wrong]
    ]
    words = "" if answers else "No test image is misclassified."
    if answers and np.ptp(probabilities, axis=0).max() < 0.5e-4:
        words = "Every test image, right or wrong, gets the same answer:\n" + answers[0].replace("\n", ", ")
    if words:
        figure = style.empty(1.6, title)
        figure.text(0.5, 0.4, words, ha="center", va="center")
        return figure
    rows, title = math.ceil(len(wrong) / NUM_COLUMNS), f"{title}, the most confident first"
    figure, grid = style.panels(0.6 + 1.6 * rows, rows, NUM_COLUMNS, title=title, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, index, answer in zip(grid.flat, wrong, answers, strict=False):
        axes.imshow(images[index], cmap="gray_r", vmin=0, vmax=255)
        axes.set_title(f"true: {classes[labels[index]]}\n{answer}", fontsize=8)
    return figure
