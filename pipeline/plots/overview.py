"""Plots over all studies: what networks of which size and cost reach, and what a technique changes."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from pipeline.plots import style

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Differences up to so many points are on a linear scale, larger ones on a logarithmic one.
LINEAR_POINTS = 1.0
TICKS = (-50, -10, -3, -1, 0, 1, 3, 10, 50)
# What is 100 % right has this error (a fraction), so that a logarithm has a place for it.
SMALLEST_ERROR = 1e-4
ROW_HEIGHT = 0.22


def gaps(table: pd.DataFrame) -> Figure:
    """How much more accurate each variant is in training than on the test set, against its number of parameters.

    `table` has the columns `study`, `parameters` and `accuracy_gap` (a fraction).
    """
    figure, axes = style.panels(4.6)
    _draw_studies(axes, table, "parameters", 100 * table["accuracy_gap"])
    axes.axhline(0, color=style.BLACK, lw=0.8)
    axes.set(xlabel="parameters", ylabel="training less test accuracy (points)")
    _end(figure, axes)
    return figure


def accuracies(table: pd.DataFrame) -> Figure:
    """Test accuracy with its interval against cost, both logarithmic: errors of 10 % and 1 % are equally far apart.

    `table` has the columns `study`, `cost`, `test_accuracy`, `test_accuracy_low` and `test_accuracy_high` (fractions).
    """
    figure, axes = style.panels(4.6)
    error, best, worst = ((1 - table[f"test_accuracy{end}"]).clip(SMALLEST_ERROR, 1) for end in ("", "_high", "_low"))
    axes.set_yscale("log")
    axes.vlines(table["cost"], best, worst, color=style.GREY, lw=1)
    _draw_studies(axes, table, "cost", error)
    axes.invert_yaxis()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * (1 - value):.5g}")
    axes.set(xlabel="parameters × epochs", ylabel="test accuracy (%)")
    _end(figure, axes)
    return figure


def effects(table: pd.DataFrame) -> Figure:
    """A row per technique: the difference that it makes in test accuracy, with its interval, under its group's name.

    `table` has the columns `group`, `label`, `difference`, `low`, `high` (fractions) and `is_significant`. A full point
    is significant, a hollow one is not.
    """
    groups = list(dict.fromkeys(table["group"]))
    places = np.arange(len(table)) + [1.4 * (groups.index(group) + 1) for group in table["group"]]
    figure, axes = style.panels(1 + ROW_HEIGHT * (places.max() + 1))
    for place, row in zip(places, table.to_dict("records"), strict=True):
        colour = style.variant_colour(groups.index(row["group"]))
        axes.errorbar(
            [100 * row["difference"]],
            [place],
            xerr=([100 * (row["difference"] - row["low"])], [100 * (row["high"] - row["difference"])]),
            fmt="o",
            ms=5,
            color=colour,
            mfc=colour if row["is_significant"] else "white",
            capsize=2,
            lw=1.2,
        )
    for group in groups:
        first = places[list(table["group"]).index(group)]
        axes.text(-0.01, first - 1, group, ha="right", va="center", fontsize=9, fontweight="bold", **_beside(axes))
    axes.axvline(0, color=style.BLACK, lw=0.8)
    axes.set_xscale("symlog", linthresh=LINEAR_POINTS)
    low, high = axes.get_xlim()
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:+d}" if tick else "0" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks(places, list(table["label"]), fontsize=8)
    axes.set_ylim(places.max() + 0.8, -0.2)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel("test accuracy, in points")
    return figure


def _beside(axes: Axes) -> dict[str, object]:
    """Place a text at a height of the data, left of the axes."""
    return {"transform": axes.get_yaxis_transform()}


def _draw_studies(axes: Axes, table: pd.DataFrame, column: str, values: pd.Series) -> None:
    for place, (study, rows) in enumerate(table.groupby("study", sort=False)):
        line: dict[str, Any] = {"marker": MARKERS[place % len(MARKERS)], "color": style.variant_colour(place)}
        axes.plot(rows[column], values[rows.index], ls="none", ms=6, alpha=0.8, label=str(study), **line)
    axes.set_xscale("log")
    # 100 k and 10 M, not powers of ten.
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _end(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
