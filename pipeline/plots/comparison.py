"""Plots that compare the variants of a study."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pipeline.plots import style
from pipeline.plots.style import percent

# How the series look, by turns.
STYLES = tuple(itertools.product(("-", "--", ":", "-."), style.COLOURS))
# In the enlarged part of the bar chart: accuracies down to this far below the best one, as a fraction.
ENLARGED_SPAN = 0.1
LEGEND: dict[str, Any] = {
    "loc": "outside right upper",
    "alignment": "left",
    "frameon": False,
    "fontsize": 9,
    "handlelength": 3,
}

Curve = Literal["val_accuracy", "val_cross_entropy"]


def validation_curves(
    histories: Mapping[str, pd.DataFrame], curve: Curve, *, title: str, only: Sequence[str] | None = None
) -> Figure:
    """One line per variant over the epochs, best last value first in the legend.

    `histories` holds a table per variant with the columns `epoch` and `curve`; `only` names those to draw, if not all.
    A variant's colour and line style come from its place in `histories`, so that all plots agree.
    """
    is_accuracy = curve == "val_accuracy"
    label = "validation accuracy (%)" if is_accuracy else "validation cross-entropy (nats, without penalties)"
    figure, axes = _over_epochs(title, label, in_percent=is_accuracy)
    last = {}
    for (name, history), (line_style, colour) in zip(histories.items(), itertools.cycle(STYLES), strict=False):
        if only is None or name in only:
            value = history[curve].iloc[-1]
            shown = percent(value) if is_accuracy else f"{value:.3f}"
            (line,) = axes.plot(history["epoch"], history[curve], label=f"{name}  {shown}", color=colour, ls=line_style)
            last[line] = -value if is_accuracy else value
    figure.legend(handles=sorted(last, key=last.__getitem__), title="variant, value at its last epoch", **LEGEND)
    return figure


def accuracy_overlay(histories: Mapping[str, pd.DataFrame], *, title: str) -> Figure:
    """Training (dashed) and validation accuracy (solid) over the epochs, a colour per variant.

    `histories` holds a table per variant with the columns `epoch`, `accuracy` and `val_accuracy`.
    """
    figure, axes = _over_epochs(title, "accuracy (%)", in_percent=True)
    for (name, history), (_, colour) in zip(histories.items(), itertools.cycle(STYLES), strict=False):
        axes.plot(history["epoch"], history["accuracy"], color=colour, ls="--", label=f"{name}, training")
        axes.plot(history["epoch"], history["val_accuracy"], color=colour, label=f"{name}, validation")
    figure.legend(**LEGEND)
    return figure


def accuracy_chart(ranking: pd.DataFrame, *, title: str) -> Figure:
    """Horizontal bars of test accuracy, best on top, with 95 % intervals and the accuracies that the source reports.

    The bars start at 0; beside them the top of the scale is enlarged, where intervals can be seen. `ranking` has the
    columns `variant`, `test_accuracy`, `test_accuracy_low`, `test_accuracy_high` and `reported_test_accuracy`
    (fractions, the last one may be empty).
    """
    table = ranking.sort_values(["test_accuracy", "variant"], ascending=[True, False]).reset_index(drop=True)
    height = 1.9 + 0.38 * len(table)
    figure, (bars, enlarged) = style.panels(height, 1, 2, title=title, sharey=True, width_ratios=(2, 3))

    bars.barh(table["variant"], 100 * table["test_accuracy"], color=style.SKY_BLUE, height=0.65)
    for row, accuracy in enumerate(table["test_accuracy"]):
        bars.text(50 * accuracy, row, percent(accuracy), ha="center", va="center", fontsize=9)
    bars.set(xlim=(0, 100), xlabel="test accuracy (%)")

    floor = table["test_accuracy"].max() - ENLARGED_SPAN
    measured_ends = table.loc[table["test_accuracy"] >= floor, ["test_accuracy_low", "test_accuracy_high"]]
    reported = table["reported_test_accuracy"].astype(float)
    ends = np.concatenate([measured_ends.to_numpy(dtype=float).ravel(), reported[reported >= floor]])
    margin = 0.05 * (ends.max() - ends.min())
    low, high = 100 * (ends.min() - margin), 100 * (ends.max() + margin)
    measured = style.draw_accuracies(
        enlarged, table, "test_accuracy", table["variant"], label="measured, with its 95 % interval"
    )
    handles: list[Artist | Container] = [measured]
    enlarged.set(xlim=(low, high), xlabel="test accuracy (%), enlarged")
    if table["reported_test_accuracy"].notna().any():
        handles.append(_draw_reported(bars, table))
        _draw_reported(enlarged, table)
    _note_what_lies_left(enlarged, table, low)
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def difference_matrix(differences: pd.DataFrame, names: Sequence[str], *, title: str) -> Figure:
    """The accuracy of each row's variant less that of each column's, in points; grey if not significant.

    `differences` has the columns of pipeline.evaluation.pairwise; what it does not compare stays empty.
    """
    size = max(4.5, 1.5 + 0.62 * len(names))
    # The title over the whole figure: the matrix of a few variants is narrower.
    figure, axes = style.panels(size, title=title)
    # Differences in points, NaN where there are none, and which of them are significant.
    points = np.full((len(names), len(names)), np.nan)
    is_real = np.zeros_like(points, dtype=bool)
    for pair in differences.to_dict("records"):
        first, second = names.index(pair["first"]), names.index(pair["second"])
        points[first, second] = 100 * pair["accuracy_difference"]
        # Not the -0.0 that -points would be where there is no difference.
        points[second, first] = 0 - points[first, second]
        is_real[first, second] = is_real[second, first] = pair["accuracy_verdict"].endswith(" is better")
    limit = max(float(np.nanmax(np.abs(points), initial=0.0, where=is_real)), 0.1)
    axes.imshow(np.where(is_real, points, np.nan), cmap="RdBu", vmin=-limit, vmax=limit)
    for row, column in zip(*np.nonzero(~np.isnan(points)), strict=True):
        # White on dark colours, grey if not significant.
        colour = "0.5" if not is_real[row, column] else "white" if abs(points[row, column]) > 0.6 * limit else "black"
        text = f"{points[row, column]:+.1f}" if abs(points[row, column]) >= 10 else f"{points[row, column]:+.2f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    figure.supxlabel(
        "row less column; coloured: significant (exact McNemar test, Holm's correction, 5 %); grey: not", fontsize=9
    )
    return figure


def _over_epochs(title: str, ylabel: str, *, in_percent: bool) -> tuple[Figure, Axes]:
    figure, axes = style.panels(5.5)
    axes.set(title=title, xlabel="epoch", ylabel=ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if in_percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    axes.grid(alpha=0.3)
    return figure, axes


def _draw_reported(axes: Axes, table: pd.DataFrame) -> Artist:
    reported = table.dropna(subset=["reported_test_accuracy"])
    (markers,) = axes.plot(
        100 * reported["reported_test_accuracy"].astype(float),
        reported["variant"],
        linestyle="none",
        marker="D",
        markersize=6,
        markerfacecolor="none",
        markeredgecolor=style.VERMILION,
        markeredgewidth=1.5,
        label="reported by the source",
    )
    return markers


def _note_what_lies_left(axes: Axes, table: pd.DataFrame, limit: float) -> None:
    for row, (measured, reported) in enumerate(
        zip(table["test_accuracy"], table["reported_test_accuracy"], strict=True)
    ):
        notes = [
            f"{name} {percent(accuracy)}"
            for name, accuracy in (("measured", measured), ("reported", reported))
            if accuracy is not None and 100 * accuracy < limit
        ]
        if notes:
            axes.annotate(
                "\N{BLACK LEFT-POINTING SMALL TRIANGLE} " + ", ".join(notes),
                (0.01, row),
                # Clear of the interval, where the row has one.
                xytext=(0, 0 if 100 * measured < limit else 7),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                fontsize=8,
                va="center",
            )
