"""Plots of how much the accuracies of a variant change with the seed of its training."""

import pandas as pd
from matplotlib.figure import Figure

from pipeline.plots import style

PANELS = (("val_accuracy", "validation accuracy (%)"), ("test_accuracy", "test accuracy (%)"))


def accuracy_over_seeds(seeds: pd.DataFrame, summary: pd.DataFrame, *, title: str) -> Figure:
    """A row per variant: the accuracy of each seed, and their mean with its interval; equal lengths mean equal spreads.

    `seeds` has a row per variant and seed, `summary` the columns of pipeline.evaluation.seeds.
    """
    height = 1.6 + 1.1 * len(summary)
    figure, grid = style.panels(10, height, len(summary), len(PANELS), title=title, squeeze=False)
    for panels, (name, label) in zip(grid.T, PANELS, strict=True):
        means = summary.set_index("variant")[f"{name}_mean"]
        # Half the range of every panel, in points: what the most spread-out variant needs.
        farthest = (seeds[name] - seeds["variant"].map(means)).abs().max()
        widest = (summary[f"{name}_high"] - summary[f"{name}_mean"]).max()
        half = 110 * max(float(farthest), float(widest), 1e-4)
        for axes, row in zip(panels, summary.to_dict("records"), strict=True):
            values = 100 * seeds.loc[seeds["variant"] == row["variant"], name]
            axes.plot(values, [0] * len(values), "o", color=style.SKY_BLUE, alpha=0.8, label="one seed")
            mean, low, high = (100 * row[f"{name}_{key}"] for key in ("mean", "low", "high"))
            axes.errorbar(
                [mean],
                [0.4],
                xerr=([mean - low], [high - mean]),
                fmt="D",
                color=style.VERMILION,
                capsize=4,
                label="mean, with its 95 % t interval",
            )
            axes.set(xlim=(mean - half, mean + half), ylim=(-0.5, 0.9), yticks=[])
            axes.grid(axis="x", alpha=0.3)
        panels[-1].set_xlabel(label)
    for axes, variant in zip(grid[:, 0], summary["variant"], strict=True):
        axes.set_ylabel(variant, rotation=0, ha="right", va="center")
    handles = grid[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2, frameon=False)
    return figure
