"""Registered versions, found and loaded to predict with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from pipeline.errors import PipelineError
from pipeline.params import Params
from pipeline.paths import Workspace
from pipeline.tracking import records, registry
from pipeline.tracking.settings import find_location
from pipeline.tracking.store import connect, explained, is_error

Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model. `is_champion` says whether it was asked for as such."""

    name: str
    number: int
    variant: str
    is_champion: bool

    def __str__(self) -> str:
        return f"{self.name} version {self.number}{' (champion)' * self.is_champion}: {self.variant}"


def registered_version(workspace: Workspace, params: Params, task: str, number: int | None) -> RegisteredVersion:
    """See pipeline.tracking.registered_version."""
    name = records.registered_name(params, task)
    database = find_location(workspace).database
    if database is not None and not database.is_file():
        raise PipelineError(
            f"{database}: expected MLflow's database, but there is none. Run `dvc repro register@{task}`, or "
            "`python -m pipeline sync` where the results are here already."
        )
    with explained(workspace):
        version = _find(connect(workspace).client, name, number)
    if version is None:
        wanted = "a champion" if number is None else f"a version {number}"
        raise PipelineError(
            f"{name}: expected {wanted} in MLflow at {find_location(workspace).shown}, but there is none. "
            f"Run `dvc repro register@{task}` to register the selected model, `python -m pipeline sync` where that was "
            "done already, or name another version: --version N."
        )
    return RegisteredVersion(name, int(version.version), version.tags.get("variant", "?"), is_champion=number is None)


def _find(client: MlflowClient, name: str, number: int | None) -> ModelVersion | None:
    try:
        if number is None:
            # Not by the alias itself, of which MLflow tells differently from store to store that it is missing.
            number = client.get_registered_model(name).aliases.get(registry.CHAMPION)
        return None if number is None else client.get_model_version(name, str(number))
    except MlflowException as error:
        if not is_error(error, RESOURCE_DOES_NOT_EXIST):
            raise
        return None


def load_model(workspace: Workspace, version: RegisteredVersion) -> Predict:
    """See pipeline.tracking.load_model."""
    # Here, because MLflow warns of type hints of its own the first time: `registry` has silenced that.
    import mlflow.pyfunc

    with explained(workspace):
        store = connect(workspace)
        uri = store.client.get_model_version_download_uri(version.name, str(version.number))
        folder = mlflow.artifacts.download_artifacts(artifact_uri=uri, tracking_uri=store.location.uri)
        return mlflow.pyfunc.load_model(folder).predict
