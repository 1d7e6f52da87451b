"""Registered models: the selected variant of a task becomes a version, identified by its content key, with a card.

The card is the description of the version, and an artifact of its run.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import PurePosixPath

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from pipeline import cards
from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from pipeline.tracking import decisions, models, runs
from pipeline.tracking.decisions import Decision
from pipeline.tracking.records import studies, variants
from pipeline.tracking.records.outputs import NotMadeYetError
from pipeline.tracking.records.record import RunRecord, registered_name
from pipeline.tracking.runs import Outcome
from pipeline.tracking.store import EXISTS_ALREADY, Store, opened, persistent

CHALLENGER = "challenger"
CHAMPION = "champion"
# Tag of a version that a rollback replaced as champion: it does not become challenger again by itself.
ROLLED_BACK = "rolled_back"

# Name of the folder of a card in a run's artifacts, and of the tag of a version with the card's hash.
CARD = "model_card"
# What a database other than SQLite keeps of a description.
MAX_DESCRIPTION = 5000


@persistent
def register_version(store: Store, workspace: Workspace, params: Params, task: str) -> Outcome:
    """Upsert the version with the model selected for a task, its card and aliases; its run too if it is missing.

    Raises NotMadeYetError, before anything is written, when the selection or its model is missing.
    """
    client, selection = store.client, studies.selection_record(workspace, params, task)
    name, selected = selection.tags["registered_model"], selection.params["selected"]
    if selected not in params.all_variants:
        raise NotMadeYetError(
            f"{workspace.selection(task)}: selects {selected!r}, which the parameters no longer have. Run `dvc repro`."
        )
    variant = variants.variant_record(workspace, params, selected, params.all_variants[selected].study)
    card = _card(workspace, params, task, variant)
    run_id = runs.upsert(store, variant)[1]
    with store.lock():
        new_model = _ensure_registered_model(client, params, selection)
        version = _find_version(client, name, variant.key)
        new_version = version is None
        if version is None:
            made = _create_version(client, selection, variant, card, run_id)
            # Another workspace on the same server may have made one at the same time: the first one stays.
            version = _find_version(client, name, variant.key) or made
            if version.version != made.version:
                client.delete_model_version(name, str(made.version))
        changes = [
            new_model,
            _complete_version(client, version, variant, card),
            _ensure_aliases(client, version, task, selected),
        ]
    if new_version:
        return "created"
    return "repaired" if any(changes) else "unchanged"


@persistent
def refresh_versions(store: Store, workspace: Workspace, params: Params, task: str) -> bool:
    """Update the cards and tags of all versions whose model is still here; returns whether any changed.

    A version whose variant was trained again since keeps the card that it has.
    """
    changed = False
    for version in store.client.search_model_versions(f"name = '{registered_name(params, task)}'"):
        variant = version.tags.get("variant")
        if variant not in params.all_variants:
            continue
        with contextlib.suppress(NotMadeYetError):
            record = variants.variant_record(workspace, params, variant, params.all_variants[variant].study)
            if record.key == version.tags.get(runs.CONTENT_KEY):
                card = _card(workspace, params, task, record)
                with store.lock():
                    changed |= _complete_version(store.client, version, record, card)
    return changed


def _card(workspace: Workspace, params: Params, task: str, variant: RunRecord) -> str:
    """The card of a variant as the model of a task, from the outputs of the stages alone."""
    training = {"stage": variant.tags["dvc_stage"], "settings": variant.params, "content_key": variant.key}
    return cards.card(workspace, params, task, variant.tags["variant"], training)


def card_description(card: str) -> str:
    """A card as far as the registry can show it, to the last whole line."""
    if len(card) <= MAX_DESCRIPTION:
        return card
    note = "\n\nThe whole card is an artifact of the version's run.\n"
    return card[: MAX_DESCRIPTION - len(note)].rpartition("\n")[0] + note


def _complete_version(client: MlflowClient, version: ModelVersion, record: RunRecord, card: str) -> bool:
    """Write the tags that a version lacks, and its card; returns whether anything changed."""
    missing = {tag: value for tag, value in _version_tags(record).items() if version.tags.get(tag) != value}
    # A version that was registered by hand may have no run.
    if version.run_id is not None:
        file, key = f"{version.name}.md", hashlib.sha256(card.encode()).hexdigest()
        sizes = {PurePosixPath(kept.path).name: kept.file_size for kept in client.list_artifacts(version.run_id, CARD)}
        if sizes.get(file) != len(card.encode()) or version.tags.get(CARD) != key:
            client.log_text(version.run_id, card, f"{CARD}/{file}")
            missing[CARD] = key
    for tag, value in missing.items():
        client.set_model_version_tag(version.name, version.version, tag, value)
    description = card_description(card)
    if version.description != description:
        client.update_model_version(version.name, version.version, description)
    return bool(missing) or version.description != description


def _find_version(client: MlflowClient, name: str, key: str) -> ModelVersion | None:
    """The first version of a registered model that holds the model with a content key."""
    found = client.search_model_versions(f"name = '{name}'")
    same = [version for version in found if version.tags.get(runs.CONTENT_KEY) == key]
    return min(same, key=lambda version: int(version.version), default=None)


def _ensure_registered_model(client: MlflowClient, params: Params, selection: RunRecord) -> bool:
    tags, description = selection.tags, _model_description(params, selection.tags["dataset"])
    try:
        kept = {"task": tags["task"], "data": tags["data"]}
        client.create_registered_model(tags["registered_model"], tags=kept, description=description)
    except MlflowException as error:
        if error.error_code != EXISTS_ALREADY:
            raise
        return False
    return True


def _create_version(
    client: MlflowClient, selection: RunRecord, variant: RunRecord, card: str, run_id: str
) -> ModelVersion:
    logged = models.model_of(client, client.get_run(run_id))
    if logged is None:
        raise MlflowException(f"run {run_id} has no model")
    tags = {**_version_tags(variant), "dvc_stage": selection.tags["dvc_stage"]}
    with default_store(client.tracking_uri):
        return client.create_model_version(
            selection.tags["registered_model"],
            source=f"models:/{logged.model_id}",
            run_id=run_id,
            tags=tags,
            description=card_description(card),
            model_id=logged.model_id,
        )


def _version_tags(variant: RunRecord) -> dict[str, str]:
    return {
        runs.CONTENT_KEY: variant.key,
        **{name: variant.tags[name] for name in ("variant", "study", "dataset", "data")},
        "trained_by": variant.tags["dvc_stage"],
        **{f"digest_{version.context}": version.digest for version in variant.datasets},
    }


@contextlib.contextmanager
def default_store(uri: str) -> Iterator[None]:
    """Make a store the process's default, where MLflow looks up `models:/<id>` whatever store the client is for."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        yield
    finally:
        if before is None:
            del os.environ["MLFLOW_TRACKING_URI"]
        else:
            os.environ["MLFLOW_TRACKING_URI"] = before


def _ensure_aliases(client: MlflowClient, version: ModelVersion, task: str, variant: str) -> bool:
    """Make the selected version the challenger, unless it is the champion, or was and has been rolled back.

    Without a champion there is nothing to compare it with, and it becomes the champion.
    """
    number, aliases = int(version.version), _aliases_of(client, version.name)
    if CHAMPION not in aliases:
        decision = Decision(
            action="registered",
            task=task,
            model=version.name,
            version=number,
            variant=variant,
            champion_before=None,
            champion_after=number,
            why="The model had no champion to be held against.",
        )
        _decide(client, version, decision)
        return True
    challenger = None if number == aliases[CHAMPION] or ROLLED_BACK in version.tags else number
    if challenger == aliases.get(CHALLENGER):
        return False
    if challenger is None:
        client.delete_registered_model_alias(version.name, CHALLENGER)
    else:
        client.set_registered_model_alias(version.name, CHALLENGER, str(challenger))
    return True


def record(workspace: Workspace, decision: Decision) -> Decision | None:
    """Record a decision, and move the aliases if it changes the champion.

    None, and nothing is done, if the champion is not `champion_before` any more: another process was faster.
    """
    with opened(workspace) as store, store.lock():
        if _aliases_of(store.client, decision.model).get(CHAMPION) != decision.champion_before:
            return None
        version = store.client.get_model_version(decision.model, str(decision.version))
        return _decide(store.client, version, decision)


def _decide(client: MlflowClient, version: ModelVersion, decision: Decision) -> Decision:
    # First: the other way round an interruption would leave a champion that nothing tells of. This way it leaves a
    # decision without effect, and to decide again mends that.
    written = decisions.write(client, version, decision)
    if decision.champion_after == decision.champion_before:
        return written
    if decision.action == "rolled back":
        client.set_model_version_tag(decision.model, version.version, ROLLED_BACK, written.when)
    elif decision.action == "promoted" and ROLLED_BACK in version.tags:
        client.delete_model_version_tag(decision.model, version.version, ROLLED_BACK)
    client.set_registered_model_alias(decision.model, CHAMPION, str(decision.champion_after))
    if _aliases_of(client, decision.model).get(CHALLENGER) in (decision.version, decision.champion_after):
        client.delete_registered_model_alias(decision.model, CHALLENGER)
    return written


def _aliases_of(client: MlflowClient, name: str) -> dict[str, int]:
    """The numbers of the versions of a registered model that have aliases."""
    return {alias: int(number) for alias, number in client.get_registered_model(name).aliases.items()}


def _model_description(params: Params, data: str) -> str:
    """The inputs and outputs of a registered model, in words."""
    if data in params.signals:
        signal = params.signals[data]
        return (
            f"{signal.title}: the parameters (a, b, c, d) of waves a sin(b x) + c cos(d x), from their values at "
            f"{signal.num_points:,} points x from 0 to {signal.length_in_pi:g} pi (shape (n, {signal.num_points}))."
        )
    return f"{params.datasets[data].title}: class probabilities from raw pixels (0-255, shape (n, 28, 28))."
