"""Plots of grid searches: cross-validated accuracies against those of the source, and over the grid."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, NullLocator

from pipeline.config.models import units_text
from pipeline.plots import style

MARKERS = ("o", "^", "s", "D", "v", "P", "X")
# The smallest part of the scale, in fractions, that holds this share of the configurations is enlarged.
ENLARGED_SHARE = 0.75
# Up to so many configurations each is labelled with its units.
NUM_LABELLED = 40
# Grids with more columns are shown one below the other, not side by side.
NUM_COLUMNS_BESIDE = 4
# On the scale of colours.
NUM_TICKS = 5


def reported_against_measured(
    scores: pd.DataFrame, *, correlations: Mapping[str, float | None], correlation: float | None, title: str
) -> Figure:
    """Cross-validated accuracy of every configuration, the source's against the measured one, a marker per search.

    `scores` has the columns `search`, `units`, `mean_accuracy`, `std_accuracy` and `reported_cv_accuracy` (fractions),
    `correlations` the rank correlation of each search, `correlation` that of all. Bars are the standard deviation over
    the folds. Where nothing is reported, the plot says so, and shows the measured accuracies.
    """
    reported = scores.dropna(subset=["reported_cv_accuracy"]).astype({"reported_cv_accuracy": float})
    if reported.empty:
        return _measured_only(scores, title=title)
    title = f"{title}\n{len(reported)} configurations, Spearman's rank correlation {_correlation(correlation)}"
    figure, (whole, enlarged) = style.panels(12, 2, title=title, height_ratios=(2, 3))
    pairs = reported[["mean_accuracy", "reported_cv_accuracy"]].to_numpy()
    part = _limits(pairs[pairs.min(axis=1) >= np.quantile(pairs.min(axis=1), 1 - ENLARGED_SHARE)])
    for axes, limits in ((whole, _limits(pairs)), (enlarged, part)):
        for (name, table), marks in zip(reported.groupby("search", sort=False), _styles(), strict=False):
            axes.errorbar(
                table["mean_accuracy"],
                table["reported_cv_accuracy"],
                xerr=table["std_accuracy"],
                markersize=6,
                elinewidth=0.8,
                alpha=0.85,
                label=f"{name}  {_correlation(correlations.get(str(name)))}",
                **marks,
            )
        axes.axline((1, 1), slope=1, color="0.5", ls="--", lw=1, label="equal")
        axes.set(xlim=limits, ylim=limits, xlabel="measured (%)", ylabel="reported by the source (%)")
        axes.set_aspect("equal")
        _percent_ticks(axes)
    enlarged.set_title("its outlined part enlarged", fontsize=10)
    whole.set_title("all; bars: standard deviation over the folds", fontsize=10)
    whole.add_patch(Rectangle((part[0], part[0]), part[1] - part[0], part[1] - part[0], fill=False, ec="0.4", lw=0.8))
    # The line last: searches are read more often.
    handles = [*whole.containers, whole.lines[-1]]
    heading = "search, its rank correlation"
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, title=heading)
    return figure


def heat_map(scores: pd.DataFrame, grid: Sequence[Sequence[int]], *, title: str) -> Figure:
    """Cross-validated accuracies over a grid of units, the best outlined; beside or below it the source's, if any.

    Rows are the units of the first half of the layers, columns those of the rest. `scores` has a row for every
    combination in `grid`, with the columns `units` (as `512-128`), `mean_accuracy`, `std_accuracy` and
    `reported_cv_accuracy` (fractions, the last one may be empty).
    """
    split = max(1, len(grid) // 2)
    rows, columns = ([units_text(units) for units in itertools.product(*half)] for half in (grid[:split], grid[split:]))
    panels = {"measured ± standard deviation": "mean_accuracy"}
    if scores["reported_cv_accuracy"].notna().any():
        panels["reported by the source"] = "reported_cv_accuracy"
    is_beside = len(columns) <= NUM_COLUMNS_BESIDE
    shape = (1, len(panels)) if is_beside else (len(panels), 1)
    height = (1 + 0.5 * len(rows)) * shape[0] + 0.6
    figure, all_axes = style.panels(height, *shape, title=title, squeeze=False)
    shown = scores[list(panels.values())].to_numpy(dtype=float)
    errors = 100 * (1 - shown[np.isfinite(shown)])
    lowest = max(float(errors.min()), 0.01)
    # Logarithmic, because the best accuracies differ by tenths of a point and the worst by tens.
    norm = LogNorm(lowest, max(float(errors.max()), 1.05 * lowest))
    for axes, (name, column) in zip(all_axes.flat, panels.items(), strict=True):
        image = _draw_grid(axes, scores, column, rows, columns, norm)
        axes.set_title(name, fontsize=10)
        axes.set(xlabel=f"units of {_layers(split, len(grid))}", ylabel=f"units of {_layers(0, split)}")
    scale = figure.colorbar(image, ax=all_axes, label="error: what lacks to 100 % accuracy", shrink=0.9)
    scale.ax.yaxis.set_minor_locator(NullLocator())
    ticks = np.geomspace(*image.get_clim(), NUM_TICKS).tolist()
    scale.set_ticks(ticks, labels=[f"{tick:.3g} %" for tick in ticks])
    return figure


def _draw_grid(
    axes: Axes, scores: pd.DataFrame, column: str, rows: Sequence[str], columns: Sequence[str], norm: LogNorm
) -> AxesImage:
    units = ["-".join(filter(None, pair)) for pair in itertools.product(rows, columns)]
    accuracies, deviations = (
        scores.set_index("units")[name].astype(float).reindex(units).to_numpy().reshape(len(rows), len(columns))
        for name in (column, "std_accuracy")
    )
    image = axes.imshow(100 * (1 - accuracies), cmap="viridis_r", norm=norm, aspect="auto")
    for row, place in np.ndindex(accuracies.shape):
        accuracy = float(accuracies[row, place])
        if np.isfinite(accuracy):
            text = f"{100 * accuracy:.2f}"
            if column == "mean_accuracy" and np.isfinite(deviations[row, place]):
                text += f"\n±{100 * deviations[row, place]:.2f}"
            is_dark = norm(100 * (1 - accuracy)) > 0.5
            axes.text(place, row, text, ha="center", va="center", fontsize=8, color="white" if is_dark else "black")
    if np.isfinite(accuracies).any():
        row, place = np.unravel_index(np.nanargmax(accuracies), accuracies.shape)
        axes.add_patch(Rectangle((place - 0.5, row - 0.5), 1, 1, fill=False, ec=style.VERMILION, lw=3, clip_on=False))
    axes.set_xticks(range(len(columns)), columns, fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.tick_params(length=0)
    return image


def _measured_only(scores: pd.DataFrame, *, title: str) -> Figure:
    """Every configuration with the spread of its folds, in the order of the table."""
    title = f"{title}\nno source reports figures on this data"
    figure, axes = style.panels(5, title=title)
    start = 0
    for (name, table), marks in zip(scores.groupby("search", sort=False), _styles(), strict=False):
        places, deviations = np.arange(start, start + len(table)), table["std_accuracy"]
        axes.errorbar(places, table["mean_accuracy"], yerr=deviations, capsize=2, label=str(name), **marks)
        start += len(table)
    axes.set(ylabel="measured (%)", xlabel="units")
    if len(scores) <= NUM_LABELLED:
        axes.set_xticks(range(len(scores)), scores["units"], rotation=60, ha="right", rotation_mode="anchor")
    else:
        axes.set(xlabel="configuration")
    style.in_percent(axes.yaxis)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, title="search; bars: standard deviation of folds")
    return figure


def _styles() -> Iterator[dict[str, Any]]:
    """49 pairs of colour and marker, of which neighbours differ in both, again and again."""
    for shift in itertools.cycle(range(len(MARKERS))):
        for place, colour in enumerate(style.COLOURS):
            yield {"color": colour, "marker": MARKERS[(place + shift) % len(MARKERS)], "mfc": "none", "ls": "none"}


def _correlation(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2f}"


def _limits(values: np.ndarray) -> tuple[float, float]:
    margin = 0.04 * max(float(values.max() - values.min()), 0.01)
    return float(values.min()) - margin, float(values.max()) + margin


def _percent_ticks(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        # Of one range, so the same on both axes.
        axis.set_major_locator(MaxNLocator(7, steps=(1, 2.5, 5, 10)))
        style.in_percent(axis)
    axes.grid(alpha=0.3)


def _layers(first: int, end: int) -> str:
    numbers = [str(number) for number in range(first + 1, end + 1)]
    if len(numbers) < 2:
        return f"layer {''.join(numbers)}".strip()
    return f"layers {', '.join(numbers[:-1])} and {numbers[-1]}"
