"""Plots of waves a sin(b x) + c cos(d x), and of what a network predicts from them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.plots import style

TRUE_COLOUR, IMPLIED_COLOUR, REFERENCE_COLOUR = style.BLUE, style.VERMILION, style.BLACK
# Of the rows whose errors are drawn, those between these percentiles lie in the shaded band.
BAND = (10, 90)
# More would run together into a line.
NUM_MARKS = 100
# The source's scale, for all panels: what is small looks small.
LIMIT = 2.1
# In inches.
PANEL_HEIGHT = 1.5
MINUS = "\N{MINUS SIGN}"

Wave = Sequence[float]


def formula(wave: Wave) -> str:
    """A wave (a, b, c, d) as text."""
    a, b, c, d = (f"{value:.3g}".replace("-", MINUS) for value in wave)
    sign = MINUS if c.startswith(MINUS) else "+"
    return f"{a} sin({b} x) {sign} {c.removeprefix(MINUS)} cos({d} x)"


def examples(x: NDArray[Any], curves: NDArray[Any], parameters: NDArray[Any]) -> Figure:
    """Curves (n, num_points) at x (num_points,) in radians, one below the other, each under its formula.

    `parameters` are (n, 4).
    """
    figure, grid = _grid(len(curves), num_columns=1)
    for axes, curve, wave in zip(grid, curves, parameters, strict=True):
        axes.plot(x / np.pi, curve, color=TRUE_COLOUR)
        axes.set_title(formula(wave), fontsize=9)
    return figure


def example(
    x: NDArray[Any], points: NDArray[Any], *, fine_x: NDArray[Any], formula_curve: NDArray[Any], wave: Wave
) -> Figure:
    """The points (num_points,) of a row at x, and the curve of its formula at `fine_x`, all x in radians.

    Of many points some are drawn, evenly spread.
    """
    step = max(1, len(x) // NUM_MARKS)
    figure, axes = style.panels(4)
    label = f"points of the row, {len(x[::step]):,} of {len(x):,}"
    axes.plot(x[::step] / np.pi, points[::step], ls="none", marker="o", mfc="none", color=TRUE_COLOUR, label=label)
    axes.plot(fine_x / np.pi, formula_curve, color=IMPLIED_COLOUR, label=formula(wave))
    axes.set(xlabel="x / π", ylabel="value", title="a generated row, and its formula over it")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def true_and_implied(
    x: NDArray[Any],
    curves: tuple[NDArray[Any], NDArray[Any]],
    parameters: tuple[NDArray[Any], NDArray[Any]],
    *,
    title: str,
    num_columns: int,
) -> Figure:
    """One panel per row: the true curve, and the curve that the predicted parameters imply.

    `curves` are both (n, num_points), `parameters` both (n, 4), the true ones first; x is (num_points,) in radians.
    """
    figure, grid = _grid(len(curves[0]), num_columns=num_columns, title=title)
    for axes, true, implied, wave, predicted in zip(grid, *curves, *parameters, strict=True):
        axes.plot(x / np.pi, true, color=TRUE_COLOUR, label="true")
        axes.plot(x / np.pi, implied, color=IMPLIED_COLOUR, ls="--", label="implied by the prediction")
        axes.set_title(f"true: {formula(wave)}\npredicted: {formula(predicted)}", fontsize=8)
    figure.legend(handles=grid[0].lines, loc="outside lower center", ncols=2, frameon=False)
    return figure


def curve_error(
    x: NDArray[Any], errors: Mapping[str, NDArray[Any]], always_mean: Mapping[str, NDArray[Any]], *, title: str
) -> Figure:
    """The error of implied curves against x (num_points,) in radians, one panel for each set of rows.

    `errors` are (n, num_points) for each set, `always_mean` those of always predicting the mean parameters.
    """
    figure, grid = style.panels(1 + 2.8 * len(errors), len(errors), title=title, sharex=True, squeeze=False)
    for axes, (name, of_rows) in zip(grid.flat, errors.items(), strict=True):
        low, high = np.percentile(of_rows, BAND, axis=0)
        axes.fill_between(x / np.pi, low, high, color=IMPLIED_COLOUR, alpha=0.2, lw=0, label="8 of 10 rows")
        axes.plot(x / np.pi, of_rows.mean(axis=0), color=IMPLIED_COLOUR, label="mean")
        label = "mean, if the mean parameters are always predicted"
        axes.plot(x / np.pi, always_mean[name].mean(axis=0), color=REFERENCE_COLOUR, ls=":", label=label)
        axes.set_title(f"{name} ({len(of_rows):,} rows)", fontsize=10)
        axes.set(ylim=(0, None), ylabel="|true curve − implied curve|")
        axes.grid(alpha=0.3)
    axes.set_xlabel("x / π")
    handles = [*axes.lines, *axes.collections]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _grid(num_panels: int, *, num_columns: int, title: str = "") -> tuple[Figure, list[Axes]]:
    """Panels of one scale for curves against x / π, row by row; places left over stay empty."""
    num_rows = -(-num_panels // num_columns)
    figure, grid = style.panels(
        1 + PANEL_HEIGHT * num_rows, num_rows, num_columns, title=title, sharex=True, sharey=True, squeeze=False
    )
    shown = list(grid.flat[:num_panels])
    for axes in grid.flat[num_panels:]:
        axes.set_axis_off()
    for axes in shown:
        axes.grid(alpha=0.3)
    shown[0].set(ylim=(-LIMIT, LIMIT), yticks=range(-2, 3))
    for axes in shown[-num_columns:]:
        # The lowest of its column, which a shared axis labels in the last row only.
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("x / π")
    return figure, shown
