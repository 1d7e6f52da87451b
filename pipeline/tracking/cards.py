"""Model cards in the registry: the description of a version, and an artifact of its run."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from pipeline import cards
from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from pipeline.tracking.records.record import RunRecord

FOLDER = "model_card"
TAG = "model_card"
# What a database other than SQLite keeps of a description.
MAX_DESCRIPTION = 5000


def card(workspace: Workspace, params: Params, task: str, variant: RunRecord) -> str:
    """The card of a variant as the model of a task, from the outputs of the stages alone."""
    return cards.card(
        workspace,
        params,
        task,
        variant.tags["variant"],
        cards.Training(
            stage=variant.tags["dvc_stage"],
            settings=variant.params,
            content_key=variant.key,
        ),
    )


def description(text: str) -> str:
    """A card as far as the registry can show it, to the last whole line."""
    if len(text) <= MAX_DESCRIPTION:
        return text
    note = "\n\nThe whole card is an artifact of the version's run.\n"
    return text[: MAX_DESCRIPTION - len(note)].rpartition("\n")[0] + note


def publish(client: MlflowClient, version: ModelVersion, text: str) -> bool:
    """Show a card as the version's description and keep it with its run, unless it is there."""
    is_kept = version.run_id is None or _is_kept(client, version, version.run_id, text)
    is_shown = version.description == description(text)
    if version.run_id is not None and not is_kept:
        client.log_text(version.run_id, text, f"{FOLDER}/{version.name}.md")
        client.set_model_version_tag(version.name, version.version, TAG, _key(text))
    if not is_shown:
        client.update_model_version(version.name, version.version, description(text))
    return not (is_kept and is_shown)


def _is_kept(client: MlflowClient, version: ModelVersion, run_id: str, text: str) -> bool:
    sizes = {PurePosixPath(item.path).name: item.file_size for item in client.list_artifacts(run_id, FOLDER)}
    return sizes.get(f"{version.name}.md") == len(text.encode()) and version.tags.get(TAG) == _key(text)


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
