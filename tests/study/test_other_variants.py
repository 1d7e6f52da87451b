"""One variant taken out of the study, and another put in."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.study.workspace import AFTER_TRAINING, Study


@dataclass(frozen=True)
class Edited:
    study: Study
    refused: str
    deleted: str
    ran: set[str]
    status: dict[str, Any]


@pytest.fixture(scope="module")
def edited(copy_study: Callable[[], Study]) -> Edited:
    """Take one variant out and put another in before the rest."""
    study = copy_study()
    with study.params() as params:
        del params["warm_started"]["continued"]
        params["studies"]["basics"]["variants"].remove("continued")
        params["studies"]["extras"]["variants"].insert(0, "added")
        added = {**params["variants"]["penalized"], "batch_size": 32}
        params["variants"] = {"added": added, **params["variants"]}
    refused = study.run(sys.executable, "-m", "dvc", "repro", check=False).stderr
    deleted = study.run(sys.executable, "-m", "pipeline", "tidy").stdout
    return Edited(study, refused, deleted, study.repro(), study.status())


def test_what_is_left_of_the_removed_variant_is_refused_by_name_until_it_is_tidied_away(edited: Edited) -> None:
    left = ("models/digits/basics/continued.keras", "results/train/digits/basics/continued")
    assert all(name in edited.refused and name in edited.deleted for name in left)
    assert not any((edited.study.root / name).exists() for name in left)


def test_adding_a_variant_trains_that_one_alone(edited: Edited) -> None:
    assert edited.ran == {"train@added", *AFTER_TRAINING}
    assert edited.status == {}


def test_removed_variant_is_in_no_table(edited: Edited) -> None:
    study = edited.study
    assert {row["variant"] for row in study.table("results/compare/basics/ranking.csv")} == {"shared"}
    assert json.loads((study.root / "results/evaluate/basics/metrics.json").read_text()).keys() == {"shared"}
    expected = {"added", "shared", "penalized", "refitted"}
    assert {row["variant"] for row in study.table("results/compare/extras/ranking.csv")} == expected
    assert {row["variant"] for row in study.table("results/variants.csv")} == expected
    selection = json.loads((study.root / "results/select/digit-classifier.json").read_text())
    assert {candidate["variant"] for candidate in selection["candidates"]} == expected


def test_copied_workspace_writes_into_its_own_store(edited: Edited) -> None:
    # MLflow stores absolute paths, which pointed to the original.
    locations = {run.info.artifact_uri for _, run in edited.study.runs()}
    assert {location.startswith(f"{edited.study.root}/mlartifacts/demo/") for location in locations} == {True}
