"""The training curves of one model."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from pipeline.plots import style


def training_curves(history: pd.DataFrame, *, title: str, active: Sequence[str] = ()) -> Figure:
    """Cross-entropy and accuracy against the epoch, training and validation, side by side.

    `active` names what changes images or activations in training only, such as dropout, so that validation may look
    better. Where penalties make the training objective larger than the cross-entropy, it is drawn too, dashed.
    """
    figure, (loss, accuracy) = style.panels(4, 1, 2, title=title)
    label = f"training ({' and '.join(active)} active)" if active else "training"
    style.draw_history(loss, history, "cross_entropy", training=label)
    style.draw_history(accuracy, history, "accuracy", training=label)
    loss.set(xlabel="epoch", ylabel="cross-entropy (nats)")
    accuracy.set(xlabel="epoch", ylabel="accuracy (%)")
    if (history["loss"] - history["cross_entropy"]).abs().max() > 1e-6:
        for column, name, colour in (("loss", "training", style.BLUE), ("val_loss", "validation", style.VERMILION)):
            loss.plot(history["epoch"], history[column], color=colour, ls="--", label=f"{name}, with penalties")
    loss.legend()
    accuracy.legend()
    return figure
