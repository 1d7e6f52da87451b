"""Upserts: bring one run to the state of its record, writing only what is missing or different."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import psutil
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    Metric,
    Param,
    Run,
    RunStatus,
    RunTag,
    ViewType,
)
from mlflow.types import Schema, TensorSpec

from pipeline.tracking import models
from pipeline.tracking.records import Attachment, CurvePoint, DatasetVersion, RunRecord
from pipeline.tracking.store import Store

CONTENT_KEY = "content_key"
PROCESS = "process"
PARENT_RUN = "mlflow.parentRunId"

# MLflow's limits: of points in one request, and of characters in a digest.
MAX_BATCH = 1000
MAX_DIGEST = 36

# Seconds.
CLOCK_TOLERANCE = 5.0

FINISHED = RunStatus.to_string(RunStatus.FINISHED)
KILLED = RunStatus.to_string(RunStatus.KILLED)


class Outcome(Enum):
    """What an upsert had to do."""

    CREATED = "created"
    REPAIRED = "repaired"
    UNCHANGED = "unchanged"


def upsert(store: Store, record: RunRecord) -> tuple[Outcome, str]:
    """Create the run of a record, or complete the one that is there. Returns the run's id too."""
    with store.lock():
        experiment = ensure_experiment(store, record)
        existing = find_run(store.client, experiment, record.key)
        if existing is None:
            tags = {CONTENT_KEY: record.key, **record.tags}
            run = create_run(store, experiment, record.name, tags, start_time=record.time)
            complete(store.client, run.info.run_id, record)
            return Outcome.CREATED, run.info.run_id
        changed = complete(store.client, existing.info.run_id, record)
        return Outcome.REPAIRED if changed else Outcome.UNCHANGED, existing.info.run_id


def complete_live(store: Store, run_id: str, record: RunRecord) -> None:
    """Make a live run the run of a record, or drop it if a finished run has the same outputs."""
    with store.lock():
        experiment = ensure_experiment(store, record)
        existing = find_run(store.client, experiment, record.key)
        if existing is not None and existing.info.status == FINISHED:
            store.client.set_terminated(run_id, FINISHED)
            store.client.delete_run(run_id)
            complete(store.client, existing.info.run_id, record)
            return
        if existing is not None:
            _close_and_delete(store.client, existing)
        store.client.set_tag(run_id, CONTENT_KEY, record.key)
        complete(store.client, run_id, record, end_time=now())


def ensure_experiment(store: Store, record: RunRecord) -> str:
    """The id of a record's experiment."""
    return store.ensure_experiment(record.experiment, dict(record.experiment_tags))


def find_run(client: MlflowClient, experiment_id: str, key: str) -> Run | None:
    """The run with a content key, a finished one if there are several."""
    runs = all_runs(client, [experiment_id], f"tags.{CONTENT_KEY} = '{key}'")
    return min(runs, key=lambda run: (run.info.status != FINISHED, run.info.start_time), default=None)


def create_run(store: Store, experiment_id: str, name: str, tags: dict[str, str], start_time: int) -> Run:
    """Create a run in state RUNNING, below the run of `mlflow run` if there is one."""
    parent = store.parent_run()
    created = {
        **tags,
        PROCESS: this_process(),
        **({PARENT_RUN: parent} if parent else {}),
        **_git_commit(store.root),
    }
    return store.client.create_run(experiment_id, start_time=start_time, tags=created, run_name=name)


def complete(client: MlflowClient, run_id: str, record: RunRecord, end_time: int | None = None) -> bool:
    """Write what a run lacks. FINISHED comes last, so that it means complete. Returns whether anything was written."""
    run = client.get_run(run_id)
    changes = [
        _complete_params_and_tags(client, run, record),
        _complete_figures(client, run, record),
        _complete_curves(client, run, record),
        _complete_datasets(client, run, record.datasets),
        *[_complete_attachment(client, run, attachment) for attachment in record.attachments],
        _complete_model(client, run, record),
    ]
    if run.info.status != FINISHED:
        client.set_terminated(run_id, FINISHED, end_time=record.time if end_time is None else end_time)
        return True
    return any(changes)


def all_runs(
    client: MlflowClient, experiments: list[str], filter_string: str = "", view: int = ViewType.ACTIVE_ONLY
) -> list[Run]:
    """All runs that match, from every page of the answer."""
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs(experiments, filter_string, run_view_type=view, max_results=1000, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def log_points(client: MlflowClient, run_id: str, points: Iterable[Metric]) -> None:
    """Log any number of points."""
    remaining = iter(points)
    while batch := list(islice(remaining, MAX_BATCH)):
        client.log_batch(run_id, metrics=batch)


def log_params(client: MlflowClient, run_id: str, params: Mapping[str, str]) -> None:
    """Log parameters that the run does not have yet."""
    client.log_batch(run_id, params=[Param(name, value) for name, value in params.items()])


def this_process() -> str:
    """Host, process id and start time, by which `sync` tells whether a run's process is still alive."""
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.0f}"


def is_dead(process: str) -> bool:
    """Whether a process that `this_process` named is known to have ended: it was on this host, and is gone."""
    host, process_id, start = process.rsplit(" ", 2)
    if host != socket.gethostname():
        return False
    try:
        # The clock that start times are told by is adjusted at times.
        return abs(psutil.Process(int(process_id)).create_time() - float(start)) > CLOCK_TOLERANCE
    except psutil.NoSuchProcess:
        return True


def now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


def _complete_params_and_tags(client: MlflowClient, run: Run, record: RunRecord) -> bool:
    # MLflow's parameters never change. Other parameters that give the same outputs leave the first ones in place.
    params = [Param(name, value) for name, value in record.params.items() if name not in run.data.params]
    tags = [RunTag(name, value) for name, value in record.tags.items() if run.data.tags.get(name) != value]
    if params or tags:
        client.log_batch(run.info.run_id, params=params, tags=tags)
    return bool(params or tags)


def _complete_figures(client: MlflowClient, run: Run, record: RunRecord) -> bool:
    known = run.data.metrics
    different = [name for name, value in record.figures.items() if name not in known or not _same(known[name], value)]
    log_points(
        client,
        run.info.run_id,
        [Metric(name, record.figures[name], _figure_time(client, run, record, name), step=0) for name in different],
    )
    return bool(different)


def _figure_time(client: MlflowClient, run: Run, record: RunRecord, name: str) -> int:
    """A figure that replaces another must be younger, because MLflow shows the youngest."""
    if name not in run.data.metrics:
        return record.time
    youngest = max(point.timestamp for point in client.get_metric_history(run.info.run_id, name))
    return int(max(record.time, youngest + 1))


def _complete_curves(client: MlflowClient, run: Run, record: RunRecord) -> bool:
    names = {point.name for point in record.curves}
    if run.info.status == FINISHED and names <= run.data.metrics.keys():
        # A run is finished when its curves are whole; a history of each would cost seconds for forty runs.
        return False
    missing = list(_missing_points(client, run, record.curves))
    last = max((point.step for point in record.curves), default=0)
    log_points(
        client,
        run.info.run_id,
        # How long an epoch took is in no output: one millisecond keeps them in order.
        (Metric(point.name, point.value, record.time - last + point.step, step=point.step) for point in missing),
    )
    return bool(missing)


def _missing_points(client: MlflowClient, run: Run, curves: tuple[CurvePoint, ...]) -> Iterator[CurvePoint]:
    by_name = sorted(curves, key=lambda point: (point.name, point.step))
    for name, points in groupby(by_name, key=lambda point: point.name):
        known = name in run.data.metrics
        steps = {point.step for point in client.get_metric_history(run.info.run_id, name)} if known else set()
        yield from (point for point in points if point.step not in steps)


def _complete_datasets(client: MlflowClient, run: Run, versions: tuple[DatasetVersion, ...]) -> bool:
    inputs = run.inputs.dataset_inputs if run.inputs else []
    known = {(item.dataset.name, item.dataset.digest) for item in inputs}
    missing = [item for item in versions if (item.name, item.digest[:MAX_DIGEST]) not in known]
    if missing:
        client.log_inputs(run.info.run_id, [_dataset_input(item) for item in missing])
    return bool(missing)


def _dataset_input(version: DatasetVersion) -> DatasetInput:
    pixels = np.dtype(np.uint8)
    features = Schema([TensorSpec(pixels, (-1, *models.IMAGE_SHAPE))])
    targets = Schema([TensorSpec(pixels, (-1,))])
    dataset = Dataset(
        name=version.name,
        digest=version.digest[:MAX_DIGEST],
        source_type=version.source_kind,
        source=json.dumps(dict(version.source)),
        schema=json.dumps({"mlflow_tensorspec": {"features": features.to_json(), "targets": targets.to_json()}}),
        profile=json.dumps({"num_rows": version.num_rows, "sha256": version.digest}),
    )
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", version.context)])


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
    if record.model is None:
        return False
    logged = models.model_of(client, run)
    if logged is not None and models.is_whole(client, logged):
        return False
    complete_run = client.get_run(run.info.run_id)
    tags = {CONTENT_KEY: record.key, **{name: value for name, value in record.tags.items() if "." not in name}}
    models.log_model(client, complete_run, record.model, tags)
    return True


def _close_and_delete(client: MlflowClient, run: Run) -> None:
    client.set_terminated(run.info.run_id, KILLED)
    client.delete_run(run.info.run_id)


def _same(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))


def _git_commit(root: Path) -> dict[str, str]:
    """The commit that is checked out; nothing outside a git repository."""
    command = ["git", "-C", str(root), "rev-parse", "--verify", "--quiet", "HEAD"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    commit = result.stdout.strip()
    return {"git_commit": commit, "mlflow.source.git.commit": commit} if result.returncode == 0 and commit else {}
