"""The tables that compare the variants of a study: metrics of training, test and source in, data frames out."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.config.models import Classifier
from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.evaluation.reported import ReportedAccuracies, ReportedAccuracy
from pipeline.evaluation.result_files import ClassifierTest, ClassifierTraining

VARIANTS_COLUMNS = (
    "variant",
    "study",
    "dataset",
    "family",
    "params",
    "epochs",
    "best_epoch",
    "val_loss",
    "val_accuracy",
    "test_loss",
    "test_accuracy",
    "test_accuracy_low",
    "test_accuracy_high",
    "reported_test_accuracy",
    "difference",
)
HEADLINE = ("val_accuracy", "test_accuracy")
# Sources print four digits; digits beyond these are rounding errors, which must not decide about a tolerance.
DIFFERENCE_DECIMALS = 6


def study_rows(
    params: Params,
    study: str,
    variants: Mapping[str, Classifier],
    *,
    trained: Mapping[str, ClassifierTraining],
    tested: Mapping[str, ClassifierTest],
    reported: ReportedAccuracies,
) -> list[dict[str, Any]]:
    """A row per variant that a study lists or is compared with, with the columns VARIANTS_COLUMNS.

    `trained` holds each variant's metrics of training, `tested` those of the study's evaluation; further variants in
    them are ignored. All metrics but `best_epoch` are of the last epoch's weights; losses include penalties.
    Raises PipelineError naming a variant that was not evaluated.
    """
    missing = [name for name in variants if name not in tested]
    if missing:
        raise PipelineError(
            f"evaluation of {study}: expected metrics of {', '.join(missing)}, got only {', '.join(tested) or 'none'}. "
            f"Run `dvc repro evaluate@{study}`."
        )
    # A variant of another study is compared with what the source of that study reports.
    listed = params.studies[study].variants
    homes = {name: study if name in listed else variant.study for name, variant in variants.items()}
    return [
        _variant_row(name, homes[name], variant, trained[name], tested[name], reported.get((homes[name], name)))
        for name, variant in variants.items()
    ]


def variants_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows as a table, a column that is wholly empty included."""
    return pd.DataFrame(rows, columns=list(VARIANTS_COLUMNS))


def headlines(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """The few metrics by which variants are compared first, the same in every study that lists them."""
    return {row["variant"]: {metric: row[metric] for metric in HEADLINE} for row in rows}


def ranking(
    rows: Sequence[Mapping[str, Any]],
    *,
    trained: Mapping[str, ClassifierTraining],
    tested: Mapping[str, ClassifierTest],
    histories: Mapping[str, pd.DataFrame],
    reported: ReportedAccuracies,
    tolerance: float | None,
) -> pd.DataFrame:
    """The ranking of one study's variants, best validation accuracy first.

    `rows` are those of `study_rows`, from the same `trained` and `tested`; `histories` (one row per epoch) are by
    variant. Ranks are by the accuracy of the last epoch's weights, equals share the better one. Training metrics are of
    those weights on all training images, dropout off; a gap is the training metric less the test metric.
    `within_tolerance` is empty where there is nothing to compare with.
    """
    table = pd.DataFrame(
        [_ranked(row, trained[row["variant"]], tested[row["variant"]], histories[row["variant"]]) for row in rows]
    )
    for rank, metric in (("validation_rank", "val_accuracy"), ("test_rank", "test_accuracy")):
        table[rank] = table[metric].rank(ascending=False, method="min").astype(int)
    table["within_tolerance"] = [
        within_tolerance(row["test_accuracy"], reported.get((row["study"], row["variant"])), tolerance) for row in rows
    ]
    return table.sort_values("validation_rank", kind="stable").reset_index(drop=True)


def difference(measured: float, reported: float) -> float:
    """By how much an accuracy exceeds the reported one, as a fraction."""
    return round(measured - reported, DIFFERENCE_DECIMALS)


def within_tolerance(measured: float, reported: ReportedAccuracy | None, tolerance: float | None) -> bool | None:
    """Whether an accuracy reproduces the reported one.

    None without one, where a fault of its source made it, or in a study without a tolerance.
    """
    if reported is None or reported.fault or tolerance is None:
        return None
    return abs(difference(measured, reported.test_accuracy)) <= tolerance


def _variant_row(
    name: str,
    study: str,
    variant: Classifier,
    trained: ClassifierTraining,
    tested: ClassifierTest,
    reported: ReportedAccuracy | None,
) -> dict[str, Any]:
    return {
        "variant": name,
        "study": study,
        "dataset": variant.dataset,
        "family": variant.family,
        "params": trained.parameters.total,
        "epochs": trained.epochs,
        "best_epoch": trained.best_epoch,
        "val_loss": trained.validation.last.loss,
        "val_accuracy": trained.validation.last.accuracy,
        "test_loss": tested.loss,
        "test_accuracy": tested.accuracy,
        "test_accuracy_low": tested.accuracy_low,
        "test_accuracy_high": tested.accuracy_high,
        "reported_test_accuracy": reported.test_accuracy if reported else None,
        "difference": difference(tested.accuracy, reported.test_accuracy) if reported else None,
    }


def _ranked(
    row: Mapping[str, Any], trained: ClassifierTraining, tested: ClassifierTest, history: pd.DataFrame
) -> dict[str, Any]:
    """A row of the ranking in the order of its columns; the ranks are filled in when all rows are there."""
    lowest = history.iloc[int(history["val_loss"].argmin())]
    train = trained.train_evaluated
    return {
        **{name: row[name] for name in ("variant", "params", "epochs", "val_accuracy")},
        "best_val_accuracy": trained.validation.best.accuracy,
        "best_epoch": row["best_epoch"],
        "val_loss": row["val_loss"],
        "min_val_loss": lowest["val_loss"],
        "min_val_loss_epoch": int(lowest["epoch"]),
        **{name: row[name] for name in ("test_accuracy", "test_accuracy_low", "test_accuracy_high", "test_loss")},
        "train_accuracy": train.accuracy,
        "accuracy_gap": train.accuracy - tested.accuracy,
        "train_cross_entropy": train.cross_entropy,
        "test_cross_entropy": tested.cross_entropy,
        "cross_entropy_gap": train.cross_entropy - tested.cross_entropy,
        "expected_calibration_error": tested.expected_calibration_error,
        "validation_rank": None,
        "test_rank": None,
        "reported_test_accuracy": row["reported_test_accuracy"],
        "difference": row["difference"],
    }
