"""The selected models come out of a clone of the repository, and predict."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.config.load import load_params
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.repro import champions


@pytest.mark.slow
def test_a_clone_predicts_without_training(tmp_path: Path, repository: Path) -> None:
    subprocess.run(["git", "clone", "--quiet", repository.as_uri(), "clone"], cwd=tmp_path, check=True)
    clone = tmp_path / "clone"
    np.save(tmp_path / "digit.npy", np.zeros((28, 28), np.uint8))

    def call(*arguments: str) -> str:
        command = [sys.executable, "-m", "pipeline", *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=True).stdout

    shown = call("pull-champions")
    params = load_params(repository)
    for task in params.tasks:
        assert any(task in line and "champion" in line for line in shown.splitlines()), shown
    assert "mnist-classifier version 1 (champion)" in call("predict", "mnist-classifier", str(tmp_path / "digit.npy"))
    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert status.stdout == ""


def test_a_workspace_without_the_remote_is_told(tmp_path: Path, repository: Path) -> None:
    params, workspace = load_params(repository), Workspace(tmp_path)
    for task in params.tasks:
        selected = storage.read_json(Workspace(repository).selection(task))
        storage.write_json(workspace.selection(task), selected)
    with pytest.raises(PipelineError, match=r"expected the models of dvc\.lock in the remote 'champions'.*make repro"):
        champions.pull(workspace, params)
