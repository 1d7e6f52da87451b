"""Plots of the weights of dense layers."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.plots import style

NUM_COLUMNS = 4
INITIAL = "two standard deviations of the initial weights, both ways"


def violins(kernels: Mapping[str, NDArray[Any]], initial_std: Mapping[str, float], *, title: str) -> Figure:
    """A violin of all weights of each layer's kernel (inputs, outputs), with quartiles, on a scale of its own.

    `initial_std` holds the standard deviation that a layer's kernel started with, where it is known; twice that is
    dashed, to show what training has changed.
    """
    import seaborn as sns

    columns = min(len(kernels), NUM_COLUMNS)
    rows = math.ceil(len(kernels) / columns)
    figure, grid = style.panels(0.8 + 3 * rows, rows, columns, title=title, squeeze=False)
    for axes in grid.flat[len(kernels) :]:
        axes.set_axis_off()
    lines = []
    for axes, (name, kernel) in zip(grid.flat, kernels.items(), strict=False):
        sns.violinplot(y=kernel.ravel(), ax=axes, color=style.SKY_BLUE, inner="quart", cut=0, linewidth=1)
        axes.set_title(f"{name}\n{' × '.join(map(str, kernel.shape))}", fontsize=10)
        axes.set(xlabel="", ylabel="")
        if name in initial_std:
            for value in (-2 * initial_std[name], 2 * initial_std[name]):
                lines.append(axes.axhline(value, color=style.VERMILION, ls="--", lw=1.2, label=INITIAL))
        axes.tick_params(axis="x", length=0, labelbottom=False)
        axes.grid(axis="y", alpha=0.3)
    for axes in grid[:, 0]:
        axes.set_ylabel("weight")
    if lines:
        figure.legend(handles=lines[-1:], loc="outside lower center", frameon=False)
    return figure
