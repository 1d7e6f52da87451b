"""The live run of a training stage: its curves can be watched while it trains; and what every live run does."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import resource
import socket
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from mlflow.entities import Metric, RunStatus

from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from pipeline.tracking import records, runs
from pipeline.tracking.records import RunRecord
from pipeline.tracking.store import MLFLOW_ERRORS, Store, best_effort, connect, warn

FLUSH_SECONDS = 2.0
PACKAGES = ("keras", "tensorflow", "jax", "numpy", "mlflow")

# What a live run is told, one row at a time.
Row = TypeVar("Row")
# An epoch, its values and when it ended.
Epoch = tuple[int, dict[str, float], int]


class EpochLog(Protocol):
    """What a training stage writes to."""

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Log the values of an epoch, counted from 1: one point per name."""


class UnrecordedRun:
    """Stands in for a run that MLflow could not open."""

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Do nothing: MLflow's trouble was told when the run should have been opened."""


class LiveRun(ABC, Generic[Row]):
    """Collects what a stage tells of its run and sends it to MLflow from a thread of its own.

    The stage never waits for MLflow: sending is about as costly as an epoch of a small network, and may take a minute
    when a server dies. After the first failure nothing more is sent. Between two sendings lie `pause` seconds at least.
    """

    def __init__(self, workspace: Workspace, store: Store, run_id: str, pause: float) -> None:
        self.store = store
        self.run_id = run_id
        self.broken = False
        self._workspace = workspace
        self._pause = pause
        self._rows: list[Row] = []
        self._sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mlflow")
        self._sending: Future[None] | None = None
        self._last_sent = -pause

    @abstractmethod
    def log_rows(self, rows: list[Row]) -> None:
        """Write rows to MLflow; called in the thread that sends."""

    def unfinished_runs(self) -> list[str]:
        """The runs that must be closed when the stage does not end well."""
        return [self.run_id]

    def add(self, row: Row) -> None:
        """Send a row soon."""
        if self.broken:
            return
        self._rows.append(row)
        if time.monotonic() - self._last_sent >= self._pause and self._is_idle():
            self._send()

    def flush(self) -> None:
        """Send what is left, and wait until it is there."""
        if self._sending is not None and not self.broken:
            self._check(self._sending)
        if self._rows and not self.broken:
            self._send()
            self._check(self._sending)
        self._sender.shutdown(wait=False, cancel_futures=True)

    def _is_idle(self) -> bool:
        if self._sending is None:
            return True
        if not self._sending.done():
            return False
        self._check(self._sending)
        return not self.broken

    def _send(self) -> None:
        rows, self._rows = self._rows, []
        self._last_sent = time.monotonic()
        self._sending = self._sender.submit(self.log_rows, rows)

    def _check(self, sending: Future[None] | None) -> None:
        if sending is None:
            return
        try:
            sending.result()
        except MLFLOW_ERRORS as error:
            self.broken = True
            self._rows.clear()
            warn(self._workspace, error)


class TrainingRun(LiveRun[Epoch]):
    """The run of a training: a point per epoch and figure."""

    def __init__(self, workspace: Workspace, store: Store, run_id: str, num_epochs: int) -> None:
        super().__init__(workspace, store, run_id, FLUSH_SECONDS)
        self._num_epochs = num_epochs

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Log the values of an epoch, counted from 1: one point per name."""
        if records.is_logged(epoch, self._num_epochs):
            self.add((epoch, dict(values), runs.now()))

    def log_rows(self, rows: list[Epoch]) -> None:
        """Write the points of epochs to MLflow."""
        points = [
            Metric(name, float(value), moment, step=epoch)
            for epoch, values, moment in rows
            for name, value in values.items()
        ]
        runs.log_points(self.store.client, self.run_id, points)


@contextlib.contextmanager
def training_run(workspace: Workspace, params: Params, name: str) -> Iterator[EpochLog]:
    """See pipeline.tracking.training_run."""
    start = time.monotonic()
    run = _try_to_open(workspace, params, name)
    try:
        yield run or UnrecordedRun()
        home, *others = records.variant_records(workspace, params, name, is_just_trained=True)
        if run is None:
            try_again(workspace, [home, *others])
        else:
            _finish(workspace, run, home, others, wall_seconds=time.monotonic() - start)
    except BaseException as error:
        if run is not None:
            abandon(run, error)
        raise


def _try_to_open(workspace: Workspace, params: Params, name: str) -> TrainingRun | None:
    try:
        return _open(workspace, params, name)
    except MLFLOW_ERRORS as error:
        warn(workspace, error)
        return None


def _open(workspace: Workspace, params: Params, name: str) -> TrainingRun:
    store = connect(workspace)
    variant = params.all_variants[name]
    note = params.title_of(variant.study)
    with store.lock():
        experiment = store.ensure_experiment(
            records.experiment_name(params, variant.dataset, variant.study),
            records.experiment_tags(params, variant.dataset, note),
        )
        # Those of a training that was shot, perhaps of this very variant.
        runs.close_dead(store, [experiment])
        tags = {**records.variant_tags(params, name, variant.study), **machine_tags()}
        run_id = runs.create_run(store, experiment, name, tags, start_time=runs.now()).info.run_id
    runs.log_params(store.client, run_id, records.variant_params(workspace, params, name))
    return TrainingRun(workspace, store, run_id, variant.epochs)


def _finish(
    workspace: Workspace, run: TrainingRun, home: RunRecord, others: list[RunRecord], *, wall_seconds: float
) -> None:
    """Complete the live run from the saved outputs, and the variant's runs in other studies."""
    run.flush()
    costs = {"wall_seconds": wall_seconds, "peak_memory_mib": _peak_memory()}
    # A server that died during the training may be back; that it died was said then.
    with contextlib.suppress(*MLFLOW_ERRORS) if run.broken else best_effort(workspace):
        connect(workspace)
        moment = runs.now()
        runs.log_points(run.store.client, run.run_id, [Metric(key, value, moment, 0) for key, value in costs.items()])
        runs.complete_live(run.store, run.run_id, home)
        for record in others:
            runs.upsert(run.store, record)


def try_again(workspace: Workspace, wanted: list[RunRecord]) -> None:
    """Publish without a live run, should MLflow be back; that it was away was said at the start."""
    with contextlib.suppress(*MLFLOW_ERRORS):
        store = connect(workspace)
        for record in wanted:
            runs.upsert(store, record)


def abandon(run: LiveRun[Row], error: BaseException) -> None:
    """Close the run of a stage that did not end well, which the user is told by other means."""
    run.flush()
    status = RunStatus.to_string(RunStatus.FAILED if isinstance(error, Exception) else RunStatus.KILLED)
    with contextlib.suppress(*MLFLOW_ERRORS):
        for run_id in run.unfinished_runs():
            runs.close(run.store.client, run.store.client.get_run(run_id), status)


def machine_tags() -> dict[str, str]:
    """What may change from run to run without changing the outputs: kept out of every other run."""
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[f"version.{package}"] = importlib.metadata.version(package)
    return {
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "num_cpus": str(os.cpu_count()),
        "version.python": platform.python_version(),
        **versions,
    }


def _peak_memory() -> float:
    """The largest memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
