from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest

from pipeline.evaluation.reported import Figures, ReportedRow
from pipeline.studies.grid_search.closing_table import COLUMNS, closing_table, verdict
from pipeline.studies.grid_search.data import Evidence
from pipeline.studies.grid_search.metrics import agreement, rank_correlation

MakeEvidence = Callable[..., Evidence]


@pytest.mark.parametrize(
    ("train_error", "train_accuracy", "expected"),
    [
        (0.0079, 1.0, "overfits severely"),
        (0.0081, 1.0, "overfits"),
        (0.039, 1.0, "overfits"),
        (0.041, 1.0, "fits both alike"),
        # Within the interval of the test accuracy, whatever the errors.
        (0.001, 0.952, "fits both alike"),
    ],
)
def test_verdict_by_what_is_left_of_the_test_error(
    make_evidence: MakeEvidence, train_error: float, train_accuracy: float, expected: str
) -> None:
    fields = {"train_error": train_error, "train_accuracy": train_accuracy, "test_error": 0.08}
    evidence = make_evidence({"2_bn": 0.95}, refits={"2_bn": fields})
    assert verdict(evidence.refits["2_bn"]) == expected


def test_a_row_per_refit_with_the_source_beside_it(make_evidence: MakeEvidence) -> None:
    evidence = make_evidence({"2_bn": 0.95, "3_dropout": 0.94}, longer={"3_dropout": {"accuracy": 0.96}})
    figures = Figures(refit_test_accuracy=0.98, closing_table_accuracy=0.97, best_units=(8, 2))
    table = closing_table(
        "study", evidence, defaultdict(ReportedRow, {("study", "2_bn"): ReportedRow(reported=figures)})
    )
    assert list(table.columns) == list(COLUMNS)
    assert list(table["refit"]) == ["2_bn", "3_dropout", "3_dropout_longer"]
    assert list(table["layers"]) == [2, 3, 3]
    assert list(table["technique"]) == ["BN", "dropout", "dropout"]
    assert list(table["epochs"]) == [20, 20, 30]
    assert list(table["best_cv_accuracy"]) == pytest.approx([0.95, 0.94, 0.94])
    first = table.iloc[0]
    assert (first["train_error_dropout_active"], first["train_error"], first["test_error"]) == (0.2, 0.01, 0.08)
    assert (first["units"], first["reported_units"]) == ("8-3", "8-2")
    assert first["reported_closing_table_accuracy"] == 0.97
    assert table["reported_test_accuracy"].isna().tolist() == [False, True, True]


def test_agreement_is_of_all_and_of_each_search(make_evidence: MakeEvidence) -> None:
    table = make_evidence({"2_bn": 0.95}).scores["2_bn"]
    reversed_order = table.assign(reported_cv_accuracy=[0.9, 0.8, 0.7, 0.6])
    found = agreement(reversed_order)
    assert found is not None
    assert found["all"]["rank_correlation"] == pytest.approx(-1)
    assert found["searches"]["2_bn"]["best_measured"] == "2_bn 8-3"
    assert found["searches"]["2_bn"]["best_reported"] == "2_bn 4-2"
    assert found["all"]["largest_absolute_difference"] == pytest.approx(0.35)


def test_without_reported_figures_there_is_no_agreement(make_evidence: MakeEvidence) -> None:
    table = make_evidence({"2_bn": 0.95}).scores["2_bn"]
    assert agreement(table.assign(reported_cv_accuracy=None)) is None
    # Equal figures have no order.
    assert rank_correlation(table.assign(reported_cv_accuracy=0.9)) is None
