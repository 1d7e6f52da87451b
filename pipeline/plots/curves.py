"""The training curves of one model."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from pipeline.plots import style

# On a logarithmic scale, in each power of ten.
TICKS = (1, 1.5, 2, 3, 4, 5, 7)


def training_curves(history: pd.DataFrame, *, title: str, active: Sequence[str] = ()) -> Figure:
    """Cross-entropy and accuracy against the epoch, training and validation, side by side.

    `active` names what changes images or activations in training only, such as dropout, so that validation may look
    better. Where penalties make the training objective larger than the cross-entropy, it is drawn too, dashed.
    """
    figure, (loss, accuracy) = style.panels(10, 4, 1, 2, title=title)
    label = f"training ({' and '.join(active)} active)" if active else "training"
    style.draw_history(loss, history, "cross_entropy", training=label)
    style.draw_history(accuracy, history, "accuracy", training=label)
    loss.set(xlabel="epoch", ylabel="cross-entropy (nats)")
    accuracy.set(xlabel="epoch", ylabel="accuracy")
    _draw_penalized(loss, history, "cross_entropy")
    loss.legend()
    accuracy.legend()
    return figure


def regressor_curves(history: pd.DataFrame, *, title: str) -> Figure:
    """Mean absolute error against the epoch, training (its mean over the epoch) and validation, on a logarithmic scale.

    Where penalties make the training objective larger than the error, it is drawn too, dashed.
    """
    figure, axes = style.panels(8, 4.5)
    style.draw_history(axes, history, "mean_absolute_error")
    _draw_penalized(axes, history, "mean_absolute_error")
    axes.set(xlabel="epoch", ylabel="mean absolute error of the parameters", yscale="log", title=title)
    axes.yaxis.set_major_locator(LogLocator(subs=TICKS))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.legend()
    return figure


def _draw_penalized(axes: Axes, history: pd.DataFrame, column: str) -> None:
    """The objective with penalties, if it is larger than the loss of that column."""
    if (history["loss"] - history[column]).abs().max() > 1e-6:
        names = {"training": ("loss", style.TRAINING_COLOUR), "validation": ("val_loss", style.VALIDATION_COLOUR)}
        for name, (penalized, colour) in names.items():
            axes.plot(history["epoch"], history[penalized], color=colour, ls="--", label=f"{name}, with penalties")
