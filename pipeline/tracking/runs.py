"""Upserts of runs: create or complete the run of a record, and write only what is missing or different."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import psutil
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException

from pipeline.io import git
from pipeline.tracking import models
from pipeline.tracking.records.record import Attachment, DatasetVersion, RunRecord
from pipeline.tracking.store import Store, every_page, persistent

CONTENT_KEY = "content_key"
# The environment variable by which DVC tells a stage the name of its experiment.
DVC_EXPERIMENT = "DVC_EXP_NAME"
# Of a child run: the content key of its parent, whose id changes when it is made anew.
PARENT_KEY = "parent_content_key"
PROCESS = "process"
PARENT_RUN = "mlflow.parentRunId"

# MLflow's limits: of points in one request (fewer beside its parameters and tags), and of characters in a digest.
MAX_BATCH = 1000
MAX_METRICS = 800
MAX_DIGEST = 36

# Seconds.
CLOCK_TOLERANCE = 5.0

# Of MLflow's states of a run.
FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"

# What an upsert did.
Outcome = Literal["created", "repaired", "unchanged"]


@persistent
def upsert(store: Store, record: RunRecord, live: Mapping[str, str] = MappingProxyType({})) -> tuple[Outcome, str]:
    """Create the run of a record and its children, or complete those that are there. Returns the run's id too.

    `live` are the ids of live runs by name: those of the record and its children become their runs, and are deleted if
    there is a finished run of the same outputs.
    """
    client, own = store.client, live.get(record.name)
    with store.lock():
        experiment = store.ensure_experiment(record.experiment, record.experiment_tags)
        has_key = f"tags.{CONTENT_KEY} = '{record.key}'"
        known = all_runs(client, [experiment], has_key)
        # A finished one if there are several.
        found = min(known, key=lambda run: (run.info.status != FINISHED, run.info.start_time), default=None)
        if found is not None and (own is None or found.info.status == FINISHED):
            # The record's own last: whoever is killed meanwhile leaves it RUNNING, and `close_dead` those below it.
            for dropped in reversed([*live.values()]):
                _close_and_delete(client, dropped, FINISHED)
            return "repaired" if complete(store, found.info.run_id, record) else "unchanged", found.info.run_id
        if own is not None:
            if found is not None:
                # It was left half written.
                _close_and_delete(client, found.info.run_id)
            client.set_tag(own, CONTENT_KEY, record.key)
            complete(store, own, record, live)
        else:
            _create_whole(store, experiment, record)
        finished = all_runs(client, [experiment], f"{has_key} and attributes.status = '{FINISHED}'")
        deleted = delete_duplicates(client, finished)
        (kept,) = {str(run.info.run_id) for run in finished} - {run.info.run_id for run in deleted}
        return "created", kept


def _create_whole(store: Store, experiment: str, record: RunRecord) -> None:
    """Create the run of a record; no half run is left, because the next attempt may find that of another workspace."""
    run = create_run(store, experiment, record.name, {CONTENT_KEY: record.key, **record.tags}, record.time)
    run_id = run.info.run_id
    try:
        complete(store, run_id, record)
    except MlflowException:
        with contextlib.suppress(MlflowException):
            store.client.delete_run(run_id)
        raise


def delete_duplicates(client: MlflowClient, finished: Iterable[Run]) -> list[Run]:
    """Delete those of the finished runs that have the content key of an older one; returns them.

    Workspaces that share a server do not see each other's lock, and may publish equal outputs at the same time.
    """
    seen, deleted = set(), []
    for run in sorted(finished, key=lambda run: (run.info.start_time, run.info.run_id)):
        identity = (run.info.experiment_id, run.data.tags.get(CONTENT_KEY))
        if CONTENT_KEY in run.data.tags and identity in seen:
            # Another workspace may have deleted it meanwhile.
            with contextlib.suppress(MlflowException):
                client.delete_run(run.info.run_id)
            deleted.append(run)
        seen.add(identity)
    return deleted


def create_run(store: Store, experiment_id: str, name: str, tags: dict[str, str], start_time: int) -> Run:
    """Create a run in state RUNNING, below the run of `mlflow run` if there is one.

    In an experiment of DVC the run has its name too: several experiments train a variant of one name.
    """
    parent, tried = store.parent_run(), os.environ.get(DVC_EXPERIMENT)
    created = {**origin_tags(store), **({PARENT_RUN: parent} if parent else {}), **tags}
    if tried:
        created["dvc_experiment"], name = tried, f"{name} ({tried})"
    return store.client.create_run(experiment_id, start_time=start_time, tags=created, run_name=name)


def origin_tags(store: Store) -> dict[str, str]:
    """Tags of every run that this process creates: the process, and the commit checked out, or why none is known."""
    commit = git.commit(store.root)
    if commit is None:
        return {PROCESS: this_process(), "git_commit_missing": git.refusal(store.root)}
    return {PROCESS: this_process(), "git_commit": commit, "mlflow.source.git.commit": commit}


def complete(store: Store, run_id: str, record: RunRecord, live: Mapping[str, str] = MappingProxyType({})) -> bool:
    """Write what a run and those below it lack; returns whether anything was written.

    FINISHED comes after all else of a run, so that it means complete. `live` is as in `upsert`: such a run ends now.
    """
    client = store.client
    run = client.get_run(run_id)
    changes = [
        _complete_values(client, run, record, record.tags),
        _complete_curves(client, run, record),
        _complete_datasets(client, run, record.datasets),
        *[_complete_attachment(client, run, attachment) for attachment in record.attachments],
        _complete_model(client, run, record),
    ]
    if run.info.status != FINISHED:
        client.set_terminated(run_id, FINISHED, now() if live else record.time)
        changes.append(True)
    if record.children:
        changes.append(_complete_children(store, run, record, live))
    return any(changes)


def all_runs(
    client: MlflowClient, experiments: list[str], filter_string: str = "", view: int = ViewType.ACTIVE_ONLY
) -> list[Run]:
    """All runs that match a filter."""
    return list(every_page(client.search_runs, experiments, filter_string, view, 1000))


def log_points(client: MlflowClient, run_id: str, points: Sequence[Metric]) -> None:
    """Log any number of points."""
    for start in range(0, len(points), MAX_BATCH):
        client.log_batch(run_id, metrics=points[start : start + MAX_BATCH])


def this_process() -> str:
    """Host, process id and start time: from these `sync` finds out whether a run's process is still alive."""
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.0f}"


def is_dead(process: str) -> bool:
    """Whether a process, as named by `this_process`, is known to have ended: it was on this host, and is gone."""
    try:
        host, process_id, start = process.rsplit(" ", 2)
    except ValueError:
        # Runs of other programs on a shared server may have a tag of that name.
        return False
    if host != socket.gethostname():
        return False
    try:
        # The clock of the start times is adjusted now and then.
        return abs(psutil.Process(int(process_id)).create_time() - float(start)) > CLOCK_TOLERANCE
    except psutil.NoSuchProcess:
        return True


def close_dead(store: Store, experiments: list[str]) -> list[Run]:
    """Mark runs that are RUNNING although their process is known to have ended as KILLED; returns them.

    The live runs below them too: as FINISHED ones, configurations would be there twice once the search has gone on.
    """
    dead = [
        run
        for run in all_runs(store.client, experiments, "attributes.status = 'RUNNING'")
        if PROCESS in run.data.tags and is_dead(run.data.tags[PROCESS])
    ]
    for run in dead:
        close(store.client, run, KILLED)
        for child in all_runs(store.client, experiments, f"tags.`{PARENT_RUN}` = '{run.info.run_id}'"):
            if child.info.status == FINISHED and CONTENT_KEY not in child.data.tags:
                close(store.client, child, KILLED)
    return dead


def close(client: MlflowClient, run: Run, status: str) -> None:
    """Give a run its final status; its end is now, unless it has one already."""
    client.set_terminated(run.info.run_id, status, end_time=run.info.end_time)


def now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


def _complete_values(client: MlflowClient, run: Run, record: RunRecord, tags: Mapping[str, str]) -> bool:
    """Write the parameters that a run lacks, and the tags and metrics that differ, in one request if they are few."""
    # MLflow's parameters never change: where others gave the same outputs, the first ones stay.
    params = [Param(name, value) for name, value in record.params.items() if name not in run.data.params]
    changed_tags = [RunTag(name, value) for name, value in tags.items() if run.data.tags.get(name) != value]
    known = run.data.metrics
    points = [
        Metric(name, value, _metric_time(client, run, record, name), step=0)
        for name, value in record.metrics.items()
        if name not in known or not np.array_equal(known[name], value, equal_nan=True)
    ]
    if params or changed_tags or points:
        client.log_batch(run.info.run_id, points[:MAX_METRICS], params, changed_tags)
        log_points(client, run.info.run_id, points[MAX_METRICS:])
    return bool(params or changed_tags or points)


def _complete_children(store: Store, run: Run, record: RunRecord, live: Mapping[str, str]) -> bool:
    """Create the runs below a run, or write what they lack; returns whether anything was written.

    As a search has dozens of children, one request finds them all, and one more writes what a child lacks.
    """
    client, experiment = store.client, run.info.experiment_id
    found = all_runs(client, [experiment], f"tags.{PARENT_KEY} = '{record.key}'")
    known = {child.data.tags.get(CONTENT_KEY): child for child in found}
    created = origin_tags(store)
    changes = []
    for item in record.children:
        child, live_id = known.get(item.key), live.get(item.name)
        if child is None and live_id is not None:
            child = client.get_run(live_id)
        elif live_id is not None:
            _close_and_delete(client, live_id)
        tags = {**item.tags, CONTENT_KEY: item.key, PARENT_KEY: record.key, PARENT_RUN: run.info.run_id}
        if child is None:
            child = client.create_run(experiment, start_time=item.time, tags={**created, **tags}, run_name=item.name)
        changes.append(_complete_values(client, child, item, tags))
        if child.info.status != FINISHED:
            client.set_terminated(child.info.run_id, FINISHED, end_time=item.time)
            changes.append(True)
    return any(changes)


def _metric_time(client: MlflowClient, run: Run, record: RunRecord, name: str) -> int:
    """When a metric was logged: later than the value that it replaces, because MLflow shows the latest."""
    if name not in run.data.metrics:
        return record.time
    latest = max(point.timestamp for point in client.get_metric_history(run.info.run_id, name))
    return int(max(record.time, latest + 1))


def _complete_curves(client: MlflowClient, run: Run, record: RunRecord) -> bool:
    names = {name for name, _, _ in record.curves}
    if run.info.status == FINISHED and names <= run.data.metrics.keys():
        # A finished run has all points of its curves. To read them all would take seconds for forty runs.
        return False
    histories = {name: client.get_metric_history(run.info.run_id, name) for name in names & run.data.metrics.keys()}
    known = {(name, point.step) for name, history in histories.items() for point in history}
    last = max((epoch for _, epoch, _ in record.curves), default=0)
    missing = [
        # The outputs do not say how long an epoch took: one millisecond keeps the points in order.
        Metric(name, value, record.time - last + epoch, step=epoch)
        for name, epoch, value in record.curves
        if (name, epoch) not in known
    ]
    log_points(client, run.info.run_id, missing)
    return bool(missing)


def _complete_datasets(client: MlflowClient, run: Run, versions: tuple[DatasetVersion, ...]) -> bool:
    known = {(item.dataset.name, item.dataset.digest) for item in (run.inputs.dataset_inputs if run.inputs else [])}
    missing = []
    for version in versions:
        if (version.name, version.digest[:MAX_DIGEST]) not in known:
            tensors = {"features": version.inputs, "targets": version.targets}
            schemas = {name: models.schema(tensor).to_json() for name, tensor in tensors.items()}
            dataset = Dataset(
                name=version.name,
                digest=version.digest[:MAX_DIGEST],
                source_type=version.source_kind,
                source=json.dumps(dict(version.source)),
                schema=json.dumps({"mlflow_tensorspec": schemas}),
                profile=json.dumps({"num_rows": version.num_rows, "sha256": version.digest}),
            )
            missing.append(DatasetInput(dataset, tags=[InputTag("mlflow.data.context", version.context)]))
    if missing:
        client.log_inputs(run.info.run_id, missing)
    return bool(missing)


def _complete_attachment(client: MlflowClient, run: Run, attachment: Attachment) -> bool:
    tag = f"{attachment.folder}_key"
    sizes = {Path(item.path).name: item.file_size for item in client.list_artifacts(run.info.run_id, attachment.folder)}
    whole = all(sizes.get(path.name) == path.stat().st_size for path in attachment.files)
    if whole and run.data.tags.get(tag) == attachment.key:
        return False
    for path in attachment.files:
        client.log_artifact(run.info.run_id, str(path), attachment.folder)
    client.set_tag(run.info.run_id, tag, attachment.key)
    return True


def _complete_model(client: MlflowClient, run: Run, record: RunRecord) -> bool:
    if record.model is None or models.has_whole_model(client, run, record.model):
        return False
    tags = {CONTENT_KEY: record.key, **{name: value for name, value in record.tags.items() if "." not in name}}
    models.log_model(client, client.get_run(run.info.run_id), record.model, tags)
    return True


def _close_and_delete(client: MlflowClient, run_id: str, status: str = KILLED) -> None:
    client.set_terminated(run_id, status)
    client.delete_run(run_id)
