"""Plots that compare the variants of a study with its baseline."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.plots import style

# One per kind; the baseline is black.
COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.SKY_BLUE, style.VERMILION)
BASELINE_LINE: dict[str, Any] = {"color": style.BLACK, "ls": "--", "lw": 1.2}
# Between bars of different kinds, in bars.
GAP = 0.6
# The enlarged scale shows accuracies down to this far below the baseline's, as a fraction.
ENLARGED_SPAN = 0.08


def accuracy_bars(table: pd.DataFrame, *, baseline: str, title: str) -> Figure:
    """Validation accuracy of every setting, grouped by kind, the baseline as a line; to the right enlarged.

    `table` has the columns `variant`, `kind`, `val_accuracy`, `val_accuracy_low` and `val_accuracy_high` (fractions);
    the enlarged part shows the intervals, and a mark at the edge for what lies further left.
    """
    others, reference = _without(table, baseline)
    height = 1.6 + 0.28 * len(others)
    figure, (bars, enlarged) = style.panels(height, 1, 2, title=title, sharey=True, width_ratios=(2, 3))
    places = _draw_bars(bars, others, "val_accuracy", scale=100, text="{:.2f} %")
    accuracy = 100 * reference["val_accuracy"]
    bars.axvline(accuracy, label=f"{baseline}: {accuracy:.2f} %", **BASELINE_LINE)
    bars.set(xlim=(0, 150), xlabel="validation accuracy (%)", xticks=(0, 50, 100))
    _draw_enlarged(enlarged, others, reference, places)
    handles = [*bars.lines[:1], *enlarged.containers[:1]]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def cross_entropy_bars(table: pd.DataFrame, *, baseline: str, title: str) -> Figure:
    """Validation cross-entropy, without penalties, of every setting, grouped by kind, the baseline as a line.

    `table` has the columns `variant`, `kind` and `val_cross_entropy`.
    """
    others, reference = _without(table, baseline)
    figure, axes = style.panels(1.6 + 0.28 * len(others), title=title)
    _draw_bars(axes, others, "val_cross_entropy", scale=1, text="{:.3f}")
    value = reference["val_cross_entropy"]
    axes.axvline(value, label=f"{baseline}: {value:.3f}", **BASELINE_LINE)
    axes.margins(x=0.12)
    axes.set_xlabel("validation cross-entropy (nats, without penalties)")
    figure.legend(loc="outside lower center", frameon=False)
    return figure


def learning_curves(histories: Mapping[str, pd.DataFrame], *, title: str) -> Figure:
    """Training and validation cross-entropy (without penalties) and accuracy over all epochs, a row per variant.

    `histories` holds a table per variant with the columns `epoch`, `cross_entropy`, `val_cross_entropy`, `accuracy` and
    `val_accuracy`. All rows have the same scales; a dot marks the lowest validation cross-entropy.
    """
    rows = len(histories)
    figure, grid = style.panels(1.2 + 1.6 * rows, rows, 2, title=title, sharey="col", squeeze=False)
    for (entropy, accuracy), (name, history) in zip(grid, histories.items(), strict=True):
        style.draw_history(entropy, history, "cross_entropy", lw=1)
        style.draw_history(accuracy, history, "accuracy", lw=1)
        lowest = history.iloc[int(history["val_cross_entropy"].argmin())]
        label = "lowest validation cross-entropy"
        place = (lowest["epoch"], lowest["val_cross_entropy"])
        entropy.plot(*place, "o", color=style.VALIDATION_COLOUR, label=label)
        entropy.set_title(f"{name}\nlowest in epoch {lowest['epoch']:.0f} of {len(history)}", fontsize=9)
        accuracy.set_title("accuracy (%)", fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    grid[0][0].set_ylim(0, None)
    figure.supylabel("cross-entropy (nats), without penalties", fontsize=10)
    figure.legend(handles=grid[0][0].lines, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _without(table: pd.DataFrame, baseline: str) -> tuple[pd.DataFrame, pd.Series]:
    is_baseline = table["variant"] == baseline
    return table[~is_baseline].reset_index(drop=True), table[is_baseline].iloc[0]


def _draw_bars(axes: Axes, table: pd.DataFrame, column: str, *, scale: float, text: str) -> np.ndarray:
    """Bars from the top, a gap before each new kind; returns where they stand."""
    kinds, values = table["kind"].factorize()[0], scale * table[column]
    places = np.arange(len(kinds)) + GAP * kinds
    bars = axes.barh(places, values, color=[COLOURS[kind % len(COLOURS)] for kind in kinds], height=0.75)
    # On white, because the baseline's line may cross it.
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
    axes.bar_label(bars, [text.format(value) for value in values], padding=4, fontsize=8, bbox=box)
    axes.set_yticks(places, list(table["variant"]), fontsize=8)
    # Once: the enlarged part shares the axis, and a second call would turn it back.
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    return places


def _draw_enlarged(axes: Axes, table: pd.DataFrame, reference: pd.Series, places: np.ndarray) -> None:
    limit = 100 * (reference["val_accuracy"] - ENLARGED_SPAN)
    style.draw_accuracies(axes, table, "val_accuracy", places, label="95 % interval")
    axes.axvline(100 * reference["val_accuracy"], label="", **BASELINE_LINE)
    low, high = 100 * reference["val_accuracy_low"], 100 * reference["val_accuracy_high"]
    axes.axvspan(low, high, color=style.BLACK, alpha=0.07, lw=0)
    highest = max(100 * table["val_accuracy_high"].max(), high)
    axes.set(xlim=(limit, min(100.0, highest + 0.5)))
    axes.set_xlabel("enlarged (%); shaded: the baseline's interval")
    for place, value in zip(places, 100 * table["val_accuracy"], strict=True):
        if value < limit:
            axes.text(limit, place, f" \N{BLACK LEFT-POINTING SMALL TRIANGLE} {value:.2f} %", va="center", fontsize=8)
