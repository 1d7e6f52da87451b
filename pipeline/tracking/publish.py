"""Record in MLflow what a stage has saved: upserts that never fail the stage."""

from __future__ import annotations

from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from pipeline.tracking import registry, runs, store
from pipeline.tracking.stage_table import STAGES


def publish(workspace: Workspace, params: Params, stage: str, item: str) -> None:
    """Bring MLflow to the state of a stage's outputs on an item: runs, cards and registered versions.

    MLflow's failures become a warning on stderr. Raises PipelineError when an output is missing or damaged.
    """
    entry = STAGES[stage]
    records = [*entry.records(workspace, params, item), *entry.completes(workspace, params, item)]
    plan = registry.registration(workspace, params, item) if entry.registers else None
    with store.best_effort(workspace):
        connection = store.connect(workspace)
        for record in records:
            runs.upsert(connection, record)
        if plan is not None:
            registry.register_version(connection, plan)
        if entry.refreshes_cards:
            shown = {record.tags["variant"] for record in records if "variant" in record.tags}
            for task in params.tasks:
                if shown & params.candidates_for(task).keys():
                    registry.refresh_versions(connection, workspace, params, task)
