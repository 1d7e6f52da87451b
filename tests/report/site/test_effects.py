"""Which pairs of variants tell what a technique bought."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from pydantic import TypeAdapter

from pipeline.config.models import Trainable
from pipeline.config.params import Params
from pipeline.evaluation import pairwise
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.report.site import effects
from pipeline.report.site.files import Site
from tests.stages.two_studies import MLP


def network(**content: Any) -> Trainable:
    spec: Trainable = TypeAdapter(Trainable).validate_python({**MLP, "study": "first", **content}, strict=False)
    return spec


@pytest.mark.parametrize(
    ("content", "used"),
    [
        ({}, set()),
        (
            {"layers": [{"units": 4, "dropout": 0.5}, {"units": 4, "batch_norm": True}]},
            {"dropout", "batch normalization"},
        ),
        ({"layers": [{"units": 4, "activity_l1": 0.1}]}, {"activity L1"}),
        ({"output": {"activation": "softmax", "l2": 0.1}}, {"L2"}),
        ({"early_stopping": {"monitor": "val_loss", "patience": 3}}, {"early stopping"}),
    ],
)
def test_techniques_are_found_wherever_they_are_stated(content: dict[str, Any], used: set[str]) -> None:
    assert effects.techniques(network(**content)) == used


def test_differences_are_with_the_technique_less_without(made: tuple[Workspace, Params]) -> None:
    workspace, params = made
    table = effects.table(Site(workspace, params))
    rows = {(row["with"], row["without"]): row for row in table.to_dict("records")}
    # `wide` has other units, and both `wide` and `refit` are alike in nothing.
    assert set(rows) == {("dropped", "narrow")}
    row, over_seeds = rows["dropped", "narrow"], storage.read_table(workspace.repeats("first") / "differences.csv")
    assert row["technique"] == "dropout"
    assert row["basis"] == "2 seeds"
    assert row["accuracy_difference"] == over_seeds["accuracy_difference"][0]


def test_without_repeats_the_comparison_of_one_training_counts_turned_if_need_be(
    made: tuple[Workspace, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, params = made
    comparison = storage.read_table(workspace.comparison("first") / "differences.csv")
    pair = comparison[(comparison["first"] == "narrow") & (comparison["second"] == "dropped")].iloc[0]
    site = Site(workspace, params)
    ours = site.rows
    monkeypatch.setattr(site, "rows", lambda path: [] if "repeats" in path.parts else ours(path))
    row = effects.table(site).iloc[0]
    assert row["basis"] == "1 training"
    assert row["accuracy_difference"] == pytest.approx(-pair["accuracy_difference"])
    assert (row["accuracy_low"], row["accuracy_high"]) == (-pair["accuracy_high"], -pair["accuracy_low"])


@pytest.mark.parametrize(
    ("verdict", "told"),
    [("a is better", "better"), ("b is better", "worse"), (pairwise.NO_DIFFERENCE, "not told apart"), (None, None)],
)
def test_a_verdict_is_about_the_technique(verdict: str | None, told: str | None) -> None:
    row = {"technique": "dropout", "with": "a", "without": "b", "basis": "2 seeds", "study": "first"}
    numbers = {f"{metric}_{part}": 0.01 for metric in effects.METRICS for part in ("difference", "low", "high")}
    verdicts = {f"{metric}_verdict": verdict for metric in effects.METRICS}
    shown = effects.shown(pd.DataFrame([{**row, **numbers, **verdicts}]))
    assert shown[0]["accuracy_verdict"] == told
    assert shown[0]["accuracy"] == "+1.00 (+1.00 to +1.00)"
    assert shown[0]["cross_entropy"] == "+0.0100 (+0.0100 to +0.0100)"
