"""The champion of a registered model: where a model stands, its versions as they are served, and moving the alias."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.types import Schema, TensorSpec
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.params import Params
from pipeline.paths import Workspace
from pipeline.tracking import UnusableModelError, decisions, models, records, registry
from pipeline.tracking.decisions import Decision
from pipeline.tracking.records.data import CONTEXT_OF_SPLIT
from pipeline.tracking.store import Store, connect, explained

with warnings.catch_warnings():
    # MLflow warns of type hints of its own.
    warnings.simplefilter("ignore")
    import mlflow.artifacts
    import mlflow.pyfunc


@dataclass(frozen=True)
class Version:
    """A version of a registered model; `digests` are of the splits of its data, by name."""

    number: int
    variant: str
    study: str
    digests: Mapping[str, str]


@dataclass(frozen=True)
class Standing:
    """The versions of a registered model by number, and which of them are champion and challenger."""

    model: str
    versions: Mapping[int, Version]
    champion: int | None
    challenger: int | None
    history: tuple[Decision, ...]


@dataclass(frozen=True)
class OpenModel:
    """A logged model, loaded: its `.keras` file and what it declares."""

    path: Path
    signature: str
    served: Any

    def predict(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """What it gives (n, num_outputs) for inputs (n, ...). Raises UnusableModelError when it fails."""
        try:
            return np.asarray(self.served.predict(inputs))
        except Exception as error:
            # The code of a logged model may raise anything.
            raise UnusableModelError(f"it fails on the test inputs: {type(error).__name__}: {error}") from error


def standing(workspace: Workspace, params: Params, task: str) -> Standing:
    """Where the registered model of a task stands.

    Raises PipelineError when there is none, or MLflow does not answer.
    """
    with explained(workspace):
        store = connect(workspace)
        return _standing(store.client, records.registered_name(params, task))


def expected_signature(params: Params, task: str) -> str:
    """The inputs and outputs that every version of a task's model must declare."""
    inputs, outputs = records.model_tensors(params, params.tasks[task].dataset)
    return _signature_text(models.schema(inputs), models.schema(outputs))


@contextlib.contextmanager
def opened(workspace: Workspace, model: str, number: int) -> Iterator[OpenModel]:
    """A version as it is served, fetched from MLflow. Raises UnusableModelError when it cannot be loaded."""
    with tempfile.TemporaryDirectory() as folder:
        store = _connected(workspace)
        yield _load(store, model, number, Path(folder))


def settle(workspace: Workspace, standing: Standing, decision: Decision) -> Decision | None:
    """Record a decision that was made on a standing, and move the aliases if it changes the champion.

    None, and nothing is done, if the champion is not the one of the standing any more: another process was faster.
    """
    with explained(workspace):
        store = connect(workspace)
        with store.lock():
            client, model = store.client, standing.model
            if _standing(client, model).champion != standing.champion:
                return None
            version = client.get_model_version(model, str(decision.version))
            written = decisions.write(client, version, decision)
            if decision.action == "promoted":
                client.set_registered_model_alias(model, registry.CHAMPION, str(decision.version))
                registry.forget_challenger(client, model, decision.version)
                if registry.ROLLED_BACK in version.tags:
                    client.delete_model_version_tag(model, version.version, registry.ROLLED_BACK)
            elif decision.action == "rolled back":
                client.set_model_version_tag(model, version.version, registry.ROLLED_BACK, written.when)
                client.set_registered_model_alias(model, registry.CHAMPION, str(decision.champion_after))
                registry.forget_challenger(client, model, decision.version, decision.champion_after)
            return written


def _connected(workspace: Workspace) -> Store:
    with explained(workspace):
        return connect(workspace)


def _standing(client: MlflowClient, model: str) -> Standing:
    try:
        aliases = client.get_registered_model(model).aliases
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
        raise PipelineError(
            f"{model}: expected a registered model, but MLflow has none of that name. Run `dvc repro`, "
            "or `python -m pipeline sync` if it has run."
        ) from None
    found = [_version(item) for item in client.search_model_versions(f"name = '{model}'")]
    champion, challenger = (aliases.get(alias) for alias in (registry.CHAMPION, registry.CHALLENGER))
    return Standing(
        model=model,
        versions={version.number: version for version in sorted(found, key=lambda item: item.number)},
        champion=None if champion is None else int(champion),
        challenger=None if challenger is None else int(challenger),
        history=tuple(decisions.read(client, model)),
    )


def _version(item: ModelVersion) -> Version:
    digests = {split: item.tags.get(f"digest_{context}") for split, context in CONTEXT_OF_SPLIT.items()}
    return Version(
        number=int(item.version),
        # Of a version that somebody made by hand these are unknown.
        variant=item.tags.get("variant", ""),
        study=item.tags.get("study", ""),
        digests={split: digest for split, digest in digests.items() if digest},
    )


def _load(store: Store, model: str, number: int, folder: Path) -> OpenModel:
    try:
        version = store.client.get_model_version(model, str(number))
        with registry.default_store(store.client.tracking_uri), warnings.catch_warnings():
            # Of how MLflow itself is written.
            warnings.simplefilter("ignore")
            local = mlflow.artifacts.download_artifacts(artifact_uri=version.source, dst_path=str(folder))
            signature = Model.load(local).signature
            served = mlflow.pyfunc.load_model(local)
        (path,) = (Path(local) / "artifacts").glob("*.keras")
    except Exception as error:
        # Fetching meets the store's errors, loading whatever the code of the model raises.
        raise UnusableModelError(f"it cannot be loaded: {type(error).__name__}: {str(error)[:300]}") from error
    return OpenModel(path, _signature_text(signature.inputs, signature.outputs) if signature else "none", served)


def _signature_text(inputs: Schema | None, outputs: Schema | None) -> str:
    return f"{_schema_text(inputs)} → {_schema_text(outputs)}"


def _schema_text(schema: Schema | None) -> str:
    tensors = [item for item in (schema.inputs if schema else []) if isinstance(item, TensorSpec)]
    return ", ".join(f"{tensor.type} {tuple(tensor.shape)}".replace("-1", "n") for tensor in tensors) or "none"
