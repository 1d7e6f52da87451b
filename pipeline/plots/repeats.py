"""Plots of how much the accuracies of a variant change with the seed of its training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.plots import style

if TYPE_CHECKING:
    import pandas as pd

PANELS = (("val_accuracy", "validation accuracy (%)"), ("test_accuracy", "test accuracy (%)"))


def accuracy_over_seeds(seeds: pd.DataFrame, summary: pd.DataFrame, *, title: str) -> Figure:
    """A row per variant: the accuracy of each seed, and their mean with its interval; equal lengths mean equal spreads.

    `seeds` has a row per variant and seed, `summary` the columns of pipeline.evaluation.seeds.
    """
    figure = Figure(figsize=(10, 1.6 + 1.1 * len(summary)), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(summary), len(PANELS), squeeze=False)
    for column, (name, label) in enumerate(PANELS):
        half = _half_width(seeds, summary, name)
        for axes, row in zip(grid[:, column], summary.to_dict("records"), strict=True):
            values = 100 * seeds.loc[seeds["variant"] == row["variant"], name]
            _draw(axes, list(values), {key: 100 * row[f"{name}_{key}"] for key in ("mean", "low", "high")}, half)
            if column == 0:
                axes.set_ylabel(row["variant"], rotation=0, ha="right", va="center")
        grid[-1, column].set_xlabel(label)
    handles = grid[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _half_width(seeds: pd.DataFrame, summary: pd.DataFrame, name: str) -> float:
    """Half the range of every panel, in points: what the most spread-out variant needs."""
    means = summary.set_index("variant")[f"{name}_mean"]
    farthest = (seeds[name] - seeds["variant"].map(means)).abs().max()
    widest = (summary[f"{name}_high"] - summary[f"{name}_mean"]).max()
    return 110 * max(float(farthest), float(widest), 1e-4)


def _draw(axes: Axes, values: list[float], summary: dict[str, float], half: float) -> None:
    axes.plot(values, [0] * len(values), "o", color=style.SKY_BLUE, alpha=0.8, label="one seed")
    error = ([summary["mean"] - summary["low"]], [summary["high"] - summary["mean"]])
    axes.errorbar(
        [summary["mean"]],
        [0.4],
        xerr=error,
        fmt="D",
        color=style.VERMILION,
        capsize=4,
        label="mean, with its 95 % t interval",
    )
    axes.set(xlim=(summary["mean"] - half, summary["mean"] + half), ylim=(-0.5, 0.9), yticks=[])
    axes.grid(axis="x", alpha=0.3)
