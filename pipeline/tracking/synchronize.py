"""Bring MLflow to the state of the workspace's outputs: what `python -m pipeline sync` does."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlflow.entities import ViewType

from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from pipeline.tracking import registry, runs
from pipeline.tracking.records.record import NotMadeYetError
from pipeline.tracking.runs import Outcome
from pipeline.tracking.stage_table import STAGES, address
from pipeline.tracking.store import Store, connect, every_page, explained

# Folders that MLflow makes for a run or a logged model.
ARTIFACT_FOLDER = re.compile(r"(m-)?[0-9a-f]{32}")


@dataclass(frozen=True)
class SyncReport:
    """What a sync did, by name: runs and registered models as `experiment: run`, folders as paths.

    `skipped` lacks outputs here, `removed` are duplicates and folders that nothing refers to, `closed` are runs whose
    process died.
    """

    created: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    @property
    def num_changes(self) -> int:
        return len(self.created) + len(self.repaired) + len(self.removed) + len(self.closed)

    def __str__(self) -> str:
        return (
            f"{len(self.created)} created, {len(self.repaired)} repaired, {len(self.unchanged)} unchanged, "
            f"{len(self.skipped)} skipped (not made yet), {len(self.removed)} removed, "
            f"{len(self.closed)} closed (their process died)"
        )

    def add(self, outcome: Outcome, name: str) -> None:
        lists = {Outcome.CREATED: self.created, Outcome.REPAIRED: self.repaired, Outcome.UNCHANGED: self.unchanged}
        lists[outcome].append(name)


def synchronize(workspace: Workspace, params: Params) -> SyncReport:
    """Bring MLflow to the state of the workspace's outputs, and change nothing that is right.

    Raises PipelineError when MLflow cannot be reached or does not answer as it should.
    """
    report = SyncReport()
    with explained(workspace):
        store = connect(workspace)
        _close_dead_runs(store, report)
        for stage in STAGES:
            for item in STAGES[stage].items(params):
                try:
                    _sync_item(store, report, workspace, params, stage, item)
                except NotMadeYetError:
                    report.skipped.append(address(params, stage, item))
        _remove_duplicates(store, report)
        _remove_orphans(store, report)
    return report


def _sync_item(store: Store, report: SyncReport, workspace: Workspace, params: Params, stage: str, item: str) -> None:
    entry = STAGES[stage]
    # Before anything is written: a selection whose model is not here is not shown either.
    plan = registry.registration(workspace, params, item) if entry.registers else None
    for record in entry.records(workspace, params, item):
        report.add(runs.upsert(store, record)[0], f"{record.experiment}: {record.name}")
    if plan is not None:
        outcome = registry.register_version(store, plan)
        # Versions that are not selected any more have cards too.
        if registry.refresh_versions(store, workspace, params, item) and outcome is Outcome.UNCHANGED:
            outcome = Outcome.REPAIRED
        report.add(outcome, f"registered model: {plan.name}")


def _close_dead_runs(store: Store, report: SyncReport) -> None:
    for run in runs.close_dead(store, _experiments(store)):
        report.closed.append(f"{run.info.run_name} ({run.info.run_id})")


def _remove_duplicates(store: Store, report: SyncReport) -> None:
    """Two hosts that publish at once do not see each other's lock: keep the oldest of equal runs."""
    with store.lock():
        finished = runs.all_runs(store.client, _experiments(store), "attributes.status = 'FINISHED'")
        keyed = [run for run in finished if runs.CONTENT_KEY in run.data.tags]
        seen: Counter[tuple[str, str]] = Counter()
        for run in sorted(keyed, key=lambda run: int(run.info.start_time)):
            identity = (run.info.experiment_id, run.data.tags[runs.CONTENT_KEY])
            seen[identity] += 1
            if seen[identity] > 1:
                store.client.delete_run(run.info.run_id)
                report.removed.append(f"{run.info.run_name} ({run.info.run_id})")


def _remove_orphans(store: Store, report: SyncReport) -> None:
    """A deleted database leaves its artifact folders behind."""
    root = store.location.artifact_root
    if root is None:
        return
    # Folders first: a run that another process begins meanwhile is in the database before it has a folder.
    folders = list(_artifact_folders(root))
    known = _known_ids(store)
    for folder in folders:
        if folder.name not in known:
            shutil.rmtree(folder)
            report.removed.append(str(folder))


def _artifact_folders(root: Path) -> Iterator[Path]:
    for folder, subfolders, _ in os.walk(root):
        for name in [name for name in subfolders if ARTIFACT_FOLDER.fullmatch(name)]:
            subfolders.remove(name)
            yield Path(folder) / name


def _known_ids(store: Store) -> set[str]:
    """The ids of all runs and logged models, deleted ones included: those can be restored."""
    experiments = _experiments(store, ViewType.ALL)
    known = {run.info.run_id for run in runs.all_runs(store.client, experiments, view=ViewType.ALL)}
    for experiment in experiments:
        known |= {model.model_id for model in every_page(store.client.search_logged_models, [experiment])}
    return known


def _experiments(store: Store, view: int = ViewType.ACTIVE_ONLY) -> list[str]:
    return [experiment.experiment_id for experiment in store.client.search_experiments(view_type=view)]
