"""What the stages call once their outputs are saved: upserts that never fail a stage."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from pipeline.tracking import registry, runs, store
from pipeline.tracking.records import RunRecord


def publish(workspace: Workspace, records: Sequence[RunRecord]) -> None:
    """Upsert a run per record; MLflow's troubles become a warning."""
    with store.best_effort(workspace):
        connection = store.connect(workspace)
        for record in records:
            runs.upsert(connection, record)


def publish_evaluation(workspace: Workspace, params: Params, records: Sequence[RunRecord]) -> None:
    """Upsert a run per record, and the cards of the versions that it is about; MLflow's troubles become a warning."""
    evaluated = {record.tags["variant"] for record in records if "variant" in record.tags}
    with store.best_effort(workspace):
        connection = store.connect(workspace)
        for record in records:
            runs.upsert(connection, record)
        for task in params.tasks:
            if evaluated & params.candidates_for(task).keys():
                registry.refresh_versions(connection, workspace, params, task)


def publish_selection(workspace: Workspace, params: Params, task: str) -> None:
    """Register the selected model and record the selection; MLflow's troubles become a warning."""
    plan = registry.registration(workspace, params, task)
    with store.best_effort(workspace):
        connection = store.connect(workspace)
        runs.upsert(connection, plan.selection)
        registry.register_version(connection, plan)
