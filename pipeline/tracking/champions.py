"""The versions of a registered model with their aliases and decisions, and recording a decision about its champion."""

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow import MlflowClient

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io.paths import Workspace
from pipeline.tracking import decisions, loading, models, queries, registry
from pipeline.tracking.decisions import Decision
from pipeline.tracking.queries import TrackedVersion
from pipeline.tracking.records import variants
from pipeline.tracking.records.record import registered_name
from pipeline.tracking.store import opened


@dataclass(frozen=True)
class ModelState:
    """The versions of a registered model by number, which of them are champion and challenger, and all decisions."""

    model: str
    versions: Mapping[int, TrackedVersion]
    champion: int | None
    challenger: int | None
    history: tuple[Decision, ...]


def model_state(workspace: Workspace, params: Params, task: str) -> ModelState:
    """The present state of a task's registered model.

    Raises PipelineError when there is none, no database, or MLflow does not answer.
    """
    loading.require_database(workspace, task)
    with opened(workspace) as store:
        return _read(store.client, registered_name(params, task))


def expected_signature(params: Params, task: str) -> str:
    """The inputs and outputs that every version of a task's model must declare."""
    inputs, outputs = variants.model_tensors(params, params.tasks[task].dataset)
    return loading.signature_text(models.schema(inputs), models.schema(outputs))


def record(workspace: Workspace, state: ModelState, decision: Decision) -> Decision | None:
    """Record a decision that was based on a state of the model, and move the aliases if it changes the champion.

    None, and nothing is done, if the champion is not the one of that state any more: another process was faster.
    """
    with opened(workspace) as store, store.lock():
        client, model = store.client, state.model
        if _read(client, model).champion != state.champion:
            return None
        version = client.get_model_version(model, str(decision.version))
        # First: the other way round an interruption would leave a champion that nothing tells of. This way it
        # leaves a decision without effect, and to decide again mends that.
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


def _read(client: MlflowClient, model: str) -> ModelState:
    versions = queries.find_versions(client, model)
    if versions is None:
        raise PipelineError(
            f"{model}: expected a registered model, but MLflow has none of that name. Run `dvc repro`, "
            "or `python -m pipeline sync` if it has run."
        )
    aliases = {alias: version.version for version in versions for alias in version.aliases}
    return ModelState(
        model=model,
        versions={version.version: version for version in versions},
        champion=aliases.get(registry.CHAMPION),
        challenger=aliases.get(registry.CHALLENGER),
        history=tuple(decisions.read(client, model)),
    )
