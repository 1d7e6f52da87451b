"""Experiments of DVC, and projects of MLflow."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.study.mlflow_view import files_of
from tests.study.workspace import Study, ran


@dataclass(frozen=True)
class Experimented:
    study: Study
    ran: dict[str, set[str]]
    names: list[str]
    head: tuple[str, str]
    head_before: tuple[str, str]
    workspace_epochs: int


@pytest.fixture(scope="module")
def experimented(copy_study: Callable[[], Study]) -> Experimented:
    """Try other numbers of epochs, in the workspace and in a temporary folder."""
    study = copy_study()

    def head() -> tuple[str, str]:
        return study.git("rev-parse", "HEAD"), study.git("show", "HEAD:dvc.lock")

    before = head()
    target = "train@penalized"
    stages = {
        "workspace": ran(study.dvc("exp", "run", "--set-param", "variants.penalized.epochs=3", target)),
        "temporary": ran(study.dvc("exp", "run", "--temp", "--set-param", "variants.penalized.epochs=4", target)),
    }
    names = study.dvc("exp", "list", "--name-only").split()
    epochs = len(study.table("results/train/digits/extras/penalized/history.csv"))
    return Experimented(study, stages, names, head(), before, epochs)


def test_experiments_train_what_they_change_and_leave_the_commit_alone(experimented: Experimented) -> None:
    assert experimented.ran == {"workspace": {"train@penalized"}, "temporary": {"train@penalized"}}
    assert len(experimented.names) == 2
    assert experimented.head == experimented.head_before
    # The temporary experiment does not touch the workspace.
    assert experimented.workspace_epochs == 3


def test_experiments_are_recorded_in_the_projects_mlflow(experimented: Experimented) -> None:
    runs = [run for _, run in experimented.study.runs() if run.data.tags.get("variant") == "penalized"]
    assert sorted(run.data.params["epochs"] for run in runs) == ["1", "3", "4"]
    names = {run.info.run_name for run in runs}
    assert names == {"penalized", *(f"penalized ({name})" for name in experimented.names)}
    assert {run.data.tags.get("dvc_experiment") for run in runs} == {None, *experimented.names}
    assert {run.info.status for run in runs} == {"FINISHED"}
    # The temporary folder is gone by now; what the run refers to is not.
    for run in runs:
        assert "curves.png" in files_of(experimented.study.client(), run, "training")


@dataclass(frozen=True)
class Project:
    study: Study
    output: str


@pytest.fixture(scope="module")
def project(copy_study: Callable[[], Study]) -> Project:
    """`mlflow run` with a fresh store and something to train."""
    study = copy_study()
    (study.root / "mlflow.db").unlink()
    shutil.rmtree(study.root / "mlartifacts")
    with study.params() as params:
        params["variants"]["penalized"]["epochs"] = 2
    command = ("mlflow", "run", ".", "--env-manager", "local", "-P", "stage=register@digit-classifier")
    return Project(study, study.run(sys.executable, "-m", *command).stdout)


def test_stages_under_mlflow_run_are_below_its_run(project: Project) -> None:
    assert ran(project.output) == {"train@penalized", "register@digit-classifier"}
    runs = [run for _, run in project.study.runs()]
    assert {run.info.status for run in runs} == {"FINISHED"}
    (parent,) = [run for run in runs if "mlflow.project.entryPoint" in run.data.tags]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    selection = json.loads((project.study.root / "results" / "select" / "digit-classifier.json").read_text())
    # The fresh store lacked the run of the variant that was selected.
    expected = {"penalized", "register@digit-classifier", selection["selected"]}
    assert expected <= {run.info.run_name for run in children}
    assert parent.data.tags["mlflow.project.entryPoint"] == "main"


def test_mlflow_run_ends_with_everything_in_mlflow(project: Project) -> None:
    """Also what no stage had to make: the store was fresh, the results were there."""
    assert project.study.sync().startswith("0 created, 0 repaired")
