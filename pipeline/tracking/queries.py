"""Runs and model versions as MLflow records them, with the outputs, data and commits that they are of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io.paths import Workspace
from pipeline.tracking import decisions, registry, runs
from pipeline.tracking.decisions import Decision
from pipeline.tracking.records.data import CONTEXT_OF_SPLIT
from pipeline.tracking.records.record import OUTPUTS, registered_name
from pipeline.tracking.store import DOES_NOT_EXIST, every_page, opened, require_database


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
    """A version of a registered model, its aliases, the run that trained it, and the digests of the splits of its data.

    What is not known of a version that somebody made by hand is empty.
    """

    model: str
    version: int
    aliases: tuple[str, ...]
    run_id: str
    variant: str
    study: str
    digests: Mapping[str, str]

    def __str__(self) -> str:
        champion = " (champion)" if registry.CHAMPION in self.aliases else ""
        return f"{self.model} version {self.version}{champion}: {self.variant or '?'}"


@dataclass(frozen=True)
class ModelState:
    """The versions of a registered model by number, which of them are champion and challenger, and all decisions."""

    model: str
    versions: Mapping[int, TrackedVersion]
    champion: int | None
    challenger: int | None
    history: tuple[Decision, ...]


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
        models = sorted(every_page(client.search_registered_models), key=lambda model: str(model.name))
        return [version for model in models for version in versions_of(client, model)]


def version_at(workspace: Workspace, model: str, version: str) -> tuple[TrackedVersion, TrackedRun]:
    """A version by its `/number` or `@alias`, and the run that trained it.

    Raises PipelineError when there is none such, or its run was deleted.
    """
    with opened(workspace) as store:
        client = store.client
        versions = find_versions(client, model)
        if versions is None:
            known = ", ".join(sorted(item.name for item in every_page(client.search_registered_models))) or "(none)"
            raise PipelineError(
                f"unknown registered model {model!r}; expected one of: {known}. "
                "`python -m pipeline sync` registers what the workspace has selected."
            )
        named = {f"/{item.version}": item for item in versions}
        named |= {f"@{alias}": item for item in versions for alias in item.aliases}
        if version not in named:
            raise PipelineError(f"models:/{model}: expected one of {', '.join(named) or '(none)'}, got {version}.")
        tracked = named[version]
        try:
            run = client.get_run(tracked.run_id)
            return tracked, _tracked(run, client.get_experiment(run.info.experiment_id).name)
        except MlflowException:
            raise PipelineError(
                f"models:/{tracked.model}/{tracked.version}: the run that trained it ({tracked.run_id}) is gone from "
                "MLflow. `python -m pipeline sync` restores the runs of what the workspace holds."
            ) from None


def model_state(workspace: Workspace, params: Params, task: str) -> ModelState:
    """The present state of a task's registered model.

    Raises PipelineError when the task is unknown, there is no model or database, or MLflow does not answer.
    """
    model = registered_name(params, task)
    require_database(workspace, task)
    with opened(workspace) as store:
        versions = find_versions(store.client, model)
        if versions is None:
            raise PipelineError(
                f"{model}: expected a registered model, but MLflow has none of that name. Run `dvc repro`, "
                "or `python -m pipeline sync` if it has run."
            )
        history = tuple(decisions.read(store.client, model))
    numbers = {alias: version.version for version in versions for alias in version.aliases}
    champion, challenger = numbers.get(registry.CHAMPION), numbers.get(registry.CHALLENGER)
    return ModelState(model, {version.version: version for version in versions}, champion, challenger, history)


def find_versions(client: MlflowClient, name: str) -> list[TrackedVersion] | None:
    """The versions of the registered model of a name as `versions_of` gives them; None if there is no such model."""
    try:
        # Not by an alias: how MLflow reports that one is missing differs from store to store.
        return versions_of(client, client.get_registered_model(name))
    except MlflowException as error:
        if error.error_code != DOES_NOT_EXIST:
            raise
        return None


def versions_of(client: MlflowClient, model: RegisteredModel) -> list[TrackedVersion]:
    """The versions of a registered model in the order of their numbers."""
    found = client.search_model_versions(f"name = '{model.name}'")
    return [_tracked_version(model, version) for version in sorted(found, key=lambda item: int(item.version))]


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


def _tracked_version(model: RegisteredModel, version: ModelVersion) -> TrackedVersion:
    digests = {split: version.tags.get(f"digest_{context}") for split, context in CONTEXT_OF_SPLIT.items()}
    return TrackedVersion(
        model=model.name,
        version=int(version.version),
        aliases=tuple(sorted(alias for alias, number in model.aliases.items() if int(number) == int(version.version))),
        run_id=version.run_id or "",
        variant=version.tags.get("variant", ""),
        study=version.tags.get("study", ""),
        digests={split: digest for split, digest in digests.items() if digest},
    )
