"""MLflow thrown away and made again, and kept right from branch to branch."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.study.mlflow_view import aliases, shown, versions
from tests.study.workspace import AFTER_EXTRAS, Built, Study


@dataclass(frozen=True)
class ThrownAway:
    before: dict[str, Any]
    after: dict[str, Any]
    second_sync: str
    files: set[str]


@pytest.fixture(scope="module")
def thrown_away(copy_study: Callable[[], Study]) -> ThrownAway:
    """Delete MLflow's database and all its files."""
    study = copy_study()
    study.sync()
    before = shown(study)
    (study.root / "mlflow.db").unlink()
    shutil.rmtree(study.root / "mlartifacts")
    # MLflow keeps a database open in this process as long as it lives, by its path.
    emptied = Study(study.root.rename(study.root.with_name("emptied")), study.environment)
    emptied.sync()
    changes = set(emptied.git("status", "--porcelain").splitlines())
    return ThrownAway(before, shown(emptied), emptied.sync(), changes)


def test_what_was_thrown_away_of_mlflow_comes_back_to_the_byte(thrown_away: ThrownAway) -> None:
    assert thrown_away.after == thrown_away.before
    assert all(thrown_away.after.values())
    assert thrown_away.second_sync.startswith("0 created, 0 repaired")
    assert "0 removed, 0 closed" in thrown_away.second_sync
    assert thrown_away.files == set()


@dataclass(frozen=True)
class Switched:
    ran: set[str]
    changes: list[str]
    runs: list[tuple[str, str, str]]
    challengers: list[str | None]
    versions: list[tuple[str, str, str]]


BRANCHES = ("main", "other", "main", "other", "main")


@pytest.fixture(scope="module")
def switched(copy_study: Callable[[], Study]) -> Switched:
    """Train a variant otherwise on a branch, and switch back and forth."""
    study = copy_study()
    study.git("switch", "--quiet", "--create", "other")
    with study.params() as params:
        params["variants"]["penalized"]["batch_size"] = 32
    stages = study.repro()
    study.commit()
    changes, challengers = [], []
    for branch in BRANCHES:
        study.git("switch", "--quiet", branch)
        study.dvc("checkout")
        changes.append(study.sync())
        challengers.append(aliases(study)["demo-digit-classifier"].get("challenger"))
    runs = [(experiment, str(run.info.run_name), run.data.tags["content_key"]) for experiment, run in study.runs()]
    return Switched(stages, changes, runs, challengers, versions(study))


def test_a_variant_trained_otherwise_makes_anew_what_is_told_of_the_studies_that_list_it(switched: Switched) -> None:
    assert switched.ran == {"train@penalized", *AFTER_EXTRAS}


def test_switching_branches_makes_no_duplicates(built: Built, switched: Switched) -> None:
    assert len(switched.runs) == len(set(switched.runs))
    # The variant of either branch, and the tables that it is in.
    assert {key for _, name, key in switched.runs if name == "penalized"} > {
        run.data.tags["content_key"] for _, run in built.study.runs() if run.info.run_name == "penalized"
    }
    assert len([name for _, name, _ in switched.runs if name == "penalized"]) == 2
    assert len(switched.versions) == len(set(switched.versions))
    # Who was on a branch before has all there is; only the challenger may move.
    assert {change.split(",")[0] for change in switched.changes} == {"0 created"}
    assert {"0 removed" in change for change in switched.changes} == {True}
    for branch in ("main", "other"):
        there = {item for item, at in zip(switched.challengers, BRANCHES, strict=True) if at == branch}
        assert len(there) == 1
