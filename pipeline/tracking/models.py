"""Logging a trained `.keras` file as an MLflow model, without loading it."""

import importlib.metadata
import tempfile
import warnings
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Run
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from pipeline.tracking.records.record import ModelFile, Tensor
from pipeline.tracking.store import quoted

with warnings.catch_warnings():
    # MLflow warns about type hints in its own code.
    warnings.simplefilter("ignore")
    import mlflow.pyfunc

# The file that MLflow runs where a model is served.
SERVED_MODEL = Path(__file__).with_name("served_model.py")
REQUIREMENTS = ("mlflow", "keras", "tensorflow", "numpy")


def model_of(client: MlflowClient, run: Run) -> LoggedModel | None:
    """The model of a run; None if it was deleted or never logged."""
    for output in run.outputs.model_outputs if run.outputs else []:
        try:
            return client.get_logged_model(output.model_id)
        except MlflowException:
            continue
    return None


def has_whole_model(client: MlflowClient, run: Run, model: ModelFile) -> bool:
    """Whether a run has a model with all its files, the `.keras` file in full: an upload may have been interrupted."""
    logged = model_of(client, run)
    if logged is None or logged.status != LoggedModelStatus.READY:
        return False
    names = {item.path for item in client.list_logged_model_artifacts(logged.model_id)}
    kept = client.list_logged_model_artifacts(logged.model_id, "artifacts")
    sizes = {Path(item.path).name: item.file_size for item in kept}
    return "MLmodel" in names and sizes.get(model.path.name) == model.path.stat().st_size


def log_model(client: MlflowClient, run: Run, model: ModelFile, tags: dict[str, str]) -> None:
    """Log a `.keras` file as a run's model, or make a broken one whole."""
    logged = model_of(client, run)
    if logged is None:
        logged = client.create_logged_model(
            run.info.experiment_id,
            name=model.name,
            source_run_id=run.info.run_id,
            tags=tags,
            params=run.data.params,
            model_type=model.kind,
        )
        client.log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    signature = ModelSignature(inputs=schema(model.inputs), outputs=schema(model.outputs))
    description = Model.from_dict(
        {
            "artifact_path": logged.artifact_location,
            "model_uuid": logged.model_id,
            "run_id": run.info.run_id,
            "model_id": logged.model_id,
            "mlflow_version": mlflow.__version__,
            "signature": signature.to_dict(),
            # The model checks its input itself, like one with type hints. MLflow's own check of a tensor signature
            # refuses every number type but the one declared, and lists; and over HTTP it would cut 12.7 to 12.
            "is_signature_from_type_hint": True,
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        saved = str(Path(folder) / "model")
        mlflow.pyfunc.save_model(
            saved,
            mlflow_model=description,
            python_model=str(SERVED_MODEL),
            model_config={"kind": model.kind},
            artifacts={"model": quoted(model.path)},
            signature=description.signature,
            input_example=np.zeros((1, *model.inputs.shape), model.inputs.dtype),
            # Without them MLflow would load the model in a subprocess to find out.
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in REQUIREMENTS],
        )
        client.log_model_artifacts(logged.model_id, saved)
    if logged.status != LoggedModelStatus.READY:
        client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)


def schema(tensor: Tensor) -> Schema:
    """MLflow's schema of any number of examples of a tensor."""
    return Schema([TensorSpec(np.dtype(tensor.dtype), (-1, *tensor.shape))])
