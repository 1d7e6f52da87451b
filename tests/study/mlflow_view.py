"""What MLflow shows of a workspace, as values that can be compared."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import DatasetInput, Run

from tests.study.workspace import Study

# Of the run that trained or searched, and of no run that `sync` makes.
COSTS = {"wall_seconds", "peak_memory_mib", "configurations_done"}


def curve(client: MlflowClient, run: Run, name: str) -> list[tuple[int, float]]:
    points = client.get_metric_history(run.info.run_id, name)
    return sorted((point.step, point.value) for point in points)


def files_of(client: MlflowClient, run: Run, folder: str) -> set[str]:
    return {Path(item.path).name for item in client.list_artifacts(run.info.run_id, folder)}


def datasets_of(run: Run) -> list[DatasetInput]:
    return run.inputs.dataset_inputs if run.inputs else []


def summary(study: Study) -> dict[tuple[str, str], dict[str, Any]]:
    """All that MLflow shows of finished runs, without ids, times and what training cost."""
    client = study.client()
    return {
        (experiment, str(run.info.run_name)): {
            "status": run.info.status,
            "key": run.data.tags["content_key"],
            "params": run.data.params,
            "metrics": {name: value for name, value in run.data.metrics.items() if name not in COSTS},
            "curve": curve(client, run, "val_accuracy"),
            "files": {
                folder.path: files_of(client, run, folder.path) for folder in client.list_artifacts(run.info.run_id)
            },
            "datasets": {(item.dataset.name, item.dataset.digest) for item in datasets_of(run)},
            "num_models": len(run.outputs.model_outputs) if run.outputs else 0,
        }
        for experiment, run in study.runs("attributes.status = 'FINISHED'")
    }


def aliases(study: Study) -> dict[str, dict[str, str]]:
    """By registered model and alias: the variant of the version."""
    client = study.client()
    return {
        model.name: {
            alias: client.get_model_version(model.name, str(version)).tags["variant"]
            for alias, version in model.aliases.items()
        }
        for model in client.search_registered_models()
    }


def shown(study: Study) -> dict[str, Any]:
    """All that MLflow shows, the bytes of pictures, tables and models included."""
    return {"runs": summary(study), "files": artifacts(study), "versions": versions(study), "aliases": aliases(study)}


def artifacts(study: Study) -> dict[tuple[str, str], dict[str, str]]:
    """The hash of every file of every run, but for decisions, which have times, and of the Keras file of its model."""
    client = study.client()
    return {
        (experiment, str(run.info.run_name)): {
            path.name: sha256(path.read_bytes()).hexdigest()
            for folder in (run.info.artifact_uri, *(model.artifact_location for model in models_of(client, run)))
            for path in Path(folder).rglob("*")
            if path.suffix in {".png", ".csv", ".json", ".keras"}
            and "example" not in path.name
            and path.parent.name != "decisions"
        }
        for experiment, run in study.runs()
    }


def models_of(client: MlflowClient, run: Run) -> list[Any]:
    return [client.get_logged_model(item.model_id) for item in (run.outputs.model_outputs if run.outputs else [])]


def versions(study: Study) -> list[tuple[str, str, str]]:
    """Registered model, variant and content of every version, without its number: a database made anew begins at 1."""
    client = study.client()
    return sorted(
        (version.name, version.tags["variant"], version.tags["content_key"])
        for model in client.search_registered_models()
        for version in client.search_model_versions(f"name = '{model.name}'")
    )
