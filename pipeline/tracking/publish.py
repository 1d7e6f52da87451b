"""Bring MLflow to the state of the outputs: of one stage as it ends, or of all, as `python -m pipeline sync` does.

Runs and versions are created where they are missing, and else completed, so that publishing again changes nothing.
"""

import hashlib
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from mlflow.entities import Run

from pipeline.config.load import FILES
from pipeline.config.params import Params
from pipeline.io import dvc_lock, storage
from pipeline.io.paths import Workspace
from pipeline.tracking import registry, runs
from pipeline.tracking.records.outputs import NotMadeYetError
from pipeline.tracking.records.record import registered_name
from pipeline.tracking.stage_table import STAGES, address
from pipeline.tracking.store import Store, best_effort, connect, opened, quoted

# Tag of an experiment: the last state of a workspace that `synchronize` has brought MLflow to, nothing missing.
SYNCHRONIZED = "synchronized_state"

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
        return sum(map(len, (self.created, self.repaired, self.removed, self.closed)))

    def __str__(self) -> str:
        return (
            f"{len(self.created)} created, {len(self.repaired)} repaired, {len(self.unchanged)} unchanged, "
            f"{len(self.skipped)} skipped (not made yet), {len(self.removed)} removed, "
            f"{len(self.closed)} closed (their process died)"
        )


def publish(workspace: Workspace, params: Params, stage: str, item: str) -> None:
    """Bring MLflow to the state of a stage's outputs on an item: runs, cards and registered versions.

    MLflow's failures become a warning on stderr. Raises PipelineError when an output is missing or damaged.
    """
    entry = STAGES[stage]
    records = [*entry.records(workspace, params, item), *entry.completes(workspace, params, item)]
    with best_effort(workspace):
        store = connect(workspace)
        for record in records:
            runs.upsert(store, record)
        if entry.registers:
            registry.register_version(store, workspace, params, item)
        if entry.refreshes_cards:
            shown = {record.tags["variant"] for record in records if "variant" in record.tags}
            for task in params.tasks:
                if shown & params.candidates_for(task).keys():
                    registry.refresh_versions(store, workspace, params, task)


def complete(workspace: Workspace, params: Params) -> SyncReport | None:
    """Synchronize unless this very state was synchronized before; None then, after one request.

    What somebody has since changed in MLflow by hand is not looked for. Raises as `synchronize` does.
    """
    with opened(workspace) as store:
        known = store.client.search_experiments(filter_string=f"tags.{SYNCHRONIZED} = '{state_of(workspace)}'")
    return None if known else synchronize(workspace, params)


def state_of(workspace: Workspace) -> str:
    """A hash of what decides on the content of MLflow: outputs (by dvc.lock), parameters, reported figures and code."""
    package = Path(__file__).parents[1]
    files = [workspace.root / name for name in (dvc_lock.NAME, *FILES)]
    files += [workspace.reported_results, *sorted(package.rglob("*.py"))]
    hashes = [storage.sha256(path) for path in files if path.is_file()]
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def synchronize(workspace: Workspace, params: Params) -> SyncReport:
    """Bring MLflow to the state of the workspace's outputs, and change nothing that is right.

    Raises PipelineError when MLflow cannot be reached or does not answer as it should.
    """
    report, state = SyncReport(), state_of(workspace)
    experiments: set[str] = set()
    with opened(workspace) as store:
        report.closed.extend(map(_label, runs.close_dead(store, _experiments(store))))
        for stage in STAGES:
            for item in STAGES[stage].items(params):
                try:
                    experiments |= _sync_item(store, report, workspace, params, stage, item)
                except NotMadeYetError:
                    report.skipped.append(address(params, stage, item))
        with store.lock():
            finished = runs.all_runs(store.client, _experiments(store), f"attributes.status = '{runs.FINISHED}'")
            report.removed.extend(map(_label, runs.delete_duplicates(store.client, finished)))
        remove_orphans(store, report)
        if experiments and not report.skipped:
            (first,) = store.client.search_experiments(filter_string=f"name = '{min(experiments)}'")
            store.client.set_experiment_tag(first.experiment_id, SYNCHRONIZED, state)
    return report


def _sync_item(
    store: Store, report: SyncReport, workspace: Workspace, params: Params, stage: str, item: str
) -> set[str]:
    """Synchronize what comes of an item of a stage; returns the names of the experiments that it is in."""
    # Registered first: a selection whose model is not here is not shown either.
    if STAGES[stage].registers:
        outcome = registry.register_version(store, workspace, params, item)
        # Versions that are not selected any more have cards too.
        if registry.refresh_versions(store, workspace, params, item) and outcome == "unchanged":
            outcome = "repaired"
        getattr(report, outcome).append(f"registered model: {registered_name(params, item)}")
    records = STAGES[stage].records(workspace, params, item)
    for record in records:
        outcome, _ = runs.upsert(store, record)
        getattr(report, outcome).append(f"{record.experiment}: {record.name}")
    return {record.experiment for record in records}


def remove_orphans(store: Store, report: SyncReport) -> None:
    """A deleted database leaves its artifact folders behind.

    The file beside the folders is asked what it knows, not MLflow, so that no other database can ever decide; and only
    folders of its experiments are looked at, for other programs may keep theirs beside them.
    """
    root, database = store.location.artifact_root, store.location.database
    if root is None or database is None:
        return
    # Folders first: a run that another process begins meanwhile is in the database before it has a folder.
    folders = list(_artifact_folders(root))
    with closing(sqlite3.connect(database)) as connection:
        # Deleted runs and models are in it too: they can be restored.
        names = connection.execute("SELECT run_uuid FROM runs UNION SELECT model_id FROM logged_models")
        known = {name for (name,) in names}
        places = {place for (place,) in connection.execute("SELECT artifact_location FROM experiments")}
    for folder in folders:
        is_ours = any(quoted(parent) in places for parent in folder.parents if parent.is_relative_to(root))
        if is_ours and folder.name not in known:
            shutil.rmtree(folder)
            report.removed.append(str(folder))


def _artifact_folders(root: Path) -> Iterator[Path]:
    for folder, subfolders, _ in os.walk(root):
        for name in [name for name in subfolders if ARTIFACT_FOLDER.fullmatch(name)]:
            subfolders.remove(name)
            yield Path(folder) / name


def _experiments(store: Store) -> list[str]:
    return [experiment.experiment_id for experiment in store.client.search_experiments()]


def _label(run: Run) -> str:
    return f"{run.info.run_name} ({run.info.run_id})"
