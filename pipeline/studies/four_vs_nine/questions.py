"""Whether the baseline visibly overfits, and how far training and validation of each variant lie apart."""

from collections.abc import Mapping
from typing import Any

from pipeline.studies.four_vs_nine.metrics import VariantResults

# A validation cross-entropy that ends this much above its lowest value, as a share of it, has visibly risen.
VISIBLE_RISE = 0.05


def overfitting(variants: Mapping[str, VariantResults], baseline: str) -> dict[str, Any]:
    """Where validation cross-entropy turned and how far training and validation lie apart; the baseline's verdict.

    Cross-entropies are without penalties. `train_accuracy` and the gap, in points, are of the final weights on all
    training images as they are, with dropout off; `first_epoch_fit` is the first epoch whose training accuracy, a
    running mean with dropout and augmentation active, is 1.
    """
    found = {name: _overfitting_of(item) for name, item in variants.items()}
    of_baseline = found[baseline]
    lowest = of_baseline["lowest_val_cross_entropy"]
    visibly_overfits = False
    if of_baseline["rise"] <= VISIBLE_RISE * lowest:
        verdict = "It does not visibly overfit: its validation cross-entropy hardly rises."
    elif of_baseline["train_accuracy"] < 1 or of_baseline["gap_points"] <= 0:
        verdict = "It does not visibly overfit: it does not fit the training images better."
    else:
        visibly_overfits, verdict = True, "It visibly overfits."
    verdict += (
        f" Its validation cross-entropy is lowest in epoch {of_baseline['lowest_val_cross_entropy_epoch']} of "
        f"{of_baseline['epochs']} ({lowest:.4f}) and ends at {of_baseline['last_val_cross_entropy']:.4f}; "
        f"it classifies {100 * of_baseline['train_accuracy']:.2f} % of the training and "
        f"{100 * of_baseline['val_accuracy']:.2f} % of the validation images correctly."
    )
    return {"baseline": baseline, "visibly_overfits": visibly_overfits, "verdict": verdict, "variants": found}


def _overfitting_of(item: VariantResults) -> dict[str, Any]:
    history = item.history
    lowest, last = history.iloc[int(history["val_cross_entropy"].argmin())], history.iloc[-1]
    fit = history["epoch"][history["accuracy"] >= 1]
    train_accuracy = item.metrics.train_evaluated.accuracy
    return {
        "epochs": len(history),
        "lowest_val_cross_entropy_epoch": int(lowest["epoch"]),
        "lowest_val_cross_entropy": float(lowest["val_cross_entropy"]),
        "last_val_cross_entropy": float(last["val_cross_entropy"]),
        "rise": float(last["val_cross_entropy"] - lowest["val_cross_entropy"]),
        "last_train_cross_entropy": item.metrics.train_evaluated.cross_entropy,
        "train_accuracy": train_accuracy,
        "val_accuracy": float(last["val_accuracy"]),
        "gap_points": 100 * (train_accuracy - float(last["val_accuracy"])),
        "first_epoch_fit": int(fit.iloc[0]) if len(fit) else None,
    }
