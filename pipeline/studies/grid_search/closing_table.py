"""The closing table of a study of grid searches: what each refit is worth, and whether it overfits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.config.models import Search, units_text
from pipeline.evaluation.reported import Figures, ReportedRows
from pipeline.studies.grid_search.data import Evidence, Refit, technique_of

# Of the error on test images, what is left on training images: below the first a network overfits, below the second
# severely. Both with dropout off; with it on, as the source took it, the training error says how strong dropout is.
OVERFITS_BELOW, SEVERELY_BELOW = 0.5, 0.1
OVERFITS_SEVERELY, OVERFITS, FITS_ALIKE = "overfits severely", "overfits", "fits both alike"
VERDICT_RULE = (
    f"By train error / test error, both with dropout off: below {SEVERELY_BELOW} {OVERFITS_SEVERELY!r}, below "
    f"{OVERFITS_BELOW} {OVERFITS!r}, otherwise {FITS_ALIKE!r}; also {FITS_ALIKE!r} where the training accuracy is not "
    "above the 95 % interval of the test accuracy."
)


@dataclass(frozen=True)
class Row:
    """What a row of the closing table is made of: the source's figures are those of the refit and of its search."""

    evidence: Evidence
    refit: Refit
    reported: Figures
    reported_search: Figures

    @property
    def search(self) -> Search:
        """The search whose choice was trained once more."""
        return self.evidence.searches[self.refit.search]


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


COLUMNS: Mapping[str, Callable[[Row], Any]] = {
    "layers": lambda row: len(row.search.grid),
    "technique": lambda row: technique_of(row.search),
    "refit": lambda row: row.refit.name,
    "units": lambda row: row.refit.units,
    "epochs": lambda row: row.refit.trained.epochs,
    "params": lambda row: row.refit.trained.parameters.total,
    "best_cv_accuracy": lambda row: row.evidence.score(row.refit.search, "mean_accuracy"),
    "val_accuracy": lambda row: row.refit.trained.validation.last.accuracy,
    "test_accuracy": lambda row: row.refit.tested.accuracy,
    "test_accuracy_low": lambda row: row.refit.tested.accuracy_low,
    "test_accuracy_high": lambda row: row.refit.tested.accuracy_high,
    "train_accuracy": lambda row: row.refit.trained.train_evaluated.accuracy,
    "train_error_dropout_active": lambda row: row.refit.trained.train.last.loss,
    "train_error": lambda row: row.refit.trained.train_evaluated.loss,
    "test_error": lambda row: row.refit.tested.loss,
    "verdict": lambda row: verdict(row.refit),
    "reported_units": lambda row: units_text(row.reported_search.best_units or ()) or None,
    "reported_test_accuracy": lambda row: row.reported.refit_test_accuracy,
    "reported_closing_table_accuracy": lambda row: row.reported.closing_table_accuracy,
    "reported_train_error_dropout_active": lambda row: row.reported.refit_final_train_loss,
    "reported_test_error": lambda row: row.reported.refit_test_loss,
    "reported_verdict": lambda row: row.reported.verdict,
}


def closing_table(study: str, evidence: Evidence, reported: ReportedRows) -> pd.DataFrame:
    """A row per refit in the order of params/derived.yaml, with the columns COLUMNS.

    Accuracies are fractions, errors cross-entropies in nats.
    """
    rows = [
        Row(evidence, refit, reported[study, name].figures, reported[study, refit.search].figures)
        for name, refit in evidence.refits.items()
    ]
    return pd.DataFrame([[cell(row) for cell in COLUMNS.values()] for row in rows], columns=list(COLUMNS))
