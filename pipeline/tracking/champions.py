"""The versions of a registered model with their aliases and decisions, and recording a decision about its champion."""

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io.paths import Workspace
from pipeline.tracking import decisions, loading, models, registry
from pipeline.tracking.decisions import Decision
from pipeline.tracking.records import variants
from pipeline.tracking.records.data import CONTEXT_OF_SPLIT
from pipeline.tracking.records.record import registered_name
from pipeline.tracking.store import is_error, opened


@dataclass(frozen=True)
class ModelVersion:
    """A version of a registered model; `digests` are of the splits of its data, by name."""

    number: int
    variant: str
    study: str
    digests: Mapping[str, str]


@dataclass(frozen=True)
class ModelState:
    """The versions of a registered model by number, which of them are champion and challenger, and all decisions."""

    model: str
    versions: Mapping[int, ModelVersion]
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
    try:
        aliases = client.get_registered_model(model).aliases
    except MlflowException as error:
        if not is_error(error, RESOURCE_DOES_NOT_EXIST):
            raise
        raise PipelineError(
            f"{model}: expected a registered model, but MLflow has none of that name. Run `dvc repro`, "
            "or `python -m pipeline sync` if it has run."
        ) from None
    numbers = {alias: int(number) for alias, number in aliases.items()}
    versions = {}
    for item in client.search_model_versions(f"name = '{model}'"):
        digests = {split: item.tags.get(f"digest_{context}") for split, context in CONTEXT_OF_SPLIT.items()}
        versions[int(item.version)] = ModelVersion(
            number=int(item.version),
            # Of a version that somebody made by hand these are unknown.
            variant=item.tags.get("variant", ""),
            study=item.tags.get("study", ""),
            digests={split: digest for split, digest in digests.items() if digest},
        )
    return ModelState(
        model=model,
        versions=dict(sorted(versions.items())),
        champion=numbers.get(registry.CHAMPION),
        challenger=numbers.get(registry.CHALLENGER),
        history=tuple(decisions.read(client, model)),
    )
