"""The training curves of one model."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.plots import style

# What the curves of a classifier and of a regressor show: columns of the history and their labels.
REGRESSOR = {"mean_absolute_error": "mean absolute error"}
CLASSIFIER = {"cross_entropy": "cross-entropy (nats)", "accuracy": "accuracy (%)"}


def training_curves(
    history: pd.DataFrame,
    *,
    title: str,
    measures: Mapping[str, str] = CLASSIFIER,
    levels: Mapping[str, float] | None = None,
    active: Sequence[str] = (),
) -> Figure:
    """Measures against the epoch, training and validation, one below the other, with the best epoch marked.

    `measures` maps columns of `history` to labels; the last one tells the best epoch: the highest accuracy, or the
    lowest error. `levels` are values of the first one to compare with, by their names. `active` names what changes
    images or activations in training only, such as dropout, so that validation may look better. Where penalties make
    the training objective larger than the first measure, it has a panel of its own.
    """
    first, watched = next(iter(measures)), list(measures)[-1]
    shown = dict(measures)
    if (history["loss"] - history[first]).abs().max() > 1e-6:
        shown["loss"] = "loss with penalties"
    figure, grid = style.panels(1.8 + 2 * len(shown), len(shown), title=title, sharex=True, squeeze=False)
    best = int(history[f"val_{watched}"].argmax() if watched == "accuracy" else history[f"val_{watched}"].argmin())
    label = f"best epoch by validation: {history['epoch'][best]} of {len(history)}"
    panels = grid[:, 0]
    for axes, (column, name) in zip(panels, shown.items(), strict=True):
        training = f"training ({' and '.join(active)} active)" if active else "training"
        style.draw_history(axes, history, column, training=training)
        axes.axvline(history["epoch"][best], color=style.BLACK, ls=":", label=label)
        axes.set_ylabel(name)
        if column not in CLASSIFIER:
            style.logarithmic(axes)
        _mark_learning_rates(axes, history, with_text=column == watched)
    for name, level in (levels or {}).items():
        panels[0].axhline(level, color="0.4", ls="--", lw=1)
        panels[0].text(history["epoch"].iloc[0], level, f"{name}: {level:g}", va="bottom", fontsize=8)
    panels[-1].set_xlabel("epoch")
    handles = panels[0].get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def _mark_learning_rates(axes: Axes, history: pd.DataFrame, *, with_text: bool) -> None:
    """A line at the first epoch under each new learning rate."""
    is_new = history["learning_rate"].diff().fillna(0) != 0
    for place, (epoch, rate) in enumerate(history.loc[is_new, ["epoch", "learning_rate"]].to_numpy()):
        axes.axvline(epoch, color=style.PURPLE, ls="-.", lw=1, label="_" if place else "new learning rate")
        if with_text:
            axes.text(epoch, 0.03, f"{rate:.1g} ", transform=axes.get_xaxis_transform(), ha="right", fontsize=8)
