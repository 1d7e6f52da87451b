"""Colours and drawing that several plots share."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

# The palette of Okabe and Ito, which colour-blind people can tell apart, without its yellow, too pale on white.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY_BLUE, ORANGE, BLACK = "#56B4E9", "#E69F00", "#000000"
# In the order in which series take them.
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, SKY_BLUE, ORANGE, BLACK)
# And seven more, each as far as can be from all before it, with normal sight, protanopia and deuteranopia alike.
VARIANT_COLOURS = (*COLOURS, "#0000FF", "#0F0F96", "#5A2D00", "#6969FF", "#69005A", "#5AC369", "#5A3C3C")
LINE_STYLES = ("-", "--", "-.")
# Of what a study is set beside.
GREY = "#8A8A8A"
TRAINING_COLOUR, VALIDATION_COLOUR = BLUE, VERMILION
# A point with its interval.
POINT: dict[str, Any] = {"fmt": "o", "color": BLUE, "markersize": 5, "capsize": 3}
# In inches, of every figure: its words are legible on a page and on a telephone.
WIDTH = 7.0


def variant_colour(place: int) -> str:
    """The colour of a variant in every picture, by its place in its study's list."""
    return VARIANT_COLOURS[place % len(VARIANT_COLOURS)]


def variant_line(place: int) -> dict[str, Any]:
    """Colour and line style of a variant: both differ from its neighbours', and 42 variants all look different."""
    return {"color": variant_colour(place), "ls": LINE_STYLES[place % len(LINE_STYLES)]}


def empty(height: float, title: str, *, width: float = WIDTH) -> Figure:
    """A figure of this size in inches under its title.

    It is drawn, and later written, by Matplotlib's own defaults, whatever a matplotlibrc of the user's says.
    """
    matplotlib.rcdefaults()
    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def panels(
    height: float, num_rows: int = 1, num_columns: int = 1, *, title: str = "", width: float = WIDTH, **options: Any
) -> tuple[Figure, Any]:
    """A figure as `empty` makes it, and its panels as `Figure.subplots` gives them."""
    figure = empty(height, title, width=width)
    return figure, figure.subplots(num_rows, num_columns, **options)


def draw_history(axes: Axes, history: pd.DataFrame, column: str, *, training: str = "training", **line: Any) -> None:
    """A column of a history and that of validation against the epoch; `training` is the label of the former."""
    axes.plot(history["epoch"], history[column], color=TRAINING_COLOUR, label=training, **line)
    axes.plot(history["epoch"], history[f"val_{column}"], color=VALIDATION_COLOUR, label="validation", **line)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    if column == "accuracy":
        in_percent(axes.yaxis)


def in_percent(axis: Axis) -> None:
    """Label fractions as 97.5, or 98."""
    axis.set_major_formatter(lambda value, _: f"{100 * value:.5g}")


def logarithmic(axes: Axes) -> None:
    """A logarithmic y axis with round numbers, few enough to read."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 20 * low else (1, 1.5, 2, 3, 4, 5, 7)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def draw_accuracies(
    axes: Axes, table: pd.DataFrame, column: str, places: Sequence[Any] | Any, *, label: str
) -> Container:
    """Accuracies in percent with their intervals, from a column and those that end in `_low` and `_high`."""
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.3)
    accuracy, low, high = (100 * table[f"{column}{end}"] for end in ("", "_low", "_high"))
    return axes.errorbar(accuracy, places, xerr=(accuracy - low, high - accuracy), label=label, **POINT)


def percent(fraction: float) -> str:
    """0.97624 as `97.62 %`."""
    return f"{100 * fraction:.2f} %"
