"""The live run of a search: a run below it appears as each configuration is done."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from mlflow.entities import Metric, Param

from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from pipeline.tracking import live, records, runs
from pipeline.tracking.records import RunRecord
from pipeline.tracking.store import MLFLOW_ERRORS, Store, best_effort, connect, warn


class SearchLog(Protocol):
    """What a search writes to."""

    def log_configuration(self, units: str, seconds: float, figures: Mapping[str, float] | None = None) -> None:
        """Tell that a configuration is done, how long its fits took, and what came of it."""


class UnrecordedSearch:
    """Stands in for a run that MLflow could not open."""

    def log_configuration(self, units: str, seconds: float, figures: Mapping[str, float] | None = None) -> None:
        """Do nothing: MLflow's trouble was told when the run should have been opened."""


@dataclass(frozen=True)
class DoneConfiguration:
    """A configuration that is done, when, and the how manyth of the search it is."""

    units: str
    seconds: float
    figures: Mapping[str, float]
    number: int
    moment: int


class SearchRun(live.LiveRun[DoneConfiguration]):
    """The run of a search, and one below it per configuration that was done meanwhile."""

    def __init__(
        self, workspace: Workspace, params: Params, name: str, store: Store, experiment: str, run_id: str, num_done: int
    ) -> None:
        super().__init__(workspace, store, run_id, pause=0.0)
        # By units.
        self.children: dict[str, str] = {}
        self._params = params
        self._name = name
        self._experiment = experiment
        self._num_done = num_done

    def log_configuration(self, units: str, seconds: float, figures: Mapping[str, float] | None = None) -> None:
        """Tell that a configuration is done, how long its fits took, and what came of it."""
        self._num_done += 1
        self.add(DoneConfiguration(units, seconds, dict(figures or {}), self._num_done, runs.now()))

    def log_rows(self, rows: list[DoneConfiguration]) -> None:
        """Make the runs of configurations, and tell how many are done."""
        for row in rows:
            self._log_child(row)
        points = [Metric("configurations_done", float(row.number), row.moment, step=row.number) for row in rows]
        runs.log_points(self.store.client, self.run_id, points)

    def unfinished_runs(self) -> list[str]:
        """The search's run and those below it, whose configurations will be shown again when the search goes on."""
        return [self.run_id, *self.children.values()]

    def _log_child(self, row: DoneConfiguration) -> None:
        client = self.store.client
        child = client.create_run(
            self._experiment,
            start_time=row.moment - int(row.seconds * 1000),
            run_name=row.units,
            tags={
                **runs.origin_tags(self.store),
                **records.configuration_tags(self._params, self._name, row.units),
                runs.PARENT_RUN: self.run_id,
            },
        ).info.run_id
        self.children[row.units] = child
        client.log_batch(
            child,
            params=[Param(name, value) for name, value in records.configuration_params(row.units).items()],
            metrics=[
                Metric(name, float(value), row.moment, step=0)
                for name, value in {**row.figures, "wall_seconds": row.seconds}.items()
            ],
        )
        client.set_terminated(child, runs.FINISHED, end_time=row.moment)


@contextlib.contextmanager
def search_run(workspace: Workspace, params: Params, name: str, num_done: int) -> Iterator[SearchLog]:
    """See pipeline.tracking.search_run."""
    start = time.monotonic()
    run = _try_to_open(workspace, params, name, num_done)
    try:
        yield run or UnrecordedSearch()
        record = records.search_record(workspace, params, name)
        if run is None:
            live.try_again(workspace, [record])
        else:
            _finish(workspace, run, record, wall_seconds=time.monotonic() - start)
    except BaseException as error:
        if run is not None:
            live.abandon(run, error)
        raise


def _try_to_open(workspace: Workspace, params: Params, name: str, num_done: int) -> SearchRun | None:
    try:
        return _open(workspace, params, name, num_done)
    except MLFLOW_ERRORS as error:
        warn(workspace, error)
        return None


def _open(workspace: Workspace, params: Params, name: str, num_done: int) -> SearchRun:
    store = connect(workspace)
    search = params.searches[name]
    with store.lock():
        experiment = store.ensure_experiment(
            records.experiment_name(params, search.dataset, search.study),
            records.experiment_tags(params, search.dataset, params.title_of(search.study)),
        )
        # Those of a search that was shot, its configurations included.
        runs.close_dead(store, [experiment])
        tags = {**records.search_tags(params, name), **live.machine_tags()}
        run = runs.create_run(store, experiment, records.search_run_name(name), tags, start_time=runs.now())
    run_id = run.info.run_id
    runs.log_params(store.client, run_id, records.search_params(params, name))
    done = Metric("configurations_done", float(num_done), runs.now(), step=num_done)
    runs.log_points(store.client, run_id, [done])
    return SearchRun(workspace, params, name, store, experiment, run_id, num_done)


def _finish(workspace: Workspace, run: SearchRun, record: RunRecord, *, wall_seconds: float) -> None:
    """Complete the live runs from the saved outputs, configurations that were done before it included."""
    run.flush()
    # A server that died during the search may be back; that it died was said then.
    with contextlib.suppress(*MLFLOW_ERRORS) if run.broken else best_effort(workspace):
        connect(workspace)
        moment = runs.now()
        points = [Metric("wall_seconds", wall_seconds, moment, 0)]
        runs.log_points(run.store.client, run.run_id, points)
        runs.complete_live(run.store, run.run_id, record, live_children=run.children)
