"""The training curves of one model."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

TRAINING_COLOUR, VALIDATION_COLOUR = "#0072b2", "#d55e00"


def training_curves(history: pd.DataFrame, *, title: str, active: Sequence[str] = ()) -> Figure:
    """Cross-entropy and accuracy against the epoch, training and validation, side by side.

    `active` names what changes images or activations in training only, such as dropout, so that validation may look
    better. Where penalties make the training objective larger than the cross-entropy, it is drawn too, dashed.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    loss, accuracy = figure.subplots(1, 2)
    label = f"training ({' and '.join(active)} active)" if active else "training"
    _draw_pair(loss, history, "cross_entropy", "cross-entropy (nats)", label)
    if (history["loss"] - history["cross_entropy"]).abs().max() > 1e-6:
        loss.plot(history["epoch"], history["loss"], color=TRAINING_COLOUR, ls="--", label="training, with penalties")
        loss.plot(
            history["epoch"], history["val_loss"], color=VALIDATION_COLOUR, ls="--", label="validation, with penalties"
        )
    _draw_pair(accuracy, history, "accuracy", "accuracy", label)
    loss.legend()
    accuracy.legend()
    return figure


def _draw_pair(axes: Axes, history: pd.DataFrame, column: str, quantity: str, training: str) -> None:
    axes.plot(history["epoch"], history[column], color=TRAINING_COLOUR, label=training)
    axes.plot(history["epoch"], history[f"val_{column}"], color=VALIDATION_COLOUR, label="validation")
    axes.set(xlabel="epoch", ylabel=quantity)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
