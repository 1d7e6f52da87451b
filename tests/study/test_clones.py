"""Lost outputs, and clones of the study by Git: nothing trains again, and MLflow is made complete."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.study.mlflow_view import aliases, shown, summary
from tests.study.workspace import CONFIGURATIONS, Built, Study, ran


@dataclass(frozen=True)
class Restored:
    checked_out: dict[str, str]
    ran_after_checkout: set[str]
    ran_without_checkout: set[str]
    content: dict[str, str]
    changes: str


@pytest.fixture(scope="module")
def restored(copy_study: Callable[[], Study]) -> Restored:
    """Lose outputs that DVC keeps, twice."""
    study = copy_study()
    for name in ("data", "models", "predictions"):
        shutil.rmtree(study.root / name)
    study.dvc("checkout")
    checked_out, after_checkout = study.content(), study.repro()
    # Without the prepared data DVC would run `prepare` too, whose other outputs are kept by Git.
    for name in ("data/raw", "models"):
        shutil.rmtree(study.root / name)
    without_checkout = study.repro()
    return Restored(checked_out, after_checkout, without_checkout, study.content(), study.git("status", "--porcelain"))


def test_lost_outputs_come_back_without_training(built: Built, restored: Restored) -> None:
    assert restored.checked_out == restored.content == built.study.content()
    assert restored.ran_after_checkout == restored.ran_without_checkout == set()
    assert restored.changes == ""


@dataclass(frozen=True)
class Cloned:
    pulled: dict[str, Any]
    said: str
    content: dict[str, str]
    sync: str
    study: Study


@pytest.fixture(scope="module")
def cloned(copy_study: Callable[[], Study]) -> Cloned:
    """Give the study to a colleague by Git and a DVC remote, who has no MLflow database and no runs yet."""
    study = copy_study()
    remote = study.root.parent / "remote"
    study.dvc("remote", "add", "--local", "--default", "there", str(remote))
    study.dvc("push")
    clone = Study(study.root.parent / "clone", study.environment)
    study.git("clone", "--quiet", ".", str(clone.root))
    clone.dvc("remote", "add", "--local", "--default", "there", str(remote))
    clone.dvc("pull")
    pulled, said = clone.status(), clone.dvc("repro")
    return Cloned(pulled, said, clone.content(), clone.sync(), clone)


def test_clone_needs_to_run_nothing(built: Built, cloned: Cloned) -> None:
    assert cloned.pulled == {}
    assert ran(cloned.said) == set()
    assert cloned.content == built.study.content()


def test_repro_makes_mlflow_anew_and_sync_changes_nothing_afterwards(built: Built, cloned: Cloned) -> None:
    expected = summary(built.study)
    # The registered model is one more; a search counts as one with its configurations.
    num_items = len(expected) + 1 - len(CONFIGURATIONS)
    assert f"{num_items} created, 0 repaired, 0 unchanged, 0 skipped" in " ".join(cloned.said.split())
    assert cloned.sync.startswith(f"0 created, 0 repaired, {num_items} unchanged, 0 skipped")
    assert "0 removed, 0 closed" in cloned.sync
    assert summary(cloned.study) == expected
    assert len(cloned.study.runs()) == len(expected)
    assert aliases(cloned.study) == aliases(built.study)


@dataclass(frozen=True)
class Served:
    ran: set[str]
    content: dict[str, str]
    registered: dict[str, Any]
    told: str
    shown: dict[str, Any]
    aliases: dict[str, Any]


@pytest.fixture(scope="module")
def served_from_cache(copy_study: Callable[[], Study]) -> Served:
    """Clone the study where its cache is at hand, and reproduce it without `dvc pull`: by DVC, then by the project."""
    study = copy_study()
    clone = Study(study.root.parent / "clone", study.environment)
    study.git("clone", "--quiet", ".", str(clone.root))
    clone.dvc("cache", "dir", "--local", str(study.root / ".dvc" / "cache"))
    stages, registered = clone.repro(), aliases(clone)
    told = clone.run(sys.executable, "-m", "pipeline", "repro").stdout
    return Served(stages, clone.content(), registered, told, shown(clone), aliases(clone))


def test_repro_from_the_cache_trains_nothing_and_makes_mlflow_complete(built: Built, served_from_cache: Served) -> None:
    # Without `dvc checkout` DVC runs again what also declares outputs that Git keeps, other than metrics and plots.
    assert served_from_cache.ran <= {"prepare@digits", "evaluate@basics", "evaluate@extras"}
    assert served_from_cache.content == built.study.content()
    # The stages that DVC takes from its cache, or Git from its outputs, are not started, and cannot record anything.
    assert served_from_cache.registered == aliases(built.study)
    assert served_from_cache.shown == shown(built.study)


def test_repro_ends_with_what_is_registered_and_how_to_go_on(built: Built, served_from_cache: Served) -> None:
    assert served_from_cache.aliases == aliases(built.study)
    assert served_from_cache.aliases
    for name in served_from_cache.aliases:
        assert name in served_from_cache.told
    for command in ("pipeline promote", "pipeline predict", "make ui"):
        assert command in served_from_cache.told
