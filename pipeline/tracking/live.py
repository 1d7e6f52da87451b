"""Runs that MLflow shows while their stage is at work: of a training, and of a search with its configurations.

A thread of the run's own writes to MLflow, so that a stage never waits for it. MLflow's own asynchronous logging cannot
take its place: it creates and closes no runs, which a search needs for each configuration, and it goes on after a
failure. Measured with 200 epochs of 5 ms: when the server was killed after 50, it logged 199 errors, and an epoch took
2.3 times as long as without logging (1.1 to 1.2 times with this thread, and one warning); when the server stopped
answering, the process still had not ended after nine minutes (80 s with one worker and a buffer of 2 s; 40 s with this
thread, which gives up after the first request).
"""

import contextlib
import importlib.metadata
import os
import platform
import resource
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeVar

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from pipeline.tracking import runs
from pipeline.tracking.records import searches, variants
from pipeline.tracking.records.record import RunRecord, StageItem
from pipeline.tracking.store import MLFLOW_ERRORS, Store, best_effort, connect, warn

# Between two writings lie this many seconds: a request is about as costly as an epoch of a small network.
FLUSH_SECONDS = 2.0
PACKAGES = ("keras", "tensorflow", "jax", "numpy", "mlflow")


class LiveRun:
    """The MLflow run of a stage's item at work, written from a thread of its own until MLflow fails for the first time.

    `points` are logged at once. `run_id` is empty if MLflow could not open the run; what the stage tells is then
    dropped. `broken` says that MLflow failed, which the user was warned of.
    """

    def __init__(
        self, item: StageItem, name: str, tags: Mapping[str, str], params: Mapping[str, str], *points: Metric
    ) -> None:
        self.item = item
        # Known once the run is open.
        self.store: Store
        self.experiment_id = ""
        self.run_id = ""
        self.broken = False
        # Ids of the runs below this one, by name.
        self.children: dict[str, str] = {}
        self._name, self._tags, self._params, self._points = name, tags, params, points
        # Each gives points that are to be logged.
        self._waiting: deque[Callable[[], Iterable[Metric]]] = deque()
        self._is_closing = threading.Event()
        self._sender = threading.Thread(target=self._send_until_closed, name="mlflow", daemon=True)

    def costs(self, seconds: float) -> dict[str, float]:
        """Metrics of what the stage, which took so long, has cost."""
        return {"wall_seconds": seconds}

    def log(self, make_points: Callable[[], Iterable[Metric]]) -> None:
        """Have points written soon; they are made by the thread that sends."""
        if self.run_id and not self.broken:
            self._waiting.append(make_points)

    def open(self) -> None:
        """Create the run and start sending; an error of MLflow's becomes a warning.

        Runs in the same experiment whose process was killed are closed.
        """
        try:
            self.store = connect(self.item.workspace)
            with self.store.lock():
                self.experiment_id = self.store.ensure_experiment(self.item.experiment_name, self.item.experiment_tags)
                runs.close_dead(self.store, [self.experiment_id])
                tags = {**self._tags, **machine_tags()}
                run = runs.create_run(self.store, self.experiment_id, self._name, tags, start_time=runs.now())
            run_params = [Param(key, value) for key, value in self._params.items()]
            self.store.client.log_batch(run.info.run_id, self._points, run_params)
            self.run_id = str(run.info.run_id)
        except MLFLOW_ERRORS as error:
            self._fail(error)
        else:
            self._sender.start()

    def complete(self, seconds: float, home: RunRecord, *others: RunRecord) -> None:
        """Make this the run of the record `home`, and publish other records; errors of MLflow's become one warning."""
        self._stop_sending()
        # A server that failed before may be back; that it failed was said then.
        with contextlib.suppress(*MLFLOW_ERRORS) if self.broken else best_effort(self.item.workspace):
            store, live = connect(self.item.workspace), {}
            if self.run_id:
                live = {home.name: self.run_id, **self.children}
                runs.log_points(store.client, self.run_id, _points(self.costs(seconds)))
            try:
                runs.upsert(store, home, live)
            except MlflowException:
                # Another workspace on the same server published equal outputs, and deleted this run as the later one.
                runs.upsert(store, home)
            for record in others:
                runs.upsert(store, record)

    def abandon(self, error: BaseException) -> None:
        """Close the run, and those below it, of a stage that ended by an exception."""
        self._stop_sending()
        status = runs.FAILED if isinstance(error, Exception) else runs.KILLED
        for run_id in filter(None, (self.run_id, *self.children.values())):
            # One that was deleted already, as there was a run of the same outputs, must not keep the others open.
            with contextlib.suppress(*MLFLOW_ERRORS):
                runs.close(self.store.client, self.store.client.get_run(run_id), status)

    def _send_until_closed(self) -> None:
        is_closing = False
        try:
            while not is_closing:
                is_closing = self._is_closing.wait(FLUSH_SECONDS)
                waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
                points = [point for make_points in waiting for point in make_points()]
                runs.log_points(self.store.client, self.run_id, points)
        except MLFLOW_ERRORS as error:
            self._fail(error)

    def _stop_sending(self) -> None:
        """Wait until all points are written, or MLflow has failed."""
        self._is_closing.set()
        if self._sender.is_alive():
            self._sender.join()

    def _fail(self, error: BaseException) -> None:
        self.broken = True
        warn(self.item.workspace, error)


class TrainingRun(LiveRun):
    """The run of a variant in training: one point per epoch and metric."""

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Log the metrics of an epoch, counted from 1. Of long trainings only every n-th epoch is kept."""
        if variants.is_logged(epoch, self.item.params.all_variants[self.item.item].epochs):
            points = _points(values, step=epoch)
            self.log(lambda: points)

    def costs(self, seconds: float) -> dict[str, float]:
        """The time of the training, and the largest memory of this process."""
        # Linux counts in KiB, macOS in bytes.
        mebibyte = 1024 * 1024 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / mebibyte
        return {**super().costs(seconds), "peak_memory_mib": peak}


class SearchRun(LiveRun):
    """The run of a search, and one below it per configuration that is done meanwhile; `num_done` were done before."""

    def __init__(self, item: StageItem, num_done: int) -> None:
        name, tags = f"{searches.RUN_NAME_PREFIX}{item.item}", {**item.tags, "search": item.item}
        points = _points({"configurations_done": num_done}, step=num_done)
        super().__init__(item, name, tags, searches.search_params(item.params, item.item), *points)
        self._num_done = num_done

    def log_configuration(self, units: str, seconds: float, metrics: Mapping[str, float] | None = None) -> None:
        """Tell that a configuration is done, how long its fits took, and its metrics."""
        self._num_done += 1
        done = _points({"configurations_done": self._num_done}, step=self._num_done)
        points = _points({**(metrics or {}), "wall_seconds": seconds})
        self.log(partial(self._log_child, units, seconds, points, done))

    def _log_child(self, units: str, seconds: float, points: list[Metric], done: list[Metric]) -> list[Metric]:
        tags, end = {**searches.configuration_tags(self.item, units), runs.PARENT_RUN: self.run_id}, points[0].timestamp
        child = runs.create_run(self.store, self.experiment_id, units, tags, end - int(seconds * 1000)).info.run_id
        self.children[units] = child
        params = [Param(name, value) for name, value in searches.configuration_params(units).items()]
        self.store.client.log_batch(child, points, params)
        self.store.client.set_terminated(child, runs.FINISHED, end_time=end)
        return done


def _points(values: Mapping[str, float], step: int = 0) -> list[Metric]:
    moment = runs.now()
    return [Metric(name, float(value), moment, step) for name, value in values.items()]


Live = TypeVar("Live", bound=LiveRun)


def training_run(workspace: Workspace, params: Params, name: str) -> AbstractContextManager[TrainingRun]:
    """The live run of a variant in training: `with training_run(...) as run: ... run.log_epoch(epoch, values)`.

    The stage saves its outputs inside the block. If it ends without an exception, the run and those of the variant in
    other studies are completed from them; otherwise the run ends as FAILED, or as KILLED after KeyboardInterrupt or
    SystemExit. Errors of MLflow's become one warning on stderr, and training goes on.
    """
    item = variants.variant_item(workspace, params, name, params.all_variants[name].study)
    run = TrainingRun(item, name, variants.variant_tags(item), variants.variant_params(workspace, params, name))
    return recorded(run, partial(variants.variant_records, workspace, params, name, with_kernels=False))


def search_run(workspace: Workspace, params: Params, name: str, num_done: int = 0) -> AbstractContextManager[SearchRun]:
    """The live run of a search: `with search_run(...) as run: ... run.log_configuration(units, seconds)`.

    `num_done` configurations were done before, by a search that was interrupted. The run is completed from what the
    stage saves inside the block, with one child per configuration; it ends as that of a training does.
    """
    run = SearchRun(searches.search_item(workspace, params, name), num_done)
    return recorded(run, lambda: [searches.search_record(workspace, params, name)])


@contextlib.contextmanager
def recorded(run: Live, make_records: Callable[[], list[RunRecord]]) -> Iterator[Live]:
    """Open a live run; complete it from the records of what the stage saved, the run's own first, or abandon it."""
    start = time.monotonic()
    run.open()
    try:
        yield run
        run.complete(time.monotonic() - start, *make_records())
    except BaseException as error:
        run.abandon(error)
        raise


def machine_tags() -> dict[str, str]:
    """What may change from run to run without changing the outputs: kept out of every other run."""
    return {
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "num_cpus": str(os.cpu_count()),
        "version.python": platform.python_version(),
        **{f"version.{package}": importlib.metadata.version(package) for package in PACKAGES},
    }
