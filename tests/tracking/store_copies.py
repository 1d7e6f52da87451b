"""Copies of a workspace with its MLflow store: what takes seconds to publish is published once, for several tests."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.io.paths import Workspace
from pipeline.tracking import store


@contextlib.contextmanager
def without_settings() -> Iterator[None]:
    """Without the variables of the user's own MLflow and DVC, for fixtures that outlive a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("MLFLOW_", "DVC_", "PIPELINE_"))]:
            patch.delenv(name)
        yield


class NothingKept(OrderedDict[str, Any]):
    """Stands in for MLflow's cache of where the artifacts of a run lie, by its id: copies of a run share the id."""

    def __setitem__(self, key: str, value: Any) -> None:
        """Keep nothing."""


def copy(stages: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same stages for one test, in a folder that does not exist yet, with artifacts of their own."""
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._artifact_repos_cache", NothingKept())
    shutil.copytree(stages.workspace.root, folder)
    copied = replace(stages, workspace=Workspace(folder))
    # MLflow has absolute paths of artifacts: left as they are, a test would change those of all others.
    for experiment in copied.view.client.search_experiments():
        store.follow_move(folder / "mlflow.db", folder / "mlartifacts", experiment)
    return copied
