"""Plots of a dataset: an example of each class, the class counts, one example down to its pixels."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from pipeline.plots import style

COLUMNS = 5
# One per split, distinguishable in grey and by the colour-blind.
BAR_COLORS = ("#1b4f72", "#e08214", "#9dc3e6")


def examples(images: np.ndarray, names: Sequence[str]) -> Figure:
    """One image per class, shape (n, height, width), each under its class's name."""
    columns = min(len(images), COLUMNS)
    rows = math.ceil(len(images) / columns)
    figure, grid = style.panels(1.65 * rows, rows, columns, width=1.4 * columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, name in zip(grid.flat, images, names, strict=False):
        _show(axes, image)
        axes.set_title(name)
    return figure


def class_counts(counts: Mapping[str, np.ndarray], names: Sequence[str]) -> Figure:
    """Number of examples of each class, a group of bars per class with a bar per split.

    `counts` maps a split's name to its counts, shape (num_classes,).
    """
    figure, axes = style.panels(0.8 + len(names) * 0.2 * len(counts))
    places = np.arange(len(names))
    thickness = 0.84 / len(counts)
    for index, (split, values) in enumerate(counts.items()):
        shift = (index - (len(counts) - 1) / 2) * thickness
        color = BAR_COLORS[index % len(BAR_COLORS)]
        bars = axes.barh(places + shift, values, thickness, label=f"{split} ({values.sum():,})", color=color)
        axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.margins(x=0.08, y=0.02)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("images")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(counts), frameon=False)
    return figure


def example(image: np.ndarray, *, title: str, caption: str) -> Figure:
    """An image (height, width) of uint8 as a picture, and below it the same with every pixel's value written on it."""
    figure, (picture, pixels) = style.panels(9.8, 2, height_ratios=(2, 7))
    _show(picture, image)
    picture.set_title(title, fontsize=11)
    picture.set_xlabel(caption)
    _show(pixels, image)
    pixels.set_title("raw pixels: 0 is black, 255 is white", fontsize=11)
    for (row, column), value in np.ndenumerate(image):
        color = "black" if value > 127 else "white" if value else "#707070"
        pixels.text(column, row, str(value), ha="center", va="center", fontsize=6.5, color=color)
    return figure


def _show(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
