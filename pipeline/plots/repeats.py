"""Plots of how much the accuracies of a variant change with the seed of its training."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.plots import style

PANELS = (("val_accuracy", "validation accuracy (%)"), ("test_accuracy", "test accuracy (%)"))
# A variant whose mean is further below the best mean, as a fraction, is told in words: the others would all be one dot.
SHOWN_SPAN = 0.12


def accuracy_over_seeds(
    seeds: pd.DataFrame, summary: pd.DataFrame, *, reported: Mapping[str, float], title: str
) -> Figure:
    """A row per variant: the accuracy of each seed, their mean with its interval, and the reported test accuracy.

    `seeds` has a row per variant and seed, `summary` the columns of pipeline.evaluation.seeds; `reported` has fractions
    by variant. All rows of a panel have one scale.
    """
    figure, panels = style.panels(1.5 + 0.36 * len(summary), 1, len(PANELS), title=title, sharey=True)
    for axes, (name, label) in zip(panels, PANELS, strict=True):
        lowest = summary[f"{name}_mean"].max() - SHOWN_SPAN
        for place, row in enumerate(summary.to_dict("records")):
            if row[f"{name}_mean"] < lowest:
                text = f"\N{BLACK LEFT-POINTING SMALL TRIANGLE} {style.percent(row[f'{name}_mean'])}"
                axes.text(0.01, place, text, va="center", fontsize=8, transform=axes.get_yaxis_transform())
                continue
            values = seeds.loc[seeds["variant"] == row["variant"], name]
            _draw_row(axes, place, 100 * values, *(100 * row[f"{name}_{key}"] for key in ("mean", "low", "high")))
            if name == "test_accuracy" and row["variant"] in reported:
                axes.plot(100 * reported[row["variant"]], place, "|", color=style.BLACK, ms=16, mew=2, label="reported")
        axes.set_xlabel(label)
        axes.margins(x=0.06)
        axes.grid(axis="x", alpha=0.3)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(np.arange(len(summary)), list(summary["variant"]), fontsize=8)
    # Once: the panels share the axis.
    panels[0].set_ylim(len(summary) - 0.4, -0.6)
    found = dict(zip(*reversed(panels[-1].get_legend_handles_labels()), strict=True))
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _draw_row(axes: Axes, place: int, values: pd.Series, mean: float, low: float, high: float) -> None:
    axes.plot(values, [place + 0.14] * len(values), "o", color=style.SKY_BLUE, alpha=0.8, ms=5, label="one seed")
    axes.errorbar(
        [mean],
        [place - 0.14],
        xerr=([mean - low], [high - mean]),
        fmt="D",
        ms=5,
        color=style.VERMILION,
        capsize=3,
        label="mean, with its 95 % t interval",
    )
