"""Find versions of registered models, and load them to predict with."""

import contextlib
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import Model
from mlflow.types import Schema, TensorSpec
from numpy.typing import NDArray

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io.paths import Workspace
from pipeline.tracking import models, queries, registry
from pipeline.tracking.queries import TrackedVersion
from pipeline.tracking.records import data
from pipeline.tracking.records.record import registered_name
from pipeline.tracking.store import find_location, opened, require_database

with warnings.catch_warnings():
    # MLflow warns about type hints in its own code.
    warnings.simplefilter("ignore")
    import mlflow.artifacts
    import mlflow.pyfunc


class UnusableModelError(Exception):
    """A logged model that cannot be fetched or loaded, or that fails on good input; `advice` says what may help."""

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(problem)
        self.advice = advice


@dataclass(frozen=True)
class OpenModel:
    """A logged model, loaded: its `.keras` file and its declared signature as text."""

    path: Path
    signature: str
    served: Any

    def predict(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Outputs (n, num_outputs) for inputs (n, ...). Raises UnusableModelError when the model fails."""
        try:
            return np.asarray(self.served.predict(inputs))
        except Exception as error:
            # The code of a logged model may raise anything.
            raise UnusableModelError(
                f"it fails on these inputs: {type(error).__name__}: {error}",
                "Name a version that fits the parameters with `--version N`, or run `dvc repro` to train and register "
                "one.",
            ) from error


def registered_version(workspace: Workspace, params: Params, task: str, number: int | None = None) -> TrackedVersion:
    """A version of a task's registered model; without a number its champion.

    Raises PipelineError when there is none, no database, or MLflow does not answer as it should.
    """
    name = registered_name(params, task)
    require_database(workspace, task)
    with opened(workspace) as store:
        versions = queries.find_versions(store.client, name) or []
    for version in versions:
        if registry.CHAMPION in version.aliases if number is None else version.version == number:
            return version
    wanted = "a champion" if number is None else f"a version {number}"
    raise PipelineError(
        f"{name}: expected {wanted} in MLflow at {find_location(workspace).shown}, but there is none. "
        f"Run `dvc repro register@{task}` to register the selected model, `python -m pipeline sync` where that was "
        "done already, or name another version: --version N."
    )


@contextlib.contextmanager
def open_version(workspace: Workspace, version: TrackedVersion) -> Iterator[OpenModel]:
    """A version as it is served, fetched from MLflow, on the backend that Keras runs on.

    Raises UnusableModelError when it cannot be loaded, PipelineError when MLflow does not answer.
    """
    with opened(workspace) as store:
        client = store.client
    with tempfile.TemporaryDirectory() as folder:
        try:
            with registry.default_store(client.tracking_uri), warnings.catch_warnings():
                # They are about MLflow's own code.
                warnings.simplefilter("ignore")
                uri = client.get_model_version_download_uri(version.model, str(version.version))
                local = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)
                signature = Model.load(local).signature
                served = mlflow.pyfunc.load_model(local)
            (path,) = (Path(local) / "artifacts").glob("*.keras")
        except Exception as error:
            # Downloading raises the store's errors, loading whatever the model's code raises. If the store does not
            # answer any more, that is the error to report.
            with opened(workspace):
                pass
            raise UnusableModelError(
                f"it cannot be loaded: {type(error).__name__}: {str(error)[:300]}",
                "`python -m pipeline sync` logs it again where what was trained lies here, and `--version N` names "
                "another version.",
            ) from error
        declared = signature_text(signature.inputs, signature.outputs) if signature else "none"
        yield OpenModel(path, declared, served)


def expected_signature(params: Params, task: str) -> str:
    """The inputs and outputs that every version of a task's model must declare."""
    inputs, _, outputs = data.tensors(params, params.tasks[task].dataset)
    return signature_text(models.schema(inputs), models.schema(outputs))


def signature_text(*schemas: Schema | None) -> str:
    """The types and shapes of a model's inputs and outputs, such as `uint8 (n, 28, 28) → float32 (n, 10)`."""
    tensors = [[item for item in schema or [] if isinstance(item, TensorSpec)] for schema in schemas]
    texts = [", ".join(f"{tensor.type} {tuple(tensor.shape)}" for tensor in side) or "none" for side in tensors]
    return " → ".join(texts).replace("-1", "n")
