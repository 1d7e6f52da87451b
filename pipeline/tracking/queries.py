"""Runs and model versions as MLflow records them, with the outputs, data and commits that they are of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from pipeline.errors import PipelineError
from pipeline.io.paths import Workspace
from pipeline.tracking import runs
from pipeline.tracking.records.record import OUTPUTS
from pipeline.tracking.store import every_page, opened


@dataclass(frozen=True)
class TrackedRun:
    """A finished run: the DVC stage that made it, that stage's outputs by DVC's hashes, the splits by their digests.

    `commit` is what was checked out when the run was recorded. `started` is in milliseconds since 1970.
    """

    run_id: str
    experiment: str
    name: str
    stage: str
    variant: str | None
    started: int
    commit: str | None
    content_key: str | None
    outputs: Mapping[str, str]
    datasets: Mapping[str, str]


@dataclass(frozen=True)
class TrackedVersion:
    """A version of a registered model, its aliases, and the run that trained it."""

    model: str
    version: int
    aliases: tuple[str, ...]
    run_id: str
    variant: str | None


def all_runs(workspace: Workspace) -> list[TrackedRun]:
    """Every finished run of a stage, oldest first. Raises PipelineError when MLflow cannot be reached."""
    with opened(workspace) as store:
        client = store.client
        names = {item.experiment_id: item.name for item in client.search_experiments()}
        found = runs.all_runs(client, list(names), f"attributes.status = '{runs.FINISHED}'")
    # The configurations below a search have no outputs of their own.
    tracked = [
        _tracked(run, names[run.info.experiment_id])
        for run in found
        if runs.PARENT_KEY not in run.data.tags and "dvc_stage" in run.data.tags
    ]
    return sorted(tracked, key=lambda run: (run.started, run.experiment, run.name))


def all_versions(workspace: Workspace) -> list[TrackedVersion]:
    """Every version of every registered model. Raises PipelineError when MLflow cannot be reached."""
    with opened(workspace) as store:
        client = store.client
        tracked = [
            _tracked_version(version, aliases)
            for name, aliases in _aliases(client).items()
            for version in client.search_model_versions(f"name = '{name}'")
        ]
    return sorted(tracked, key=lambda version: (version.model, version.version))


def version_at(workspace: Workspace, model: str, version: str) -> tuple[TrackedVersion, TrackedRun]:
    """A version by its number or `@alias`, and the run that trained it.

    Raises PipelineError when there is none such, or its run was deleted.
    """
    with opened(workspace) as store:
        client = store.client
        known = _aliases(client)
        if model not in known:
            raise PipelineError(
                f"unknown registered model {model!r}; expected one of: {', '.join(sorted(known)) or '(none)'}. "
                "`python -m pipeline sync` registers what the workspace has selected."
            )
        number = str(known[model].get(version[1:], "")) if version.startswith("@") else version
        found = {str(item.version): item for item in client.search_model_versions(f"name = '{model}'")}
        if number not in found:
            expected = [f"/{item}" for item in sorted(found, key=int)] + [f"@{alias}" for alias in sorted(known[model])]
            received = version if version.startswith("@") else f"/{version}"
            raise PipelineError(f"models:/{model}: expected one of {', '.join(expected) or '(none)'}, got {received}.")
        tracked = _tracked_version(found[number], known[model])
        try:
            run = client.get_run(tracked.run_id)
            return tracked, _tracked(run, client.get_experiment(run.info.experiment_id).name)
        except MlflowException:
            raise PipelineError(
                f"models:/{tracked.model}/{tracked.version}: the run that trained it ({tracked.run_id}) is gone from "
                "MLflow. `python -m pipeline sync` restores the runs of what the workspace holds."
            ) from None


def _aliases(client: MlflowClient) -> dict[str, dict[str, str]]:
    """The aliases of every registered model."""
    return {model.name: model.aliases for model in every_page(client.search_registered_models)}


def _tracked(run: Run, experiment: str) -> TrackedRun:
    tags = run.data.tags
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return TrackedRun(
        run_id=run.info.run_id,
        experiment=experiment,
        name=run.info.run_name or "",
        stage=tags.get("dvc_stage", ""),
        variant=tags.get("variant"),
        started=int(run.info.start_time),
        commit=tags.get("git_commit"),
        content_key=tags.get(runs.CONTENT_KEY),
        outputs=json.loads(tags.get(OUTPUTS, "{}")),
        # MLflow cuts digests short; the profile has the whole one.
        datasets={item.dataset.name: json.loads(item.dataset.profile or "{}").get("sha256", "") for item in inputs},
    )


def _tracked_version(version: ModelVersion, aliases: Mapping[str, str]) -> TrackedVersion:
    return TrackedVersion(
        model=version.name,
        version=int(version.version),
        aliases=tuple(sorted(alias for alias, number in aliases.items() if str(number) == str(version.version))),
        run_id=version.run_id or "",
        variant=version.tags.get("variant"),
    )
