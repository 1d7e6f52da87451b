"""Registered models: the selected variant of a task becomes a version, found again by its content key."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from pipeline.params import Params
from pipeline.paths import Workspace
from pipeline.tracking import models, records, runs
from pipeline.tracking.records import RunRecord
from pipeline.tracking.runs import Outcome
from pipeline.tracking.store import Store

CHALLENGER = "challenger"
CHAMPION = "champion"

# Of a candidate, in the description of its version: which have it depends on what the model is for.
SHOWN_FIGURES = {
    "val_accuracy": ("validation accuracy", "{:.2%}"),
    "val_cross_entropy": ("validation cross-entropy", "{:.4f}"),
    "val_mean_absolute_error": ("validation mean absolute error", "{:.4f}"),
    "parameters": ("parameters", "{:,.0f}"),
}


@dataclass(frozen=True)
class Registration:
    """The model of a variant that should be a version of a registered model, and why."""

    name: str
    description: str
    variant: RunRecord
    selection: RunRecord


def registration(workspace: Workspace, params: Params, task: str) -> Registration:
    """Read what was selected for a task. Raises PipelineError when it, or the selected model, is missing."""
    selection = records.selection_record(workspace, params, task)
    name = selection.params["selected"]
    if name not in params.all_variants:
        raise records.NotMadeYetError(
            f"{workspace.selection(task)}: selects {name!r}, which params.yaml no longer has. Run `dvc repro`."
        )
    variant = records.variant_record(workspace, params, name, params.all_variants[name].study)
    return Registration(
        name=records.registered_name(params, task),
        description=_model_description(params, params.tasks[task].dataset),
        variant=variant,
        selection=selection,
    )


def register_version(store: Store, plan: Registration) -> Outcome:
    """Upsert the version that holds the variant's model, and its aliases. The variant's run is published if need be."""
    run_id = runs.upsert(store, plan.variant)[1]
    with store.lock():
        new_model = _ensure_registered_model(store.client, plan)
        version = find_version(store.client, plan.name, plan.variant.key)
        new_version = version is None
        if version is None:
            version = _create_version(store.client, plan, run_id)
        moved = _ensure_aliases(store.client, plan.name, version)
    if new_version:
        return Outcome.CREATED
    return Outcome.REPAIRED if new_model or moved else Outcome.UNCHANGED


def find_version(client: MlflowClient, name: str, key: str) -> ModelVersion | None:
    """The version of a registered model that holds the model with a content key."""
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.tags.get(runs.CONTENT_KEY) == key:
            return version
    return None


def _ensure_registered_model(client: MlflowClient, plan: Registration) -> bool:
    try:
        client.get_registered_model(plan.name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
        tags = {"task": plan.selection.tags["task"], "data": plan.selection.tags["data"]}
        client.create_registered_model(plan.name, tags=tags, description=plan.description)
        return True
    return False


def _create_version(client: MlflowClient, plan: Registration, run_id: str) -> ModelVersion:
    logged = models.model_of(client, client.get_run(run_id))
    if logged is None:
        raise MlflowException(f"run {run_id} has no model")
    tags = {
        runs.CONTENT_KEY: plan.variant.key,
        **{name: plan.variant.tags[name] for name in ("variant", "study", "dataset", "data")},
        "dvc_stage": plan.selection.tags["dvc_stage"],
        "trained_by": plan.variant.tags["dvc_stage"],
        **{f"digest_{version.context}": version.digest for version in plan.variant.datasets},
    }
    with _default_store(client.tracking_uri):
        return client.create_model_version(
            plan.name,
            source=f"models:/{logged.model_id}",
            run_id=run_id,
            tags=tags,
            description=_description(plan),
            model_id=logged.model_id,
        )


@contextlib.contextmanager
def _default_store(uri: str) -> Iterator[None]:
    """MLflow looks up `models:/<id>` in the process's default store, whatever store the client was made for."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        yield
    finally:
        if before is None:
            del os.environ["MLFLOW_TRACKING_URI"]
        else:
            os.environ["MLFLOW_TRACKING_URI"] = before


def _ensure_aliases(client: MlflowClient, name: str, version: ModelVersion) -> bool:
    """The selected version is the challenger; a model without a champion takes it as champion too."""
    aliases = client.get_registered_model(name).aliases
    wanted = {CHALLENGER: str(version.version)}
    if CHAMPION not in aliases:
        wanted[CHAMPION] = str(version.version)
    moves = {alias: number for alias, number in wanted.items() if str(aliases.get(alias)) != number}
    for alias, number in moves.items():
        client.set_registered_model_alias(name, alias, number)
    return bool(moves)


def _model_description(params: Params, data: str) -> str:
    """What goes into a registered model, and what comes out."""
    if data in params.signals:
        signal = params.signals[data]
        return (
            f"{signal.title}: the parameters (a, b, c, d) of waves a sin(b x) + c cos(d x), from their values at "
            f"{signal.num_points:,} points x from 0 to {signal.length_in_pi:g} pi (shape (n, {signal.num_points}))."
        )
    return f"{params.datasets[data].title}: class probabilities from raw pixels (0-255, shape (n, 28, 28))."


def _description(plan: Registration) -> str:
    """Markdown: the variant behind a version, the figures that it was selected by, and why."""
    selection, variant = plan.selection, plan.variant
    shown = {
        title: text.format(selection.figures[figure])
        for figure, (title, text) in SHOWN_FIGURES.items()
        if figure in selection.figures
    }
    return "\n".join(
        [
            f"**{selection.params['selected']}** of {variant.tags['study']}, trained by `{variant.tags['dvc_stage']}`",
            "",
            f"| {' | '.join(shown)} |",
            "|---" * len(shown) + "|",
            f"| {' | '.join(shown.values())} |",
            "",
            f"Selected by {selection.params['metric']}, tolerance {selection.params['tolerance']}, of "
            f"{selection.figures['num_candidates']:.0f} candidates. {selection.tags['mlflow.note.content']}",
        ]
    )
