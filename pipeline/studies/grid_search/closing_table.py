"""The closing table of a study of grid searches: what each refit is worth, and whether it overfits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline.studies.grid_search.data import Evidence, Refit, technique_of
from pipeline.studies.grid_search.reported import ReportedRefit

# Of the error on test images, what is left on training images: below the first a network overfits, below the second
# severely. Both with dropout off; with it on, as the source took it, the training error says how strong dropout is.
OVERFITS_BELOW, SEVERELY_BELOW = 0.5, 0.1
OVERFITS_SEVERELY, OVERFITS, FITS_ALIKE = "overfits severely", "overfits", "fits both alike"
VERDICT_RULE = (
    f"By train error / test error, both with dropout off: below {SEVERELY_BELOW} {OVERFITS_SEVERELY!r}, below "
    f"{OVERFITS_BELOW} {OVERFITS!r}, otherwise {FITS_ALIKE!r}; also {FITS_ALIKE!r} where the training accuracy is not "
    "above the 95 % interval of the test accuracy."
)
COLUMNS = (
    "layers",
    "technique",
    "refit",
    "units",
    "epochs",
    "params",
    "best_cv_accuracy",
    "val_accuracy",
    "test_accuracy",
    "test_accuracy_low",
    "test_accuracy_high",
    "train_accuracy",
    "train_error_dropout_active",
    "train_error",
    "test_error",
    "verdict",
    "reported_units",
    "reported_test_accuracy",
    "reported_closing_table_accuracy",
    "reported_train_error_dropout_active",
    "reported_test_error",
    "reported_verdict",
)


def closing_table(
    evidence: Evidence, *, reported: Mapping[str, ReportedRefit], reported_units: Mapping[str, str]
) -> pd.DataFrame:
    """A row per refit in the order of params/derived.yaml, with the columns COLUMNS.

    Accuracies are fractions, errors cross-entropies in nats. `reported` is by refit, `reported_units` by search.
    """
    rows = [
        _row(evidence, refit, reported.get(name, ReportedRefit()), reported_units.get(refit.search))
        for name, refit in evidence.refits.items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def verdict(refit: Refit) -> str:
    """Whether a network overfits, by VERDICT_RULE."""
    if refit.trained.train_evaluated.accuracy <= refit.tested.accuracy_high:
        return FITS_ALIKE
    share = left_of_test_error(refit)
    if share < SEVERELY_BELOW:
        return OVERFITS_SEVERELY
    return OVERFITS if share < OVERFITS_BELOW else FITS_ALIKE


def left_of_test_error(refit: Refit) -> float:
    """The training error as a share of the test error, both with dropout off."""
    # A test error of 0 leaves nothing to overfit.
    return refit.trained.train_evaluated.loss / refit.tested.loss if refit.tested.loss else 1.0


def _row(evidence: Evidence, refit: Refit, reported: ReportedRefit, reported_units: str | None) -> dict[str, Any]:
    search, trained, tested = evidence.searches[refit.search], refit.trained, refit.tested
    return {
        "layers": len(search.grid),
        "technique": technique_of(search),
        "refit": refit.name,
        "units": refit.units,
        "epochs": trained.epochs,
        "params": trained.parameters.total,
        "best_cv_accuracy": evidence.score(refit.search, refit.units, "mean_accuracy"),
        "val_accuracy": trained.validation.last.accuracy,
        "test_accuracy": tested.accuracy,
        "test_accuracy_low": tested.accuracy_low,
        "test_accuracy_high": tested.accuracy_high,
        "train_accuracy": trained.train_evaluated.accuracy,
        "train_error_dropout_active": trained.train.last.loss,
        "train_error": trained.train_evaluated.loss,
        "test_error": tested.loss,
        "verdict": verdict(refit),
        "reported_units": reported_units,
        "reported_test_accuracy": reported.test_accuracy,
        "reported_closing_table_accuracy": reported.closing_table_accuracy,
        "reported_train_error_dropout_active": reported.final_train_loss,
        "reported_test_error": reported.test_loss,
        "reported_verdict": reported.verdict,
    }
